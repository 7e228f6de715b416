"""From the chunks of Chat Completions to model events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from loom_core.contracts.models import (
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallEvent,
    Usage,
    estimated_usage,
)
from loom_core.errors import ErrorCategory, ModelFailed
from loom_llm_openai.calls import CallDrafts

LIMITS: Mapping[str, FinishReason] = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}


@attrs.define
class Assembler:
    """One answer in the making. Text is passed on as it comes, tool calls only when the model has finished.

    A finish for length or by a filter has no tool calls: the last of them may have been cut, and which is last
    cannot be told.
    """

    request: ModelRequest
    _drafts: CallDrafts = attrs.field(factory=CallDrafts)
    _usage: Usage | None = None
    _finish: str | None = None
    _refused: bool = False
    _characters: int = 0

    @property
    def finished(self) -> bool:
        """Whether the server has said why the model stopped; from then on the answer is whole."""
        return self._finish is not None

    def feed(self, chunk: Mapping[str, object]) -> Iterator[ModelEvent]:
        """Yield the events of one chunk."""
        if isinstance(usage := chunk.get("usage"), Mapping):
            self._usage = _usage(usage) or self._usage
        choice = _choice(chunk)
        delta = choice.get("delta")
        if isinstance(delta, Mapping):
            yield from self._delta(delta)
        reason = choice.get("finish_reason")
        if reason == "error":
            raise ModelFailed("the server ended the answer with an error", error_category=ErrorCategory.TRANSIENT)
        if isinstance(reason, str) and reason:
            self._finish = self._finish or reason

    def end(self) -> Iterator[ModelEvent]:
        """Yield tool calls, usage and the finish; raises ``ModelFailed`` if the server never said that it was done."""
        if self._finish is None:
            raise ModelFailed(
                "the answer was cut off: the stream ended without a finish reason",
                error_category=ErrorCategory.TRANSIENT,
            )
        reason, calls = self._ending(self._finish)
        yield from calls
        yield self._usage or estimated_usage(self.request, output_characters=self._characters)
        yield Finish(reason)

    def _ending(self, reason: str) -> tuple[FinishReason, list[ToolCallEvent]]:
        if reason in LIMITS:
            return LIMITS[reason], []
        calls = [ToolCallEvent(call) for call in self._drafts.calls(self.request)]
        if any(not event.call.name for event in calls):
            raise ModelFailed("the model asked for a tool without naming it", error_category=ErrorCategory.TRANSIENT)
        if calls:
            return "tool_calls", calls
        return ("refusal" if self._refused else "stop"), []

    def _delta(self, delta: Mapping[str, object]) -> Iterator[ModelEvent]:
        if thinking := _text(delta, "reasoning_content", "reasoning"):
            self._characters += len(thinking)
            yield ThinkingDelta(thinking)
        if text := _text(delta, "content"):
            self._characters += len(text)
            yield TextDelta(text)
        if refusal := _text(delta, "refusal"):
            self._refused = True
            self._characters += len(refusal)
            yield RefusalDelta(refusal)
        pieces = delta.get("tool_calls")
        for piece in pieces if isinstance(pieces, list) and not self.finished else ():
            if isinstance(piece, Mapping):
                self._characters += len(str(piece.get("function")))
                self._drafts.add(piece)


def _choice(chunk: Mapping[str, object]) -> Mapping[str, object]:
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, Mapping) and choice.get("index") in (0, None):
            return choice
    return {}


def _text(delta: Mapping[str, object], *names: str) -> str:
    """Return the first text there is: servers that know two names for reasoning send it under both."""
    values = (delta.get(name) for name in names)
    return next((value for value in values if isinstance(value, str) and value), "")


def _usage(usage: Mapping[str, object]) -> Usage | None:
    asked, answered = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if not asked and not answered:
        return None
    return Usage(
        input_tokens=asked,
        output_tokens=answered,
        cached_tokens=min(asked, _count(usage.get("prompt_tokens_details"), "cached_tokens")),
        reasoning_tokens=_count(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _count(where: object, name: str) -> int:
    value = where.get(name) if isinstance(where, Mapping) else None
    return max(0, value) if isinstance(value, int) else 0
