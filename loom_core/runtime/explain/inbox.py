"""What came to a run from outside: signals, and what a person said in a conversation."""

from __future__ import annotations

from collections.abc import Iterator

from loom_core.contracts.stores import SignalRecord
from loom_core.runtime.explain.events import Event, Said, SignalCame
from loom_core.runtime.explain.questions import wish_of
from loom_core.runtime.explain.reading import CHAT_AGENT, Material
from loom_core.runtime.explain.text import parsed, whole

MESSAGE = "message"


def signals_of(material: Material) -> Iterator[Event]:
    """Tell of the inbox; what a person said and a step took up is told at that step."""
    is_chat = material.record.agent.name == CHAT_AGENT
    for signal in material.signals:
        wish = wish_of(signal)
        if wish is not None:
            yield wish
        elif not is_chat or signal.name != MESSAGE:
            yield SignalCame(
                at=signal.sent_at,
                name=signal.name,
                payload=whole(signal.payload),
                consumed_by=signal.consumed_by,
                by=None if signal.sender is None else str(signal.sender),
            )
        elif signal.consumed_by is None:
            yield said_of(signal)


def messages_of(material: Material) -> Iterator[SignalRecord]:
    """Yield the messages of a conversation."""
    if material.record.agent.name == CHAT_AGENT:
        yield from (s for s in material.signals if s.name == MESSAGE)


def said_of(signal: SignalRecord) -> Said:
    """Return a message as what the person said; one of another shape as it is."""
    text = _text_of(signal)
    return Said(at=signal.sent_at, text=whole(signal.payload) if text is None else text, consumed_by=signal.consumed_by)


def _text_of(signal: SignalRecord) -> str | None:
    data = parsed(signal.payload)
    said = data.get("content") if isinstance(data, dict) else None
    return whole(said) if isinstance(said, str) else None


def first_words(state: str | None) -> str | None:
    """Return what a conversation was begun with, from its initial state."""
    data = parsed(state)
    messages = data.get("messages") if isinstance(data, dict) else None
    if not isinstance(messages, list):
        return None
    said = [m.get("content") for m in messages if isinstance(m, dict) and m.get("role") == "user"]
    return whole(said[-1]) if said and isinstance(said[-1], str) else None
