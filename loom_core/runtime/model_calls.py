"""A model call: its request as it is recorded, its stream put together, its answer as JSON.

Messages are recorded without the fields that have their defaults: a conversation repeats them in every request, and
what is stored of a message is exactly one text that the store keeps once per run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from loom_core.contracts.models import (
    Finish,
    Message,
    ModelAnswer,
    ModelBackend,
    ModelEvent,
    ModelRequest,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallEvent,
    ToolSpec,
    Usage,
)
from loom_core.errors import ErrorCategory, ModelFailed


class ModelCall:
    """One request, in the form in which it is journaled."""

    def __init__(
        self,
        model: str,
        messages: tuple[Message, ...],
        tools: tuple[ToolSpec, ...],
        schema: Mapping[str, object] | None,
    ) -> None:
        from loom_core.values import encode_json

        self._messages = messages
        self._tools = tools
        self._schema = schema
        offered = [{"name": t.name, "description": t.description, "parameters": dict(t.parameters)} for t in tools]
        request: dict[str, object] = {"model": model}
        if offered:
            request["tools"] = offered
        if schema is not None:
            request["schema"] = dict(schema)
        self.arguments = encode_json(request, "model request")
        self.message_texts = tuple(encode_json(message_data(m), f"messages[{i}]") for i, m in enumerate(messages))
        whole = hashlib.blake2b(self.arguments.encode(), digest_size=16)
        for text in self.message_texts:
            whole.update(b"\n" + text.encode())
        self.arguments_digest = whole.digest()

    async def ask(
        self,
        backend: ModelBackend,
        model: str,
        idempotency_key: str,
        tell: Callable[[ModelEvent], None],
        max_tokens: int | None = None,
    ) -> ModelAnswer:
        """Stream the answer, of at most ``max_tokens`` tokens, telling each event, and return it whole."""
        request = ModelRequest(
            model=model,
            messages=self._messages,
            tools=self._tools,
            schema=self._schema,
            idempotency_key=idempotency_key,
            max_tokens=max_tokens,
        )
        return await _collect(backend, request, tell)

    @staticmethod
    def encode(answer: ModelAnswer) -> str:
        """Return the answer as the JSON text that is recorded."""
        from loom_core.values import encode_json

        data: dict[str, object] = {"model": answer.model, "finish": answer.finish}
        data.update({name: text for name in ("text", "thinking", "refusal") if (text := getattr(answer, name))})
        if answer.tool_calls:
            data["tool_calls"] = [call_data(c) for c in answer.tool_calls]
        if answer.usage is not None:
            data["usage"] = {
                "input_tokens": answer.usage.input_tokens,
                "output_tokens": answer.usage.output_tokens,
                "cached_tokens": answer.usage.cached_tokens,
                "reasoning_tokens": answer.usage.reasoning_tokens,
                "estimated": answer.usage.estimated,
            }
        return encode_json(data, "model answer")

    @staticmethod
    def decode(text: str | None) -> ModelAnswer:
        """Return a recorded answer."""
        data: dict[str, Any] = json.loads(text or "{}")
        usage = data.pop("usage", None)
        calls = tuple(ToolCall(**c) for c in data.pop("tool_calls", ()))
        return ModelAnswer(**data, tool_calls=calls, usage=None if usage is None else Usage(**usage))


def message_data(message: Message) -> dict[str, object]:
    """Return a message as JSON data without the fields that have their defaults; ``message_from`` is its inverse."""
    data: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        data["tool_calls"] = [call_data(c) for c in message.tool_calls]
    if message.tool_call_id is not None:
        data["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        data["name"] = message.name
    return data


def message_from(data: Mapping[str, Any]) -> Message:
    """Return the message that ``message_data`` made ``data`` of."""
    fields = dict(data)
    calls = tuple(ToolCall(**call) for call in fields.pop("tool_calls", ()))
    return Message(**fields, tool_calls=calls)


def call_data(call: ToolCall) -> dict[str, object]:
    """Return a model's tool call as JSON data."""
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


async def _collect(backend: ModelBackend, request: ModelRequest, tell: Callable[[ModelEvent], None]) -> ModelAnswer:
    texts: dict[type, list[str]] = {TextDelta: [], ThinkingDelta: [], RefusalDelta: []}
    calls: list[ToolCall] = []
    usage: Usage | None = None
    finish: Finish | None = None
    stream = backend.stream(request)
    try:
        timeout_s = request.first_event_timeout_s
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    event = await anext(stream)
            except StopAsyncIteration:
                break
            timeout_s = request.idle_timeout_s
            if isinstance(event, (TextDelta, ThinkingDelta, RefusalDelta)):
                texts[type(event)].append(event.text)
            elif isinstance(event, ToolCallEvent):
                calls.append(event.call)
            elif isinstance(event, Usage):
                usage = event
            else:
                finish = event
            tell(event)
    finally:
        # Closing the stream cancels the generation; an async generator that is only dropped is closed much later.
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
    if finish is None:
        raise ModelFailed(f"the answer of model `{request.model}` was cut off", error_category=ErrorCategory.TRANSIENT)
    return ModelAnswer(
        model=request.model,
        finish=finish.reason,
        text="".join(texts[TextDelta]),
        thinking="".join(texts[ThinkingDelta]),
        refusal="".join(texts[RefusalDelta]),
        tool_calls=tuple(calls),
        usage=usage,
    )
