"""The inbox of a run: messages that anybody may append, which its owner reads."""

from __future__ import annotations

import apsw

from loom_core.contracts.stores import SignalRecord
from loom_store_sqlite import payloads, seals
from loom_store_sqlite.payloads import Prepared
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.rows import SEQUENCE_MASK, SIGNALS, range_of, signal_record


def note_count(connection: apsw.Connection, run_no: int) -> None:
    """Note how many signals have come, so that one that is lost is missed."""
    connection.execute(
        "INSERT INTO inboxes(run_no, signals) SELECT ?1, max(id) & ?2 FROM signals WHERE id BETWEEN ?3 AND ?4"
        " HAVING max(id) IS NOT NULL ON CONFLICT(run_no) DO UPDATE SET signals = excluded.signals",
        (run_no, SEQUENCE_MASK, *range_of(run_no)),
    )


def append(connection: apsw.Connection, run_no: int, name: str, payload: Prepared, now: float) -> SignalRecord:
    """Append a signal and return it; inside a transaction."""
    base, last = range_of(run_no)
    newest = one_row(connection, "SELECT max(id) FROM signals WHERE id BETWEEN ? AND ?", (base, last))[0]
    row_id = base + (newest & SEQUENCE_MASK if newest is not None else 0) + 1
    connection.execute(
        "INSERT INTO signals(id, name, payload, sent_at, seal) VALUES(?, ?, ?, ?, ?)",
        (row_id, name, payloads.put(connection, payload), now, seals.of_signal(name, seals.mark(payload), now)),
    )
    note_count(connection, run_no)
    rows = all_rows(connection, f"{SIGNALS} WHERE id = ?", (row_id,))
    return signal_record(connection, rows[0])
