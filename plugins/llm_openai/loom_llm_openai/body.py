"""The request as Chat Completions wants it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from loom_core.contracts.models import Message, ModelRequest, sent_arguments

SCHEMA_NAME = "answer"


def body(request: ModelRequest, *, official: bool) -> dict[str, object]:
    """Return the JSON body; reads the request and keeps no reference into it.

    ``official``: OpenAI itself wants ``max_completion_tokens``, which other servers may not know.
    """
    made: dict[str, object] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        made["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in request.tools
        ]
    if request.schema is not None:
        form = {"name": SCHEMA_NAME, "schema": dict(request.schema), "strict": fits_strict_mode(request.schema)}
        made["response_format"] = {"type": "json_schema", "json_schema": form}
    if request.max_tokens is not None:
        made["max_completion_tokens" if official else "max_tokens"] = request.max_tokens
    if request.temperature is not None:
        made["temperature"] = request.temperature
    return made


def headers(request: ModelRequest) -> dict[str, str]:
    """Return the headers of this request. A key that a header cannot carry is sent as its hash, as stable as itself."""
    key = request.idempotency_key
    if key is None:
        return {}
    if not re.fullmatch(r"[!-~]{1,255}", key):
        key = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
    return {"Idempotency-Key": key}


def _message(message: Message) -> dict[str, object]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id or "", "content": message.content}
    made: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        made["content"] = message.content or None
        made["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(sent_arguments(call))},
            }
            for call in message.tool_calls
        ]
    return made


def fits_strict_mode(schema: object) -> bool:
    """Say whether OpenAI's strict mode takes the schema: every object closed, and all its properties required."""
    if not isinstance(schema, Mapping):
        return True
    if {"oneOf", "allOf", "patternProperties"} & schema.keys():
        return False
    if (schema.get("type") == "object" or "properties" in schema) and not _closed(schema):
        return False
    below = [schema.get("items"), *_members(schema.get("anyOf"))]
    for group in ("properties", "$defs", "definitions"):
        below += _members(schema.get(group))
    return all(map(fits_strict_mode, below))


def _closed(schema: Mapping[str, object]) -> bool:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    return (
        schema.get("additionalProperties") is False
        and isinstance(properties, Mapping)
        and isinstance(required, list)
        and {*properties} == {*required}
    )


def _members(group: object) -> list[object]:
    if isinstance(group, Mapping):
        return [*group.values()]
    return [*group] if isinstance(group, list) else []
