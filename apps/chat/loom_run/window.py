"""Which part of a long conversation the model is sent.

A conversation outgrows every model's context. The system message, the question under way and the newest messages are
sent; when they exceed the window, the older half is left out at once rather than a message at a time: requests that
begin alike are stored once and can be cached by servers. An assistant's tool calls are never separated from their
results. What is still too large (a long result, long arguments) is cut with a word to the model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import attrs

from loom_core.contracts.models import Message, ToolCall
from loom_run.conversation import Conversation

# What one message may take of the window; the rest is for the question and the answer.
LARGEST_SHARE = 3
# What a message costs besides its text: its role, its place in the template.
OVERHEAD_CHARS = 16
SMALLEST_CUT = 100


def advance(conversation: Conversation) -> Conversation:
    """Return the conversation with ``seen_from`` moved so that what is sent fits into the window."""
    limit = conversation.window_chars // LARGEST_SHARE
    if _size(_sent(conversation, conversation.seen_from), limit) <= conversation.window_chars:
        return conversation
    later = [i for i in range(conversation.seen_from + 1, len(conversation.messages)) if _may_begin(conversation, i)]
    for start in later:
        if _size(_sent(conversation, start), limit) <= conversation.window_chars // 2:
            return attrs.evolve(conversation, seen_from=start)
    return attrs.evolve(conversation, seen_from=later[-1] if later else conversation.seen_from)


def request_messages(conversation: Conversation) -> tuple[Message, ...]:
    """Return the messages that the model is sent, in at most ``window_chars``.

    Where one answer asked for more than fits, everything is cut harder until it does.
    """
    sent = _sent(conversation, conversation.seen_from)
    limit = conversation.window_chars // LARGEST_SHARE
    while limit > SMALLEST_CUT and _size(sent, limit) > conversation.window_chars:
        limit = max(SMALLEST_CUT, limit // 2)
    return tuple(_cut(message, limit) for message in sent)


def _sent(conversation: Conversation, start: int) -> Sequence[Message]:
    """Return system message, the question under way even if it is older than ``start``, and what follows ``start``."""
    messages = conversation.messages
    question = max((i for i, m in enumerate(messages) if m.role == "user"), default=start)
    pinned = (messages[question],) if question < start else ()
    return (messages[0], *pinned, *messages[start:])


def _may_begin(conversation: Conversation, index: int) -> bool:
    """Say whether a request may begin here: not at a tool result, whose call would be missing."""
    return conversation.messages[index].role != "tool"


def _size(sent: Sequence[Message], limit: int) -> int:
    return sum(_length(_cut(message, limit)) for message in sent)


def _length(message: Message) -> int:
    calls = sum(OVERHEAD_CHARS + len(c.name) + len(c.arguments) for c in message.tool_calls)
    return OVERHEAD_CHARS + len(message.content) + calls


def _cut(message: Message, limit: int) -> Message:
    if message.role == "system" or (
        len(message.content) <= limit and all(len(c.arguments) <= limit for c in message.tool_calls)
    ):
        return message
    calls = tuple(_cut_call(call, limit) for call in message.tool_calls)
    left_out = len(message.content) - limit
    if left_out <= 0:
        return attrs.evolve(message, tool_calls=calls)
    content = f"{message.content[:limit]}\n[… {left_out} more characters were left out]"
    return attrs.evolve(message, content=content, tool_calls=calls)


def _cut_call(call: ToolCall, limit: int) -> ToolCall:
    if len(call.arguments) <= limit:
        return call
    # A cut text would not be JSON, and servers refuse a conversation with such arguments in it.
    return attrs.evolve(call, arguments=json.dumps({"left_out": f"{len(call.arguments)} characters"}))
