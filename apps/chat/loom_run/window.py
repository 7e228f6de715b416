"""Which part of a long conversation the model is sent.

A conversation outgrows every model's context. The system message and the newest messages are sent; when they exceed
the window, the older half is left out at once rather than a message at a time: requests that begin alike are stored
once
and can be cached by servers. An assistant's tool calls are never separated from their results, and a single result
that is too
large is cut with a word to the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from loom_core.contracts.models import Message
from loom_run.conversation import Conversation

# What one message may take of the window; the rest is for the question and the answer.
LARGEST_SHARE = 3


def advance(conversation: Conversation) -> Conversation:
    """Return the conversation with ``seen_from`` moved so that what is sent fits into the window."""
    messages = conversation.messages
    if _size(conversation, conversation.seen_from) <= conversation.window_chars:
        return conversation
    start = conversation.seen_from
    while start < len(messages) - 1 and _size(conversation, start) > conversation.window_chars // 2:
        start = _next_start(messages, start)
    return attrs.evolve(conversation, seen_from=start)


def request_messages(conversation: Conversation) -> tuple[Message, ...]:
    """Return the messages that the model is sent."""
    limit = conversation.window_chars // LARGEST_SHARE
    sent = (conversation.messages[0], *conversation.messages[conversation.seen_from :])
    return tuple(_cut(message, limit) for message in sent)


def _next_start(messages: Sequence[Message], start: int) -> int:
    """Return the next index at which a request may begin: not at a tool result, whose call would be missing."""
    start += 1
    while start < len(messages) - 1 and messages[start].role == "tool":
        start += 1
    return start


def _size(conversation: Conversation, start: int) -> int:
    limit = conversation.window_chars // LARGEST_SHARE
    sent = (conversation.messages[0], *conversation.messages[start:])
    return sum(min(len(m.content), limit) + sum(len(c.arguments) for c in m.tool_calls) for m in sent)


def _cut(message: Message, limit: int) -> Message:
    if len(message.content) <= limit or message.role == "system":
        return message
    left_out = len(message.content) - limit
    return attrs.evolve(message, content=f"{message.content[:limit]}\n[… {left_out} more characters were left out]")
