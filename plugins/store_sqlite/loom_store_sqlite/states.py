"""States from the rows of ``steps``: a whole one and the differences after it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import apsw

from loom_core.history import WHOLE, WHOLE_ZLIB, HistoryCorrupt, apply, restore
from loom_store_sqlite.queries import all_rows
from loom_store_sqlite.rows import STEPS, base_of, range_of

_WHOLES = (WHOLE, WHOLE_ZLIB)


class Restored(NamedTuple):
    """A state's text, and how many rows lie between it and the whole state that it was made from."""

    text: str
    distance: int


class Entry(NamedTuple):
    """A row of ``steps`` with its state; ``text`` is None where the step completed the run."""

    row: tuple[Any, ...]
    text: str | None


def at(connection: apsw.Connection, run_no: int, step_index: int) -> Restored:
    """Return the last state up to the one that step ``step_index`` starts with, checked against its digest."""
    first = base_of(run_no)
    cursor = connection.execute(
        "SELECT form, body, digest FROM steps WHERE id BETWEEN ? AND ? AND form IS NOT NULL ORDER BY id DESC",
        (first, first + step_index + 1),
    )
    parts: list[tuple[int, bytes]] = []
    digest = b""
    for form, body, row_digest in cursor:
        digest = digest or row_digest
        parts.append((form, body))
        if form in _WHOLES:
            break
    # An open cursor would keep its snapshot.
    cursor.close()
    if not parts or parts[-1][0] not in _WHOLES:
        raise apsw.CorruptError(f"the state that step {step_index} starts with has no beginning")
    parts.reverse()
    text = _restored(parts)
    if blake2b(text.encode(), digest_size=16).digest() != digest:
        raise apsw.CorruptError(f"the state that step {step_index} starts with is not the one that was stored")
    return Restored(text, len(parts) - 1)


def left_by(connection: apsw.Connection, run_no: int, step_index: int) -> Restored | None:
    """Return the state that step ``step_index`` left; None if it left none, or its row is not kept."""
    row_id = base_of(run_no) + step_index + 2
    rows = all_rows(connection, "SELECT 1 FROM steps WHERE id = ? AND form IS NOT NULL", (row_id,))
    return at(connection, run_no, step_index + 1) if rows else None


def group_start(connection: apsw.Connection, run_no: int, step_index: int) -> int | None:
    """Return the last step up to ``step_index`` whose state is stored whole; None if there is none."""
    first = base_of(run_no)
    rows = all_rows(
        connection,
        "SELECT id FROM steps WHERE id BETWEEN ? AND ? AND form IN (?, ?) ORDER BY id DESC LIMIT 1",
        (first, first + step_index + 2, *_WHOLES),
    )
    return rows[0][0] - first - 2 if rows else None


def listed(connection: apsw.Connection, run_no: int, *, first: int, limit: int, states: bool) -> Iterator[Entry]:
    """Yield rows of ``STEPS`` from step ``first`` on with their states, or with None if ``states`` is False."""
    base, last = range_of(run_no)
    cursor = connection.execute(
        f"{STEPS} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", (base + max(first, -1) + 2, last, limit)
    )
    text: str | None = None
    for row in cursor:
        form, body = row[6], row[7]
        if not states or form is None:
            yield Entry(row, None)
            continue
        if text is None and form not in _WHOLES:
            text = at(connection, run_no, row[0] - base - 2).text
        text = after(text, form, body)
        yield Entry(row, text)


def after(text: str | None, form: int, body: bytes) -> str:
    """Return the state of a row, given the one before it (None: it must be whole)."""
    try:
        return restore([(form, body)]) if text is None else apply(text, form, body)
    except HistoryCorrupt as error:
        raise apsw.CorruptError(f"a stored state cannot be put together: {error}") from error


def _restored(parts: list[tuple[int, bytes]]) -> str:
    try:
        return restore(parts)
    except HistoryCorrupt as error:
        raise apsw.CorruptError(f"a stored state cannot be put together: {error}") from error
