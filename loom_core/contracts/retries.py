"""Retries: whether a failed attempt is followed by another, and after how long."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from loom_core.errors import ErrorCategory


@attrs.frozen(kw_only=True)
class Classification:
    """What a classifier says of an exception. ``is_retryable`` None leaves it to the policy's categories."""

    category: ErrorCategory
    is_retryable: bool | None = None
    retry_after_s: float | None = None


Classifier = Callable[[BaseException], "Classification | None"]
"""Return what the exception is, or None if this classifier does not know it. The first that knows wins."""

Backoff = Callable[[int, float], float]
"""Return the seconds to wait after the failed attempt number (from 0), given a random number in [0, 1)."""


@attrs.frozen
class ExponentialBackoff:
    """Full jitter between half and the whole of ``initial_s * factor**attempt``, at most ``max_s``.

    After "Exponential Backoff And Jitter", Marc Brooker, AWS Architecture Blog, 2015 (the "equal jitter" form, which
    never retries at once).
    """

    initial_s: float = attrs.field(default=0.5, validator=attrs.validators.ge(0))
    factor: float = attrs.field(default=2.0, validator=attrs.validators.ge(1))
    max_s: float = attrs.field(default=30.0, validator=attrs.validators.ge(0))

    def __call__(self, attempt_index: int, random: float) -> float:
        """Return the seconds to wait after the failed attempt ``attempt_index``."""
        whole = min(self.max_s, self.initial_s * self.factor ** min(attempt_index, 64))
        return whole / 2 + whole / 2 * random


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often a step is attempted and which failures are worth it.

    ``max_attempts`` counts the first. An exception's own ``is_retryable`` wins over the categories.
    """

    max_attempts: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    retryable_categories: frozenset[ErrorCategory] = attrs.field(
        default=frozenset({ErrorCategory.TRANSIENT}), converter=frozenset
    )
    backoff: Backoff = attrs.field(factory=ExponentialBackoff)

    def delay_s(self, attempt_index: int, failure: Classification, random: float) -> float | None:
        """Return the seconds until the next attempt, None if attempt ``attempt_index`` was the last."""
        if attempt_index + 1 >= self.max_attempts:
            return None
        retryable = failure.is_retryable
        if retryable is None:
            retryable = failure.category in self.retryable_categories
        if not retryable:
            return None
        return max(self.backoff(attempt_index, random), failure.retry_after_s or 0.0)


@attrs.frozen(kw_only=True)
class Retries:
    """What a retry plugin's factory returns: a policy under its entry's name, a classifier, or both."""

    policy: RetryPolicy | None = None
    classify: Classifier | None = None
