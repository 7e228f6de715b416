"""Models: a backend answers a request with a stream of events.

A backend translates one wire protocol and nothing else: no retries of its own (the runtime journals each attempt),
no hidden history, no environment beyond its configuration. Every stream ends in exactly one ``Finish``; a stream that
stops without one was cut, and the runtime treats it as a transient failure.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Literal, Protocol

import attrs

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "tool_calls", "length", "content_filter", "refusal"]


@attrs.frozen(kw_only=True)
class ToolCall:
    """A tool call that a model asks for. ``arguments`` is the JSON text as the model wrote it, not yet validated."""

    id: str
    name: str
    arguments: str


@attrs.frozen(kw_only=True)
class Message:
    """One message of a conversation.

    ``tool_call_id`` and ``name`` are set for role ``tool``, ``tool_calls`` for ``assistant``.
    """

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@attrs.frozen(kw_only=True)
class ToolSpec:
    """A tool as a model sees it; ``parameters`` is a JSON Schema object."""

    name: str
    description: str
    parameters: Mapping[str, object]


@attrs.frozen(kw_only=True)
class ModelRequest:
    """What is asked. ``model`` is the name within the backend, without its prefix.

    ``schema`` asks for an answer that is JSON of that schema. ``idempotency_key`` is stable over attempts of the same
    call; backends whose server knows such a header send it. Timeouts are seconds: until the first event, and between
    two.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    schema: Mapping[str, object] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    idempotency_key: str | None = None
    first_event_timeout_s: float = 300.0
    idle_timeout_s: float = 60.0


@attrs.frozen
class TextDelta:
    """A piece of the answer."""

    text: str


@attrs.frozen
class ThinkingDelta:
    """A piece of the model's reasoning, not part of the answer."""

    text: str


@attrs.frozen
class ToolCallEvent:
    """One whole tool call; backends assemble the pieces themselves."""

    call: ToolCall


@attrs.frozen
class RefusalDelta:
    """A piece of a refusal; shown, never parsed."""

    text: str


@attrs.frozen(kw_only=True)
class Usage:
    """Tokens of one call. ``estimated`` when the server did not say; ``cached`` is part of ``input_tokens``."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


@attrs.frozen
class Finish:
    """The end of the stream, and why the model stopped."""

    reason: FinishReason


ModelEvent = TextDelta | ThinkingDelta | ToolCallEvent | RefusalDelta | Usage | Finish


@attrs.frozen(kw_only=True)
class ModelAnswer:
    """The events of one stream, put together; what ``ctx.call_model`` returns and the journal records."""

    model: str
    finish: FinishReason
    text: str = ""
    thinking: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None

    def message(self) -> Message:
        """Return the assistant message that the next request carries; thinking is not sent back."""
        return Message(role="assistant", content=self.text or self.refusal, tool_calls=self.tool_calls)


@attrs.frozen(kw_only=True)
class ModelInfo:
    """A model that a backend offers. ``ready`` is False if it must be pulled first; ``size_bytes`` None if unknown."""

    name: str
    summary: str = ""
    ready: bool = True
    size_bytes: int | None = None


@attrs.frozen(kw_only=True)
class ModelCapabilities:
    """What is known of one model without asking it. ``context_tokens`` is what a request and its answer may take."""

    context_tokens: int | None = None


class PullProgress(Protocol):
    """Called as bytes arrive; ``total`` is None while it is unknown."""

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Report that ``done`` bytes of ``what`` are there."""
        ...


class ModelBackend(Protocol):
    """One way to reach models. Made once per runtime by its plugin's factory, which must not block or connect.

    Errors a backend raises are ``ModelFailed`` with a category: ``transient`` for what may work when asked again,
    ``permission`` for keys, ``validation`` for a request that the server refuses; ``ModelNotFound`` for a model that
    it does not have, with the way to get it as hint.
    """

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Ask; an async generator that is safe to close early, which cancels the generation."""
        ...

    async def capabilities(self, model: str) -> ModelCapabilities:
        """Return what is known of a model, generating nothing; asked before a run is begun with it.

        Raises ``ModelNotFound`` if the model certainly is not there, and ``ModelFailed`` if a server that has to be
        asked cannot be reached. Returning promises nothing: some servers answer under any name.
        """
        ...

    async def models(self) -> Sequence[ModelInfo]:
        """Return the models there are; raises ``ModelFailed`` when the server cannot be reached."""
        ...

    async def aclose(self) -> None:
        """Close connections and engines; a second call does nothing."""
        ...


class PullableBackend(ModelBackend, Protocol):
    """A backend that can fetch weights: a name from its catalogue, a path, or a URL."""

    async def pull(self, source: str, progress: PullProgress) -> ModelInfo:
        """Fetch a model's weights and return what is there now."""
        ...


def estimated_usage(request: ModelRequest, *, output_characters: int) -> Usage:
    """Return a guess for a server that did not count: four characters a token, rounded up, marked ``estimated``."""
    asked = sum(len(m.content) + sum(len(c.name) + len(c.arguments) for c in m.tool_calls) for m in request.messages)
    asked += sum(len(t.name) + len(t.description) + len(json.dumps(dict(t.parameters))) for t in request.tools)
    return Usage(input_tokens=-(-asked // 4), output_tokens=-(-output_characters // 4), estimated=True)


def unused_call_id(request: ModelRequest, taken: Collection[str] = ()) -> str:
    """Return an id for a tool call that came without one: unique in the conversation, the same every time."""
    used = {call.id for message in request.messages for call in message.tool_calls} | set(taken)
    return next(name for name in (f"call_{n}" for n in range(len(used) + 1)) if name not in used)


def sent_arguments(call: ToolCall) -> dict[str, object]:
    """Return a recorded call's arguments as the object that servers insist on when the conversation is sent again.

    A text that is no JSON object, for which the call was refused, is kept under ``invalid_arguments``: servers answer
    a history with broken arguments by refusing every later request of that conversation.
    """
    try:
        value = json.loads(call.arguments or "{}")
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"invalid_arguments": call.arguments}
