"""Runs out of the file, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from loom_core.contracts.dumps import CallNode, MessageNode, Part
from loom_store_sqlite import approvals, budgets, gaps, payloads, states
from loom_store_sqlite.queries import all_rows
from loom_store_sqlite.reader import Reader
from loom_store_sqlite.rows import (
    ATTEMPTS,
    CALLS,
    CLAIMS,
    SIGNALS,
    attempt_record,
    call_record,
    claim_record,
    range_of,
    signal_record,
    step_record,
)

_ALL = 1 << 62


def parts_of(connection: apsw.Connection, name: str, run_ids: Sequence[str] | None) -> Iterator[Part]:
    """Yield the parts of runs."""
    reader = Reader(connection, name)
    if run_ids is None:
        numbers = [row[0] for row in all_rows(connection, "SELECT run_no FROM runs ORDER BY run_no")]
    else:
        numbers = [reader.run_no(run_id) for run_id in run_ids]
    for run_no in numbers:
        yield reader.run_numbered(run_no)
        yield from gaps.listed(connection, run_no)
        budget = budgets.node_of(connection, run_no, reader.run_numbered(run_no).run_id)
        if budget is not None:
            yield budget
        yield from _parts_of_run(connection, run_no)


def _parts_of_run(connection: apsw.Connection, run_no: int) -> Iterator[Part]:
    ids = range_of(run_no)

    def rows(select: str, key: str = "id") -> Iterator[tuple[Any, ...]]:
        # A cursor of its own: others are open while this one is read.
        return iter(connection.cursor().execute(f"{select} WHERE {key} BETWEEN ? AND ? ORDER BY {key}", ids))

    for row in rows(CLAIMS, "c.id"):
        yield claim_record(connection, row)
    for entry in states.listed(connection, run_no, first=-1, limit=_ALL, states=True):
        yield step_record(connection, entry.row, entry.text)
    for row in rows(ATTEMPTS):
        yield attempt_record(connection, row)
    for node, parent, body in connection.cursor().execute(_MESSAGES, (-run_no,)):
        text = payloads.load_required(connection, body)
        yield MessageNode(node=node, parent=None if parent < 0 else parent, text=text)
    for row in rows(CALLS.replace("tokens_out\n", "tokens_out, messages, id\n")):
        charge = budgets.charge_at(connection, row[-1])
        yield CallNode(call=call_record(connection, row), messages=row[-2], charge=charge)
    for row in rows(SIGNALS):
        yield signal_record(connection, row)
    yield from approvals.listed(connection, run_no, pending=False, now=0.0, limit=_ALL, offset=0)


_MESSAGES = """
WITH RECURSIVE below(id, parent, body) AS (
    SELECT id, parent, body FROM messages WHERE parent = ?
    UNION ALL
    SELECT m.id, m.parent, m.body FROM messages m JOIN below ON m.parent = below.id
)
SELECT id, parent, body FROM below ORDER BY id
"""
