"""Error objects of Chat Completions servers: ``{"error": {"message", "type", "code"}}`` and its variants."""

from __future__ import annotations

from collections.abc import Mapping

from loom_core.errors import ErrorCategory, ModelFailed

_PERMISSION = frozenset({401, 402, 403})
_TRANSIENT = frozenset({408, 409, 425, 429})
_TYPES = {
    "invalid_request_error": ErrorCategory.VALIDATION,
    "exceed_context_size_error": ErrorCategory.VALIDATION,
    "context_length_exceeded": ErrorCategory.VALIDATION,
    "not_found_error": ErrorCategory.VALIDATION,
    "not_supported_error": ErrorCategory.VALIDATION,
    "authentication_error": ErrorCategory.PERMISSION,
    "permission_error": ErrorCategory.PERMISSION,
    "insufficient_quota": ErrorCategory.PERMISSION,
    "invalid_api_key": ErrorCategory.PERMISSION,
}
_OVERFLOW = ("context size", "context length", "context_length", "context window")


def failure_from_error(
    error: object, *, who: str, status: int | None = None, retry_after_s: float | None = None
) -> ModelFailed:
    """Return the ``ModelFailed`` that a server's error object means; ``status`` is the HTTP status when there is one.

    What carries neither a status nor a type that is known is taken for transient: it came from a server under way.
    """
    data = error if isinstance(error, Mapping) else {"message": error}
    message = " ".join(str(data.get("message") or data.get("type") or "no message").split())
    category = _category(status, data)
    hint = None
    if category is ErrorCategory.VALIDATION and any(word in message.lower() for word in _OVERFLOW):
        hint = "the conversation is longer than the model's context: shorten it or use a model with a larger one"
    return ModelFailed(
        f"{who} answered with an error: {message}",
        error_category=category,
        is_retryable=category is ErrorCategory.TRANSIENT,
        retry_after_s=retry_after_s,
        hint=hint,
    )


def _category(status: int | None, data: Mapping[str, object]) -> ErrorCategory:
    for name in (data.get("code"), data.get("type")):
        if isinstance(name, str) and name in _TYPES:
            return _TYPES[name]
    number = status if status is not None else _number(data.get("code"))
    if number in _PERMISSION:
        return ErrorCategory.PERMISSION
    if number is None or number in _TRANSIENT or not 400 <= number < 500:
        return ErrorCategory.TRANSIENT
    return ErrorCategory.VALIDATION


def _number(code: object) -> int | None:
    if isinstance(code, int):
        return code
    return int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else None
