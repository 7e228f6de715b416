"""Exceptions as data: their category, whether they are worth another attempt, and their record."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from loom_core.contracts.retries import Classification, Classifier
from loom_core.contracts.stores import ErrorRecord
from loom_core.errors import BadInput, ErrorCategory, NotStarted, ReplayMismatch

MAX_MESSAGE_CHARS = 4_000
MAX_TRACEBACK_CHARS = 8_000

_TRANSIENT = (TimeoutError, ConnectionError, EOFError, InterruptedError)
_VALIDATION = (ValueError, TypeError, KeyError, BadInput, ReplayMismatch)


def classify(error: BaseException, classifiers: Sequence[Classifier] = ()) -> Classification:
    """Return what ``error`` is: its own word first, then the classifiers in order, then the standard exceptions.

    An exception's own word is its attributes ``error_category``, ``is_retryable`` and ``retry_after_s``.
    """
    own = getattr(error, "error_category", None)
    retryable = getattr(error, "is_retryable", None)
    after = getattr(error, "retry_after_s", None)
    if own is not None or retryable is not None:
        return Classification(
            category=_category(own),
            is_retryable=retryable if isinstance(retryable, bool) else None,
            retry_after_s=float(after) if isinstance(after, (int, float)) else None,
        )
    for classifier in classifiers:
        known = classifier(error)
        if known is not None:
            return known
    return Classification(category=_standard(error))


def to_record(error: BaseException, category: ErrorCategory) -> ErrorRecord:
    """Return ``error`` as data that a person can read later; never raises, whatever its ``__str__`` does."""
    return ErrorRecord(
        type=_type_name(error),
        message=_text(error)[:MAX_MESSAGE_CHARS],
        category=category.value,
        traceback=_traceback(error),
    )


def _category(value: object) -> ErrorCategory:
    try:
        return ErrorCategory(str(getattr(value, "value", value)))
    except ValueError:
        return ErrorCategory.UNKNOWN


def _standard(error: BaseException) -> ErrorCategory:
    if isinstance(error, (*_TRANSIENT, NotStarted)):
        return ErrorCategory.TRANSIENT
    if isinstance(error, PermissionError):
        return ErrorCategory.PERMISSION
    if isinstance(error, _VALIDATION):
        return ErrorCategory.VALIDATION
    return ErrorCategory.UNKNOWN


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything, and a failure must be recorded
        return f"<message unavailable: {type(broken).__name__}>"


def _traceback(error: BaseException) -> str | None:
    if error.__traceback__ is None:
        return None
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - as above: formatting calls the user's __str__ and __repr__
        text = "".join(traceback.format_tb(error.__traceback__))
    return text[-MAX_TRACEBACK_CHARS:]
