"""The policies that are offered by name."""

from __future__ import annotations

from loom_core.contracts.retries import ExponentialBackoff, Retries, RetryPolicy


def default(max_attempts: int, initial_s: float, factor: float, max_s: float) -> Retries:
    """Return the policy for what usually passes by itself: transient failures, a few attempts."""
    backoff = ExponentialBackoff(initial_s=initial_s, factor=factor, max_s=max_s)
    return Retries(policy=RetryPolicy(max_attempts=max_attempts, backoff=backoff))


def none() -> Retries:
    """Return the policy that attempts everything once."""
    return Retries(policy=RetryPolicy(max_attempts=1))


def patient() -> Retries:
    """Return the policy for what may take an hour to come back: ten attempts, up to five minutes apart."""
    return Retries(policy=RetryPolicy(max_attempts=10, backoff=ExponentialBackoff(initial_s=1.0, max_s=300.0)))
