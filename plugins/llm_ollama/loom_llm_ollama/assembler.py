"""From the lines of ``/api/chat`` to model events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import attrs

from loom_core.contracts.models import (
    Finish,
    ModelEvent,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallEvent,
    Usage,
    estimated_usage,
    unused_call_id,
)
from loom_core.errors import ErrorCategory, ModelFailed


@attrs.define
class Assembler:
    """One answer in the making. Text is passed on as it comes, tool calls when the model has finished.

    A finish for length has no tool calls: more of them may have been meant.
    """

    request: ModelRequest
    _calls: list[ToolCall] = attrs.field(factory=list)
    _characters: int = 0
    _last: Mapping[str, object] | None = None

    @property
    def finished(self) -> bool:
        """Whether the line with ``done`` has come; nothing follows it."""
        return self._last is not None

    def feed(self, line: Mapping[str, object]) -> Iterator[ModelEvent]:
        """Yield the events of one line."""
        message = line.get("message")
        if isinstance(message, Mapping):
            if thinking := _text(message, "thinking"):
                self._characters += len(thinking)
                yield ThinkingDelta(thinking)
            if text := _text(message, "content"):
                self._characters += len(text)
                yield TextDelta(text)
            calls = message.get("tool_calls")
            for call in calls if isinstance(calls, list) else ():
                self._add(call)
        if line.get("done"):
            self._last = line

    def end(self) -> Iterator[ModelEvent]:
        """Yield tool calls, usage and the finish; raises ``ModelFailed`` if the server never said that it was done."""
        if self._last is None:
            raise ModelFailed(
                "the answer was cut off: the stream ended before the line that says `done`",
                error_category=ErrorCategory.TRANSIENT,
            )
        cut = self._last.get("done_reason") == "length"
        calls = () if cut else tuple(self._calls)
        yield from map(ToolCallEvent, calls)
        yield self._usage(self._last)
        yield Finish("length" if cut else "tool_calls" if calls else "stop")

    def _add(self, call: object) -> None:
        function = call.get("function") if isinstance(call, Mapping) else None
        name = _text(function, "name") if isinstance(function, Mapping) else ""
        if not isinstance(call, Mapping) or not isinstance(function, Mapping) or not name:
            raise ModelFailed("the model asked for a tool without naming it", error_category=ErrorCategory.TRANSIENT)
        used = {known.id for known in self._calls} | {c.id for m in self.request.messages for c in m.tool_calls}
        call_id = _text(call, "id")
        if not call_id or call_id in used:
            call_id = unused_call_id(self.request, used)
        arguments = _arguments(function.get("arguments"))
        self._characters += len(name) + len(arguments)
        self._calls.append(ToolCall(id=call_id, name=name, arguments=arguments))

    def _usage(self, last: Mapping[str, object]) -> Usage:
        asked, answered = last.get("prompt_eval_count"), last.get("eval_count")
        if isinstance(asked, int) and isinstance(answered, int) and asked > 0 and answered >= 0:
            return Usage(input_tokens=asked, output_tokens=answered)
        return estimated_usage(self.request, output_characters=self._characters)


def _arguments(value: object) -> str:
    if isinstance(value, str):
        return value.strip() or "{}"
    return json.dumps({} if value is None else value, ensure_ascii=False)


def _text(where: Mapping[str, object], name: str) -> str:
    value = where.get(name)
    return value if isinstance(value, str) else ""
