"""Retry policies by name, and what HTTP-shaped exceptions mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import attrs

from loom_core.hookspecs import PluginContext, RetryEntry, hookimpl

if TYPE_CHECKING:
    from loom_core.contracts.retries import Retries

    _Factory = Callable[[PluginContext], Retries]


@attrs.frozen(kw_only=True)
class RetryConfig:
    """How the policy ``default`` retries: how often in all, and how long it waits (seconds) before the next attempt."""

    max_attempts: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    initial_s: float = attrs.field(default=0.5, validator=attrs.validators.ge(0))
    factor: float = attrs.field(default=2.0, validator=attrs.validators.ge(1))
    max_s: float = attrs.field(default=30.0, validator=attrs.validators.ge(0))


@hookimpl
def loom_retries() -> Iterable[RetryEntry]:
    """Offer the policies and the classifier."""
    yield _entry("default", "transient failures, 3 attempts, exponential backoff (configurable)", _default)
    yield _entry("none", "no second attempt", _none)
    yield _entry("patient", "transient failures, 10 attempts, up to 5 minutes apart", _patient)
    yield _entry("http", "knows what HTTP statuses mean, and Retry-After", _http)


def _entry(name: str, summary: str, factory: _Factory) -> RetryEntry:
    return RetryEntry(name=name, summary=summary, factory=factory, config=RetryConfig)


def _default(context: PluginContext) -> Retries:
    from loom_retry_policies.policies import default

    config = context.config if isinstance(context.config, RetryConfig) else RetryConfig()
    return default(config.max_attempts, config.initial_s, config.factor, config.max_s)


def _none(_context: PluginContext) -> Retries:
    from loom_retry_policies.policies import none

    return none()


def _patient(_context: PluginContext) -> Retries:
    from loom_retry_policies.policies import patient

    return patient()


def _http(_context: PluginContext) -> Retries:
    from loom_core.contracts.retries import Retries
    from loom_retry_policies.http import classify_http

    return Retries(classify=classify_http)
