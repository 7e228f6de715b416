"""What is kept of a timer beside its wall time: the moment on its boot's own clock, and whether it has run out."""

from __future__ import annotations

from collections.abc import Iterator

import apsw

from loom_core.contracts.stores import Finding, RunRecord
from loom_core.contracts.timers import BootTime
from loom_store_sqlite.queries import all_rows


def keep(connection: apsw.Connection, run_no: int, boot: BootTime | None, *, timed_out: bool = False) -> None:
    """Keep the moment at which a run is due, and whether its next step goes on without its signal."""
    if boot is None and not timed_out:
        forget(connection, run_no)
        return
    boot_id, boot_s = (None, None) if boot is None else (boot.boot_id, boot.at_s)
    connection.execute(
        "INSERT INTO timers(run_no, boot_id, boot_s, timed_out) VALUES(?, ?, ?, ?) ON CONFLICT(run_no) DO UPDATE"
        " SET boot_id = excluded.boot_id, boot_s = excluded.boot_s, timed_out = excluded.timed_out",
        (run_no, boot_id, boot_s, timed_out),
    )


def forget(connection: apsw.Connection, run_no: int) -> None:
    """Forget the run's timer; there may be none."""
    connection.execute("DELETE FROM timers WHERE run_no = ?", (run_no,))


def has_timed_out(connection: apsw.Connection, run_no: int) -> bool:
    """Return True if the run's next step goes on without the signal it waited for."""
    return bool(all_rows(connection, "SELECT 1 FROM timers WHERE run_no = ? AND timed_out", (run_no,)))


def run_out(connection: apsw.Connection, run_no: int, *, timed_out: bool) -> None:
    """Clear a timer that has woken its run; ``timed_out`` if its step goes on without the signal it waited for."""
    connection.execute("UPDATE heads SET wake_at = NULL WHERE run_no = ?", (run_no,))
    keep(connection, run_no, None, timed_out=timed_out)


def findings(record: RunRecord) -> Iterator[Finding]:
    """Yield what contradicts itself in a run's timer."""
    if record.status == "waiting" and record.reason in ("timer", "retry") and record.wake_at is None:
        yield _finding(record, "it waits for a time, and none is stored", "it would wait for ever")
    if record.wake_boot is not None and record.wake_at is None:
        yield _finding(
            record, "a moment on its boot's clock is stored, and none on the wall clock", "it may never be due"
        )


def _finding(record: RunRecord, what: str, meaning: str) -> Finding:
    return Finding(run_id=record.run_id, where="timer", what=what, meaning=meaning)
