"""The inbox of a run: messages that anybody may append, which its owner reads."""

from __future__ import annotations

import apsw

from loom_core.contracts.people import CONTROLS, Person
from loom_core.contracts.stores import SignalRecord
from loom_store_sqlite import payloads
from loom_store_sqlite.payloads import Prepared
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.rows import SEQUENCE_MASK, SIGNALS, range_of, signal_record


def append(
    connection: apsw.Connection, run_no: int, name: str, payload: Prepared, now: float, sender: Person | None = None
) -> SignalRecord:
    """Append a signal and return it; inside a transaction."""
    base, last = range_of(run_no)
    newest = one_row(connection, "SELECT max(id) FROM signals WHERE id BETWEEN ? AND ?", (base, last))[0]
    row_id = base + (newest & SEQUENCE_MASK if newest is not None else 0) + 1
    connection.execute(
        "INSERT INTO signals(id, name, payload, sent_at, sent_by, sent_user) VALUES(?, ?, ?, ?, ?, ?)",
        (
            row_id,
            name,
            payloads.put(connection, payload),
            now,
            None if sender is None else sender.name,
            None if sender is None else sender.user,
        ),
    )
    rows = all_rows(connection, f"{SIGNALS} WHERE id = ?", (row_id,))
    return signal_record(connection, rows[0])


def pending_controls(connection: apsw.Connection, run_no: int) -> list[SignalRecord]:
    """Return the wishes of people that nothing has taken up; an index holds nothing but pending messages."""
    names = ", ".join(f"'{name}'" for name in CONTROLS)
    rows = all_rows(
        connection,
        f"{SIGNALS} WHERE name IN ({names}) AND consumed_by IS NULL AND id BETWEEN ? AND ? ORDER BY id",
        range_of(run_no),
    )
    return [signal_record(connection, row) for row in rows]


def take(connection: apsw.Connection, run_no: int, signal_ids: tuple[int, ...], step_index: int) -> None:
    """Mark wishes as taken up before or by a step."""
    base = range_of(run_no)[0]
    for signal_id in signal_ids:
        connection.execute(
            "UPDATE signals SET consumed_by = ? WHERE id = ? AND consumed_by IS NULL", (step_index, base + signal_id)
        )
