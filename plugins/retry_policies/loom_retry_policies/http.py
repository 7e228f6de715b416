"""What an exception with an HTTP status means, whichever client raised it.

Clients disagree on types and agree on shapes: ``error.status_code`` (openai), ``error.response`` with ``status_code``
(httpx, requests) or ``status``. Statuses after RFC 9110, 425 after RFC 8470, 429 after RFC 6585.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from loom_core.contracts.retries import Classification
from loom_core.errors import ErrorCategory

_TRANSIENT = frozenset({408, 409, 425, 429})
_PERMISSION = frozenset({401, 403})
_VALIDATION = frozenset({400, 404, 422})


def classify_http(error: BaseException, now: Callable[[], float] = time.time) -> Classification | None:
    """Return what an exception's HTTP status means, None if it has none or one that says nothing.

    A ``Retry-After`` in seconds or as a date is passed on; one that cannot be read is as good as none.
    """
    status = _status(error)
    category = None if status is None else _category(status)
    if category is None:
        return None
    after = _retry_after(error, now) if category is ErrorCategory.TRANSIENT else None
    return Classification(category=category, retry_after_s=after)


def _category(status: int) -> ErrorCategory | None:
    if status in _TRANSIENT or 500 <= status <= 599:
        return ErrorCategory.TRANSIENT
    if status in _PERMISSION:
        return ErrorCategory.PERMISSION
    return ErrorCategory.VALIDATION if status in _VALIDATION else None


def _status(error: BaseException) -> int | None:
    """Return the first HTTP status that the exception or its response carries."""
    response = getattr(error, "response", None)
    for holder, name in ((error, "status_code"), (response, "status_code"), (response, "status")):
        value = getattr(holder, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
            return value
    return None


def _retry_after(error: BaseException, now: Callable[[], float]) -> float | None:
    text = _header(getattr(error, "headers", None)) or _header(
        getattr(getattr(error, "response", None), "headers", None)
    )
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return _until(text, now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _header(headers: object) -> str | None:
    """Return ``Retry-After`` of any mapping; plain dicts know no case, so theirs are compared one by one."""
    items = getattr(headers, "items", None)
    if not callable(items):
        return None
    for name, value in items():
        if isinstance(name, str) and name.lower() == "retry-after" and isinstance(value, str | int | float):
            return str(value)
    return None


def _until(text: str, now: Callable[[], float]) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now())
    except (ValueError, TypeError, OverflowError):
        return None
