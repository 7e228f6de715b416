"""The request as ``/api/chat`` wants it."""

from __future__ import annotations

from loom_core.contracts.models import Message, ModelRequest, sent_arguments
from loom_llm_ollama.settings import Settings

SWITCHES: dict[str, bool] = {"on": True, "off": False}


def body(request: ModelRequest, settings: Settings) -> dict[str, object]:
    """Return the JSON body; reads the request and keeps no reference into it.

    ``truncate`` and ``shift`` are off: Ollama would otherwise cut the oldest part, system prompt and tools first,
    from a conversation that is too long, and say nothing.
    """
    options: dict[str, object] = {"num_ctx": settings.num_ctx}
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    if request.temperature is not None:
        options["temperature"] = request.temperature
    made: dict[str, object] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": options,
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
        made["format"] = dict(request.schema)
    if settings.thinking != "default":
        made["think"] = SWITCHES.get(settings.thinking, settings.thinking)
    if settings.keep_alive is not None:
        made["keep_alive"] = _keep_alive(settings.keep_alive)
    return made


def _message(message: Message) -> dict[str, object]:
    made: dict[str, object] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        made |= {"tool_name": message.name or "", "tool_call_id": message.tool_call_id or ""}
    if message.tool_calls:
        made["tool_calls"] = [
            {"id": call.id, "function": {"index": index, "name": call.name, "arguments": sent_arguments(call)}}
            for index, call in enumerate(message.tool_calls)
        ]
    return made


def _keep_alive(value: str) -> str | int:
    """Return a bare number as a number: Ollama reads ``-1`` as seconds only then."""
    try:
        return int(value)
    except ValueError:
        return value
