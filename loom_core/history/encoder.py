"""From states to history entries."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from loom_core.contracts.stores import EncodedState
from loom_core.history.deltas import fields_delta, text_delta
from loom_core.history.fields import split
from loom_core.history.forms import DELTA, DELTA_ZLIB, DICTIONARY_CHARS, SAME, WHOLE, WHOLE_ZLIB

GROUP = 64
"""Entries from one whole state to the next, at most: the rows read to restore any of them."""

SHORT = 256
"""Characters up to which a state is stored whole: a difference would save nothing worth a look-up."""

_COMPRESS_FROM = 512

_COMPRESS_DELTA_FROM = 300
"""Bytes from which a delta is compressed: what a person or a model said, not the small change of a counting step."""


class HistoryEncoder:
    """Turns the states of one run, in their order, into history entries.

    Holds the last state's text. A new encoder begins with a whole state; ``resume`` makes one that goes on after a
    restart. What ``push`` returned must be stored, or the encoder be thrown away: the next entry builds on it.
    """

    __slots__ = ("_distance", "_fields", "_text")

    def __init__(self) -> None:
        self._text: str | None = None
        self._fields: Mapping[str, str] | None = None
        self._distance = 0

    @classmethod
    def resume(cls, text: str, distance: int) -> HistoryEncoder:
        """Return an encoder that goes on after the state ``text``, stored ``distance`` entries after a whole one."""
        if distance < 0:
            raise ValueError(f"a distance is not negative: {distance}")
        encoder = cls()
        encoder._text, encoder._distance = text, distance
        return encoder

    @property
    def distance(self) -> int:
        """How many entries after the last whole state the last entry is; 0 if it is whole itself."""
        return self._distance

    def push(self, state: EncodedState) -> tuple[int, bytes]:
        """Return the form and body of the next entry."""
        form, body = self._entry(state)
        self._distance = 0 if form in (WHOLE, WHOLE_ZLIB) else self._distance + 1
        self._text, self._fields = state.text, state.fields
        return form, body

    def _entry(self, state: EncodedState) -> tuple[int, bytes]:
        text = state.text
        if self._text is None or self._distance + 1 >= GROUP:
            return _whole(text)
        if text == self._text:
            return SAME, b""
        if len(text) <= SHORT:
            return WHOLE, text.encode()
        delta = self._delta(self._text, state)
        return _difference(delta.encode(), self._text) if len(delta) * 2 <= len(text) else _whole(text)

    def _delta(self, previous: str, state: EncodedState) -> str:
        if state.fields is None:
            return text_delta(previous, state.text)
        before = self._fields if self._fields is not None else split(previous)
        return text_delta(previous, state.text) if before is None else fields_delta(before, state.fields)


def _difference(delta: bytes, previous: str) -> tuple[int, bytes]:
    """Return a delta, compressed if it is long: what is said in a conversation uses the words that were said before."""
    if len(delta) < _COMPRESS_DELTA_FROM:
        return DELTA, delta
    packer = zlib.compressobj(6, wbits=-15, zdict=previous[-DICTIONARY_CHARS:].encode())
    packed = packer.compress(delta) + packer.flush()
    return (DELTA_ZLIB, packed) if len(packed) * 10 <= len(delta) * 9 else (DELTA, delta)


def _whole(text: str) -> tuple[int, bytes]:
    raw = text.encode()
    if len(text) > _COMPRESS_FROM:
        packed = zlib.compress(raw, 1)
        if len(packed) * 10 <= len(raw) * 9:
            return WHOLE_ZLIB, packed
    return WHOLE, raw
