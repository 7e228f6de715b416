"""Requests in Chat Completions form: messages and tools as plain data."""

from __future__ import annotations

from loom_core.contracts.models import Message, ModelRequest, ToolSpec


def encode_message(message: Message) -> dict[str, object]:
    """Return one message as Chat Completions writes it. An assistant's empty text beside tool calls is null."""
    data: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        data["content"] = message.content or None
        data["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        data["tool_call_id"] = message.tool_call_id
    return data


def encode_tool(tool: ToolSpec) -> dict[str, object]:
    """Return one tool as Chat Completions writes it."""
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def prompt_chars(request: ModelRequest) -> int:
    """Return the characters that a request sends, for an estimate of its tokens."""
    texts = [message.content for message in request.messages]
    texts += [call.name + call.arguments for message in request.messages for call in message.tool_calls]
    texts += [tool.name + tool.description + str(tool.parameters) for tool in request.tools]
    return sum(map(len, texts))
