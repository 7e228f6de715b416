"""The state of a conversation: what was said, with which model and tools, and since where the model sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from loom_core.contracts.models import Message
from loom_core.errors import ValueNotDecodable
from loom_core.runtime.model_calls import message_data, message_from

AGENT_NAME = "loom-run chat"
SIGNAL = "message"


@attrs.frozen(kw_only=True)
class Conversation:
    """One conversation. ``messages`` starts with the system message.

    ``tools`` are the names offered to the model. ``seen_from`` is the index of the first message after the system one
    that is still sent:
    it moves in large strides, so that consecutive requests begin alike. ``window_chars`` is how much is sent at most.
    ``turns`` counts the model's answers since the person last said something.
    """

    model: str
    workspace: str
    tools: tuple[str, ...]
    messages: tuple[Message, ...]
    window_chars: int
    seen_from: int = 1
    turns: int = 0

    def said(self, *messages: Message) -> Conversation:
        """Return the conversation with more messages."""
        return attrs.evolve(self, messages=(*self.messages, *messages))


def encode(conversation: Conversation) -> dict[str, Any]:
    """Return the conversation as JSON data; messages without the fields that have their defaults."""
    return {
        "model": conversation.model,
        "workspace": conversation.workspace,
        "tools": list(conversation.tools),
        "window_chars": conversation.window_chars,
        "seen_from": conversation.seen_from,
        "turns": conversation.turns,
        "messages": [message_data(m) for m in conversation.messages],
    }


def decode(data: Any) -> Conversation:
    """Return the conversation that ``encode`` made ``data`` of; raises ``ValueNotDecodable``."""
    try:
        fields = dict(data)
        messages = tuple(message_from(m) for m in fields.pop("messages"))
        return Conversation(**{**fields, "tools": tuple(fields["tools"])}, messages=messages)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ValueNotDecodable("state", f"this is no conversation of loom-run: {error}") from error


def user_message(payload: Any) -> Message:
    """Return what the person said, from the payload of a signal; raises ``ValueNotDecodable`` for anything else."""
    if isinstance(payload, Mapping) and payload.get("role") == "user" and isinstance(payload.get("content"), str):
        return Message(role="user", content=payload["content"])
    raise ValueNotDecodable("signal `message`", 'expected {"role": "user", "content": TEXT}')
