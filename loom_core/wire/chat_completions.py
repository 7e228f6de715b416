"""Chat Completions as OpenAI defined it and as the servers that imitate it really stream it.

``ChunkAssembler`` turns chunks, already parsed from JSON, into ``ModelEvent``s. It is liberal where servers are known
to differ and strict where a guess could execute something that the model did not finish saying:

* tool calls are keyed by ``index``; a new id at a used index is a new call (Ollama's ``/v1`` sends index 0 for each);
  a missing or repeated id gets one of our own; arguments may be a string in pieces, an object, or empty;
* what comes after the first ``finish_reason`` is ignored but for usage, so that a repeated last chunk repeats nothing;
* ``stop`` with tool calls means ``tool_calls``; ``length`` or ``content_filter`` with tool calls yields none of them;
* a stream that ends without ``finish_reason`` was cut, whatever the transport thinks.

Source: https://platform.openai.com/docs/api-reference/chat-streaming and the issues named in the tests beside.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import NoReturn

import attrs

from loom_core.contracts.models import (
    Finish,
    FinishReason,
    ModelEvent,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallEvent,
    Usage,
)
from loom_core.errors import ErrorCategory, ModelFailed
from loom_core.wire.chat_errors import failure_from_error

CHARACTERS_PER_TOKEN = 4

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "refusal": "refusal",
}
_BROKEN_OFF = frozenset({"error", "abort", "aborted", "cancelled"})  # vLLM and routers put a failure here


def random_call_id() -> str:
    """Return an id for a tool call that came without one, unique over the turns of a conversation."""
    return f"call_{secrets.token_hex(12)}"


class ChunkAssembler:
    """Turn the chunks of one Chat Completions stream into events.

    Call ``feed`` with each chunk in turn, then ``end`` once. Text, thinking and refusals come out as they go in; tool
    calls, ``Usage`` and the only ``Finish`` come out of ``end``, in this order, because usage follows the finish on
    the wire and a call may only be trusted once the finish is known. Both raise ``ModelFailed``.

    ``who`` names the server in messages. ``prompt_chars`` is the length of what was sent, from which usage is
    estimated when the server does not report it.
    """

    def __init__(
        self, *, who: str = "the server", prompt_chars: int = 0, new_id: Callable[[], str] = random_call_id
    ) -> None:
        self._who = who
        self._prompt_chars = prompt_chars
        self._new_id = new_id
        self._calls: list[_Call] = []
        self._open: dict[object, _Call] = {}
        self._usage: Usage | None = None
        self._answer_chars = 0
        self._refused = False
        self._reason: FinishReason | None = None

    @property
    def finished(self) -> bool:
        """True once a ``finish_reason`` has been seen: from here on a lost connection loses only the usage."""
        return self._reason is not None

    def feed(self, chunk: object) -> list[ModelEvent]:
        """Take one chunk and return the events that it completes. Raises ``ModelFailed`` for an error or nonsense."""
        if not isinstance(chunk, Mapping):
            self._nonsense("a chunk that is not an object")
        if chunk.get("error"):
            raise failure_from_error(chunk["error"], who=self._who)
        if isinstance(chunk.get("usage"), Mapping):
            self._usage = _usage(chunk["usage"])
        choices = chunk.get("choices") or []
        if not isinstance(choices, list):
            self._nonsense("`choices` that is not a list")
        return [event for choice in choices for event in self._choice(choice)]

    def end(self) -> list[ModelEvent]:
        """Return what can be said only now: tool calls, usage, finish. Raises ``ModelFailed`` if the stream was cut."""
        if self._reason is None:
            raise ModelFailed(
                f"{self._who} ended the stream without a finish reason: the answer was cut",
                error_category=ErrorCategory.TRANSIENT,
                is_retryable=True,
            )
        calls = self._finished_calls() if self._reason in ("stop", "tool_calls") else []
        return [*map(ToolCallEvent, calls), self._usage or self._estimate(), Finish(self._final_reason(calls))]

    def _choice(self, choice: object) -> list[ModelEvent]:
        if not isinstance(choice, Mapping):
            self._nonsense("a choice that is not an object")
        if self._reason is not None or choice.get("index") not in (None, 0):
            return []
        delta = choice.get("delta") or choice.get("message") or {}  # `message`: a server that ignored `stream`
        if not isinstance(delta, Mapping):
            self._nonsense("a `delta` that is not an object")
        events = self._texts(delta)
        self._tool_calls(delta)
        self._finish(choice.get("finish_reason"))
        return events

    def _texts(self, delta: Mapping[str, object]) -> list[ModelEvent]:
        thinking = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        text = _text(delta.get("content"))
        refusal = _text(delta.get("refusal"))
        self._answer_chars += len(thinking) + len(text) + len(refusal)
        self._refused = self._refused or bool(refusal)
        events: list[ModelEvent] = []
        if thinking:
            events.append(ThinkingDelta(thinking))
        if text:
            events.append(TextDelta(text))
        if refusal:
            events.append(RefusalDelta(refusal))
        return events

    def _tool_calls(self, delta: Mapping[str, object]) -> None:
        pieces = delta.get("tool_calls") or []
        if not isinstance(pieces, list):
            self._nonsense("`tool_calls` that is not a list")
        for piece in pieces:
            if not isinstance(piece, Mapping):
                self._nonsense("a tool call that is not an object")
            self._piece(piece.get("index"), piece.get("id"), piece.get("function"))
        if delta.get("function_call"):
            self._piece("function_call", None, delta["function_call"])

    def _piece(self, index: object, call_id: object, function: object) -> None:
        if not isinstance(function, Mapping | None) or not isinstance(index, str | int | None):
            self._nonsense("a tool call in an unknown form")
        function = function or {}
        given_id = str(call_id) if call_id else ""
        name = _text(function.get("name"))
        arguments = _argument_text(function.get("arguments"))
        self._answer_chars += len(arguments)
        call = self._call_for(index, given_id, name, arguments)
        call.id = call.id or given_id
        call.name = call.name or name
        call.arguments += arguments

    def _call_for(self, index: object, call_id: str, name: str, arguments: str) -> _Call:
        """Return the call that a piece belongs to, a new one if it starts one."""
        if index is None and not (call_id or name) and self._calls:
            return self._calls[-1]
        known = self._open.get(index)
        if known is not None and not known.is_followed_by(call_id, name, arguments):
            return known
        call = self._open[index] = _Call()
        self._calls.append(call)
        return call

    def _finish(self, reason: object) -> None:
        if not reason:
            return
        if reason in _BROKEN_OFF:
            raise ModelFailed(
                f"{self._who} broke the answer off: finish_reason `{reason}`",
                error_category=ErrorCategory.TRANSIENT,
                is_retryable=True,
            )
        self._reason = _REASONS.get(str(reason), "stop")

    def _finished_calls(self) -> list[ToolCall]:
        calls: list[ToolCall] = []
        used: set[str] = set()
        for call in self._calls:
            if not call.name:
                if not call.arguments:
                    continue  # an empty piece, as some servers send at the end
                self._nonsense("a tool call without a name")
            unique = call.id if call.id and call.id not in used else self._new_id()
            used.add(unique)
            calls.append(
                ToolCall(id=unique, name=call.name, arguments=call.arguments if call.arguments.strip() else "{}")
            )
        return calls

    def _final_reason(self, calls: list[ToolCall]) -> FinishReason:
        assert self._reason is not None
        if self._reason not in ("stop", "tool_calls"):
            return self._reason
        if calls:
            return "tool_calls"
        return "refusal" if self._refused else "stop"

    def _estimate(self) -> Usage:
        return Usage(
            input_tokens=-(-self._prompt_chars // CHARACTERS_PER_TOKEN),
            output_tokens=-(-self._answer_chars // CHARACTERS_PER_TOKEN),
            estimated=True,
        )

    def _nonsense(self, what: str) -> NoReturn:
        raise ModelFailed(
            f"{self._who} sent {what}: this is not a Chat Completions stream",
            error_category=ErrorCategory.TRANSIENT,
            is_retryable=True,
        )


@attrs.define
class _Call:
    """A tool call under assembly."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def is_followed_by(self, call_id: str, name: str, arguments: str) -> bool:
        """Return whether a piece at the same index starts another call instead of going on with this one."""
        if call_id and self.id:
            return call_id != self.id
        if not name or not self.name:
            return False
        return name != self.name or (bool(arguments) and _is_whole(self.arguments))


def _is_whole(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except ValueError:
        return False
    return True


def _text(value: object) -> str:
    """Return a text field; some servers send a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in value if isinstance(part, Mapping))
    return ""


def _argument_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _usage(data: Mapping[str, object]) -> Usage:
    return Usage(
        input_tokens=_count(data, "prompt_tokens"),
        output_tokens=_count(data, "completion_tokens"),
        cached_tokens=_count(data.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_count(data.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _count(data: object, name: str) -> int:
    value = data.get(name) if isinstance(data, Mapping) else None
    return value if isinstance(value, int) and value > 0 else 0
