"""From statuses, error lines and broken connections to Loom's errors, each with what the user can do."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from loom_core.errors import ErrorCategory, LoomError, ModelFailed, ModelNotFound
from loom_llm_ollama.settings import Settings

TRANSIENT, VALIDATION, PERMISSION = ErrorCategory.TRANSIENT, ErrorCategory.VALIDATION, ErrorCategory.PERMISSION
MESSAGE_CHARACTERS = 600
TRANSIENT_STATUSES = frozenset({408, 409, 425, 429, 499})
START_HINT = "start it with: ollama serve (https://ollama.com/download); if it runs elsewhere, set OLLAMA_HOST"

# What Ollama says, and what to do about it. Its messages are its only error codes.
KNOWN: tuple[tuple[str, ErrorCategory, str], ...] = (
    (r"exceeds.*context|context length", VALIDATION, "raise num_ctx under [plugins.llm_ollama], or say less"),
    (r"does not support tools", VALIDATION, "use a model that calls tools; `ollama show MODEL` lists capabilities"),
    (r"does not support thinking", VALIDATION, 'set thinking = "default" under [plugins.llm_ollama]'),
    (r"more system memory", VALIDATION, "use a smaller model, or a smaller num_ctx under [plugins.llm_ollama]"),
)
UNKNOWN_MODEL = re.compile(r"model .*not found|try pulling it|no such model", re.IGNORECASE)


@attrs.frozen
class Failures:
    """Makes errors for one server."""

    settings: Settings

    def of_status(self, status: int, body: object, model: str | None, retry_after: str | None) -> LoomError:
        """Return what an answer other than 200 means."""
        message = _message(body)
        if model is not None and status in (400, 404) and UNKNOWN_MODEL.search(message):
            return self._unknown_model(model, message)
        for pattern, category, what_to_do in KNOWN:
            if re.search(pattern, message, re.IGNORECASE):
                return self._failed(f"answered {status}: {message}", category, hint=what_to_do)
        said = f"answered {status}: {message}"
        if status in (401, 403):
            return self._failed(said, PERMISSION, hint="set OLLAMA_API_KEY, or sign in with: ollama signin")
        if status in TRANSIENT_STATUSES or status >= 500:
            return self._failed(said, TRANSIENT, retry_after_s=_seconds(retry_after))
        hint = (
            f"is this an Ollama server? {self.settings.url}/api/version should say so" if status in (404, 405) else None
        )
        return self._failed(said, VALIDATION, hint=hint)

    def of_line(self, line: Mapping[str, object], model: str) -> LoomError:
        """Return what an error line in a 200 stream means; as a rule that the engine gave up under way."""
        status = line.get("status_code")
        return self.of_status(status if isinstance(status, int) and status >= 400 else 500, line, model, None)

    def unreachable(self, error: Exception) -> ModelFailed:
        """Return the error for a connection that could not be made."""
        return self._failed(f"could not be reached ({type(error).__name__}: {error})", TRANSIENT, hint=START_HINT)

    def hung_up(self, error: Exception) -> ModelFailed:
        """Return the error for a connection that broke."""
        return self._failed(f"hung up ({type(error).__name__}: {error})", TRANSIENT)

    def timed_out(self, what: str, seconds: float) -> ModelFailed:
        """Return the error for a silence that lasted too long."""
        return self._failed(f"sent no {what} within {seconds:g} s", TRANSIENT)

    def not_a_line(self, line: bytes) -> ModelFailed:
        """Return the error for a line that is no JSON object."""
        shown = line[:80].decode("utf-8", "replace")
        return self._failed(f"sent a line that is not a JSON object: {shown!r}", TRANSIENT)

    def endless_line(self, most: int) -> ModelFailed:
        """Return the error for a line that is longer than any answer."""
        return self._failed(f"sent a line of more than {most} bytes", VALIDATION)

    def _unknown_model(self, model: str, message: str) -> ModelNotFound:
        return ModelNotFound(
            self._text(f"Ollama at {self.settings.url} has no model `{model}`: {message}"), hint=f"ollama pull {model}"
        )

    def _failed(
        self, what: str, category: ErrorCategory, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> ModelFailed:
        text = self._text(f"Ollama at {self.settings.url} {what}")
        return ModelFailed(text, error_category=category, hint=hint, retry_after_s=retry_after_s)

    def _text(self, text: str) -> str:
        """Return the text on one line, without control characters and without the key, cut."""
        clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if self.settings.api_key:
            clean = clean.replace(self.settings.api_key, "***")
        return clean[:MESSAGE_CHARACTERS]


def _message(body: object) -> str:
    if isinstance(body, Mapping):
        found = body.get("error")
        if isinstance(found, Mapping):
            found = found.get("message")
        return str(found or dict(body))
    return str(body)


def _seconds(value: str | None) -> float | None:
    return float(value) if value and re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()) else None
