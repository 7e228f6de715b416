"""Finding runs that somebody may go on with, by indexes that the commit of a step does not touch.

``heads_to_do`` has the runs that are queued, running or waiting, and changes only with a run's status. A timer is found
by the wall clock or by its boot's own, since either may be ahead of the other; ``ready`` then decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import apsw

from loom_core.contracts.stores import Ready, RunRecord
from loom_core.contracts.timers import Moment
from loom_store_sqlite.queries import Row, all_rows
from loom_store_sqlite.reader import Reader

_UNDER_WAY = """
SELECT run_no FROM heads WHERE status = 'running'
UNION
SELECT run_no FROM heads WHERE status = 'waiting' AND wake_at <= :wall_s
UNION
SELECT t.run_no FROM timers t JOIN heads h ON h.run_no = t.run_no
 WHERE t.boot_id = :boot_id AND t.boot_s <= :boot_s AND h.status = 'waiting'
UNION
SELECT h.run_no FROM signals s CROSS JOIN heads h ON h.run_no = s.id >> 32
 WHERE s.consumed_by IS NULL AND h.status = 'waiting' AND h.wake_signal = s.name
ORDER BY 1
"""
_QUEUED = "SELECT run_no FROM heads WHERE status = 'queued' AND run_no > ? ORDER BY run_no LIMIT ?"
_PAGE = 64


def find(
    connection: apsw.Connection, reader: Reader, agents: Sequence[str], now: Moment, ready: Ready, limit: int
) -> list[RunRecord]:
    """Return runs that ``ready`` says can be claimed: those under way before those that nobody has begun."""
    wanted = json.dumps([*agents])
    found: list[RunRecord] = []
    for run_no in _candidates(connection, now):
        if len(found) >= limit:
            break
        if not _is_of(connection, run_no, wanted):
            continue
        record = reader.run_numbered(run_no)
        if ready(record, reader.waking_signal(run_no, record)):
            found.append(record)
    return found


def _candidates(connection: apsw.Connection, now: Moment) -> Iterator[int]:
    boot_id, boot_s = (None, None) if now.boot is None else (now.boot.boot_id, now.boot.at_s)
    bindings = {"wall_s": now.wall_s, "boot_id": boot_id, "boot_s": boot_s}
    rows: list[Row] = connection.execute(_UNDER_WAY, bindings).fetchall()
    yield from (row[0] for row in rows)
    last = 0
    while page := all_rows(connection, _QUEUED, (last, _PAGE)):
        yield from (row[0] for row in page)
        last = page[-1][0]


def _is_of(connection: apsw.Connection, run_no: int, wanted: str) -> bool:
    rows = all_rows(
        connection,
        "SELECT 1 FROM runs WHERE run_no = ? AND agent_name IN (SELECT value FROM json_each(?))",
        (run_no, wanted),
    )
    return bool(rows)
