"""From history entries back to states."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from loom_core.history.deltas import changed_fields, is_text_splice, parse, spliced
from loom_core.history.fields import join, split
from loom_core.history.forms import DELTA, DELTA_ZLIB, DICTIONARY_CHARS, SAME, WHOLE, WHOLE_ZLIB, HistoryCorrupt


def restore(rows: Iterable[tuple[int, bytes]]) -> str:
    """Return the text of the last of the entries, given oldest first from a whole one on.

    Raises ``HistoryCorrupt``, which says which entry is wrong and how. A delta that was damaged into another valid one
    cannot be told here: compare the digest that is stored beside it.
    """
    state: _State | None = None
    for number, (form, body) in enumerate(rows):
        try:
            state = _applied(state, form, body)
        except HistoryCorrupt as fault:
            raise HistoryCorrupt(f"entry {number} of the group: {fault}") from fault
    if state is None:
        raise HistoryCorrupt("the group has no entries")
    return state.text()


def apply(previous_text: str, form: int, body: bytes) -> str:
    """Return the text of an entry, given the text of the one before; raises ``HistoryCorrupt``."""
    return _applied(_State(previous_text), form, body).text()


class _State:
    """A state as text, as fields, or both; the other is made when it is asked for, so that a group is split once."""

    __slots__ = ("_fields", "_text")

    def __init__(self, text: str | None, fields: Mapping[str, str] | None = None) -> None:
        self._text = text
        self._fields = fields

    def text(self) -> str:
        if self._text is None:
            assert self._fields is not None
            self._text = join(self._fields)
        return self._text

    def fields(self) -> Mapping[str, str]:
        if self._fields is None:
            self._fields = split(self.text())
            if self._fields is None:
                raise HistoryCorrupt("a delta of fields follows a state that is no object")
        return self._fields


def _applied(state: _State | None, form: int, body: bytes) -> _State:
    if form in (WHOLE, WHOLE_ZLIB):
        return _State(_text_of(form, body))
    if form not in (DELTA, DELTA_ZLIB, SAME):
        raise HistoryCorrupt(f"there is no form {form!r}")
    if state is None:
        raise HistoryCorrupt("a group must begin with a whole state")
    if form == SAME:
        if body:
            raise HistoryCorrupt(f"an unchanged state has {len(body)} bytes")
        return state
    delta = parse(_unpacked(body, state.text()) if form == DELTA_ZLIB else body)
    if is_text_splice(delta):
        return _State(spliced(state.text(), delta, "the state"))
    return _State(None, changed_fields(state.fields(), delta))


def _unpacked(body: bytes, previous: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=-15, zdict=previous[-DICTIONARY_CHARS:].encode())
    try:
        delta = unpacker.decompress(body) + unpacker.flush()
    except zlib.error as broken:
        raise HistoryCorrupt(f"a compressed delta cannot be read: {broken}") from broken
    if not unpacker.eof or unpacker.unused_data:
        raise HistoryCorrupt("a compressed delta is cut off or too long")
    return delta


def _text_of(form: int, body: bytes) -> str:
    try:
        return (zlib.decompress(body) if form == WHOLE_ZLIB else body).decode()
    except zlib.error as broken:
        raise HistoryCorrupt(f"a compressed state cannot be read: {broken}") from broken
    except UnicodeDecodeError as broken:
        raise HistoryCorrupt(f"a whole state is not UTF-8: {broken}") from broken
