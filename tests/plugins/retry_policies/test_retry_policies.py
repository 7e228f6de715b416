"""The policies by name, and what HTTP-shaped exceptions mean."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from loom_retry_policies.http import classify_http
from loom_retry_policies.plugin import RetryConfig, loom_retries

from loom_core.config import load_config
from loom_core.contracts.retries import Classification, Retries, RetryPolicy
from loom_core.errors import ConfigError, ErrorCategory
from loom_core.hookspecs import PluginContext

TRANSIENT = Classification(category=ErrorCategory.TRANSIENT)
NOW = 1_700_000_000.0


def made(name: str, config: RetryConfig | None = None) -> Retries:
    context = PluginContext(config=config, cache_dir=Path("/nowhere"), environ={})
    return next(entry for entry in loom_retries() if entry.name == name).factory(context)


def policy(name: str, config: RetryConfig | None = None) -> RetryPolicy:
    found = made(name, config).policy
    assert found is not None
    return found


def delays(chosen: RetryPolicy) -> list[float]:
    """Return every longest wait that the policy takes for transient failures."""
    waits = (chosen.delay_s(attempt, TRANSIENT, 1.0) for attempt in range(100))
    return [wait for wait in waits if wait is not None]


def test_default_makes_three_attempts_with_growing_waits_and_only_for_transient_failures() -> None:
    assert delays(policy("default")) == [0.5, 1.0]
    for category in set(ErrorCategory) - {ErrorCategory.TRANSIENT}:
        assert policy("default").delay_s(0, Classification(category=category), 0.5) is None


def test_default_is_configurable() -> None:
    config = RetryConfig(max_attempts=5, initial_s=2, factor=3, max_s=20)
    assert delays(policy("default", config)) == [2, 6, 18, 20]


def test_none_makes_one_attempt() -> None:
    assert delays(policy("none")) == []


def test_patient_makes_ten_attempts_and_waits_five_minutes_at_most() -> None:
    waits = delays(policy("patient"))
    assert len(waits) == 9
    assert max(waits) <= 300
    assert waits == sorted(waits)


def test_impossible_settings_are_refused_all_at_once() -> None:
    environ = {"LOOM_PLUGINS__RETRY_POLICIES__MAX_ATTEMPTS": "0", "LOOM_PLUGINS__RETRY_POLICIES__FACTOR": "0.5"}
    config = load_config(flags={}, environ=environ, user_file=Path("/nowhere"))
    with pytest.raises(ConfigError) as raised:
        config.plugin("retry_policies", RetryConfig)
    assert len(raised.value.faults) == 2


class HttpError(Exception):
    def __init__(self, **attributes: Any) -> None:
        super().__init__("failed")
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("statuses", "category"),
    [
        ((408, 409, 425, 429, 500, 502, 503, 504, 529, 599), ErrorCategory.TRANSIENT),
        ((401, 403), ErrorCategory.PERMISSION),
        ((400, 404, 422), ErrorCategory.VALIDATION),
    ],
)
def test_statuses_have_categories_wherever_the_client_keeps_them(
    statuses: tuple[int, ...], category: ErrorCategory
) -> None:
    for status in statuses:
        for error in (
            HttpError(status_code=status),
            HttpError(response=SimpleNamespace(status_code=status)),
            HttpError(response=SimpleNamespace(status=status)),
        ):
            assert classify_http(error) == Classification(category=category)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("429"),
        HttpError(status_code=None),
        HttpError(status_code="429"),
        HttpError(status_code=True),
        HttpError(status_code=200),
        HttpError(status_code=418),
        HttpError(status_code=70_000),
        HttpError(response=None),
        HttpError(response="429"),
    ],
)
def test_what_says_nothing_is_left_to_others(error: Exception) -> None:
    assert classify_http(error) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (7, 7.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_nonsense_is_as_good_as_none(text: object, seconds: float | None) -> None:
    for headers in ({"Retry-After": text}, {"retry-after": text}):
        for error in (
            HttpError(status_code=429, response=SimpleNamespace(headers=headers)),
            HttpError(status_code=503, headers=headers),
        ):
            said = classify_http(error, now=lambda: NOW)
            assert said is not None and said.retry_after_s == seconds


def test_retry_after_of_something_that_will_not_pass_is_ignored() -> None:
    said = classify_http(HttpError(status_code=403, headers={"Retry-After": "7"}))
    assert said == Classification(category=ErrorCategory.PERMISSION)


def test_the_classifier_is_offered() -> None:
    assert made("http").classify is classify_http
