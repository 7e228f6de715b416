"""From the SDK's exceptions and the server's error objects to Loom's errors, without ever showing the key."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import attrs
import openai

from loom_core.errors import ErrorCategory, LoomError, ModelFailed, ModelNotFound
from loom_llm_openai.settings import Settings

TRANSIENT, VALIDATION, PERMISSION = ErrorCategory.TRANSIENT, ErrorCategory.VALIDATION, ErrorCategory.PERMISSION
MESSAGE_CHARACTERS = 600
SECRET_CHARACTERS = 8
TRANSIENT_STATUSES = frozenset({408, 409, 425, 429, 499})
PERMISSION_STATUSES = frozenset({401, 402, 403})
TRANSPORT_LIBRARIES = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "anyio", "h11"})

OVERFLOW = re.compile(r"context.{0,20}(length|size|window)|maximum context|too many tokens", re.IGNORECASE)
KEY_HINT = "set OPENAI_API_KEY, or api_key under [plugins.llm_openai] (docs/models.md)"
QUOTA_HINT = "the account has no credit left; asking again cannot help"
URL_HINT = "base_url usually ends in /v1, such as http://127.0.0.1:8080/v1"


@attrs.frozen
class Failures:
    """Makes errors for one server."""

    settings: Settings

    def of(self, error: Exception, model: str | None) -> LoomError | None:
        """Return what an exception means, None if it did not come from the server or the way to it."""
        if isinstance(error, openai.APIStatusError):
            return self._of_answer(error, model)
        if isinstance(error, (openai.APITimeoutError, openai.APIConnectionError)) or _from_transport(error):
            return self.unreachable(error)
        if isinstance(error, openai.APIError):
            return self.of_object(error.body if error.body is not None else error.message, model)
        if isinstance(error, ValueError):
            return self._failed("sent something that is not JSON where an event was due", TRANSIENT)
        return None

    def missing_key(self) -> ModelFailed:
        """Return the error for OpenAI itself without a key."""
        return self._failed("needs an API key and none is set", PERMISSION, hint=KEY_HINT)

    def timed_out(self, what: str, seconds: float) -> ModelFailed:
        """Return the error for a silence that lasted too long."""
        return self._failed(f"sent no {what} within {seconds:g} s", TRANSIENT)

    def unreachable(self, error: Exception) -> ModelFailed:
        """Return the error for a connection that could not be made, or broke."""
        cause = error.__cause__ or error
        hint = "is the server running?" if self.settings.loopback else None
        return self._failed(f"could not be reached, or hung up ({type(cause).__name__}: {cause})", TRANSIENT, hint=hint)

    def no_events(self, content_type: str) -> ModelFailed:
        """Return the error for a 200 without a stream in it."""
        return self._failed(
            f"answered with {content_type or 'no content type'} instead of a stream of events",
            VALIDATION,
            hint=URL_HINT,
        )

    def not_a_chunk(self) -> ModelFailed:
        """Return the error for an event that is no JSON object."""
        return self._failed("sent an event that is not a chunk of an answer", TRANSIENT)

    def of_object(self, body: object, model: str | None) -> LoomError:
        """Return what an error object means that came in the stream, after a 200."""
        details = _details(body)
        status = details["status"]
        if status is None:
            status = _status_of_words(f"{details['code']} {details['type']}")
        return self._of_status(status, details, model, retry_after_s=None, should_retry=None)

    def _of_answer(self, error: openai.APIStatusError, model: str | None) -> LoomError:
        headers = error.response.headers
        details = _details(error.body if error.body is not None else error.message)
        asked = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
        return self._of_status(
            error.status_code, details, model, retry_after_s=retry_after(headers, time.time()), should_retry=asked
        )

    def _of_status(
        self,
        status: int,
        details: Mapping[str, Any],
        model: str | None,
        *,
        retry_after_s: float | None,
        should_retry: bool | None,
    ) -> LoomError:
        said = f"answered {status}: {details['message']}"
        if model is not None and _names_unknown_model(status, details):
            return ModelNotFound(
                self._text(f"{self.settings.shown_url} has no model `{model}`: {details['message']}"),
                hint="see what it has: loom models list",
            )
        if details["code"] == "insufficient_quota" or status == 402:
            return self._failed(said, PERMISSION, is_retryable=False, hint=QUOTA_HINT)
        if status in PERMISSION_STATUSES:
            return self._failed(said, PERMISSION, hint=KEY_HINT)
        if status in TRANSIENT_STATUSES or status >= 500:
            return self._failed(said, TRANSIENT, is_retryable=should_retry, retry_after_s=retry_after_s)
        hint = "the conversation is longer than the model's context" if OVERFLOW.search(details["message"]) else None
        return self._failed(said, VALIDATION, hint=hint or (URL_HINT if status in (404, 405) else None))

    def _failed(self, what: str, category: ErrorCategory, *, hint: str | None = None, **more: Any) -> ModelFailed:
        return ModelFailed(self._text(f"{self.settings.shown_url} {what}"), error_category=category, hint=hint, **more)

    def _text(self, text: str) -> str:
        """Return the text without the key, which servers and libraries quote when they refuse it; then cut."""
        secret = self._secret()
        clean = _one_line(text)
        return (clean.replace(secret, "***") if secret else clean)[:MESSAGE_CHARACTERS]

    def _secret(self) -> str | None:
        """Return the key if it is one: local servers are given words such as ``none``, which are no secrets."""
        key = self.settings.api_key
        return key if key and len(key) >= SECRET_CHARACTERS else None

    def shows_key(self, error: BaseException | None) -> bool:
        """Say whether an exception or what led to it shows the key, and so must not be chained to ours."""
        key, seen = self._secret(), 0
        while error is not None and key and seen < 20:
            if key in f"{error!s}{error!r}":
                return True
            error, seen = error.__cause__ or error.__context__, seen + 1
        return False


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the server asks to wait: ``retry-after-ms``, or seconds or a date in ``retry-after``."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,12}(\.\d*)?", value):
            return float(value) / scale
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


def _details(body: object) -> dict[str, Any]:
    """Return message, code, type and status of an error in the forms that servers give it."""
    found: object = body
    if isinstance(found, Mapping) and isinstance(found.get("error"), (Mapping, str)):
        found = found["error"]
    if not isinstance(found, Mapping):
        return {"message": str(found), "code": "", "type": "", "status": None, "object": False}
    code = found.get("code")
    return {
        "message": str(found.get("message") or found.get("detail") or dict(found)),
        "code": str(code or ""),
        "type": str(found.get("type") or ""),
        "status": code if isinstance(code, int) and 400 <= code <= 599 else None,
        "object": True,
    }


def _names_unknown_model(status: int, details: Mapping[str, Any]) -> bool:
    if details["code"] in ("model_not_found", "invalid_model", "unknown_model"):
        return True
    return status == 404 and bool(details["object"]) and "model" in details["message"].lower()


def _status_of_words(words: str) -> int:
    """Return the status that an error object would have come with, had it come before the stream."""
    for pattern, status in (
        ("rate_limit|too_many|overloaded|quota", 429),
        ("authentication|api_key|unauthorized", 401),
        ("permission|forbidden", 403),
        ("model_not_found", 404),
        ("invalid_request|context_length|bad_request|unsupported", 400),
    ):
        if re.search(pattern, words, re.IGNORECASE):
            return status
    return 500


def _from_transport(error: Exception) -> bool:
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in TRANSPORT_LIBRARIES


def _one_line(text: str) -> str:
    """Return the text on one line and without control characters: what a server says ends up on a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
