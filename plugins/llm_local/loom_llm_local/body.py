"""The body of a request to the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from loom_core.contracts.models import Message, ModelRequest, ToolCall
from loom_core.wire.chat_requests import encode_message, encode_tool
from loom_llm_local.catalogue import known_model
from loom_llm_local.config import LocalConfig


def chat_body(request: ModelRequest, config: LocalConfig) -> Mapping[str, object]:
    """Return ``request`` as the engine takes it, with the settings that the request leaves open."""
    body: dict[str, object] = {
        "messages": [encode_message(_with_readable_calls(message)) for message in request.messages],
        "temperature": config.temperature if request.temperature is None else request.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    known = known_model(request.model)
    if max_tokens := request.max_tokens or config.max_tokens or (known.max_tokens if known else None):
        body["max_tokens"] = max_tokens
    if request.tools:
        body["tools"] = [encode_tool(tool) for tool in request.tools]
    if request.schema is not None:
        schema = {"name": "answer", "schema": dict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _with_readable_calls(message: Message) -> Message:
    return attrs.evolve(message, tool_calls=tuple(map(_readable, message.tool_calls)))


def _readable(call: ToolCall) -> ToolCall:
    """Return the call with arguments that the engine can parse: it refuses a whole conversation for one that it cannot.

    What the model wrote stays visible to it, as one string.
    """
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        arguments = None
    if isinstance(arguments, dict):
        return call
    return attrs.evolve(call, arguments=json.dumps({"malformed": call.arguments}))
