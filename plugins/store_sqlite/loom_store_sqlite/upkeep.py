"""Keeping the file in order: what is in it, and how history, runs and texts that nobody needs go."""

from __future__ import annotations

from typing import Final

import apsw

from loom_core.contracts.upkeep import Admissible, StoreInfo
from loom_store_sqlite import budgets, gaps, states
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.reader import Reader
from loom_store_sqlite.rows import base_of, range_of

BY_ID: Final = ("steps", "attempts", "calls", "claims", "signals", "gaps", "agents", "approvals", "reservations")
"""Tables whose ids are run_no << 32 | n."""

BY_RUN_NO: Final = ("heads", "origins", "inboxes", "timers", "budgets", "runs")
"""Tables with one row a run."""

SHARED: Final = ("payloads", "messages", "numbers", "schedules")
"""Tables whose rows belong to no run, or to one by a tree."""

TEXTS: Final = {
    "heads": ("result", "error"),
    "steps": ("notes",),
    "attempts": ("error",),
    "calls": ("arguments", "result", "error", "facts", "late_result"),
    "claims": ("owner",),
    "signals": ("payload",),
    "approvals": ("subject", "arguments", "approvers", "facts", "note"),
    "messages": ("body",),
}
"""Columns that may hold the id of a payload; ``tests/plugins/store_sqlite/test_upkeep.py`` compares with the schema."""


def info(connection: apsw.Connection, name: str) -> StoreInfo:
    """Return what is in the file."""
    (size,), (pages,), (free,) = (
        one_row(connection, f"PRAGMA {pragma}") for pragma in ("page_size", "page_count", "freelist_count")
    )
    counts = {table: one_row(connection, f"SELECT count(*) FROM {table}")[0] for table in _COUNTED}  # noqa: S608
    return StoreInfo(
        location=name,
        kind="sqlite",
        version=one_row(connection, "PRAGMA user_version")[0],
        bytes=size * pages,
        free_bytes=size * free,
        runs=dict(all_rows(connection, "SELECT status, count(*) FROM heads GROUP BY status ORDER BY status")),
        rows=counts,
    )


_COUNTED = ("runs", "steps", "attempts", "calls", "messages", "signals", "claims", "payloads")


def prune_history(connection: apsw.Connection, name: str, run_id: str, keep_steps: int, *, dry_run: bool) -> int:
    """Forget whole groups of history; see ``StoreUpkeep.prune_history``."""
    reader = Reader(connection, name)
    run_no = reader.run_no(run_id)
    head = one_row(connection, "SELECT step_index FROM heads WHERE run_no = ?", (run_no,))[0]
    start = states.group_start(connection, run_no, head - 1 - keep_steps)
    if start is None or start < 0:
        return 0
    first = base_of(run_no)
    count: int = one_row(connection, "SELECT count(*) FROM steps WHERE id BETWEEN ? AND ?", (first, first + start + 1))[
        0
    ]
    if count and not dry_run:
        gaps.cut(connection, run_no, start)
    return count


def delete_run(connection: apsw.Connection, name: str, run_id: str, admit: Admissible) -> None:
    """Take a run away with everything that belongs to it."""
    reader = Reader(connection, name)
    run_no = reader.run_no(run_id)
    admit(reader.run_numbered(run_no))
    # A writer that was fenced out may still exist somewhere: its run's number must never be another run's.
    connection.execute("UPDATE numbers SET last_run_no = max(last_run_no, (SELECT max(run_no) FROM runs))")
    budgets.forget(connection, run_no)
    connection.execute(_DELETE_MESSAGES, (-run_no,))
    for table in BY_ID:
        connection.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", range_of(run_no))  # noqa: S608 - above
    for table in BY_RUN_NO:
        connection.execute(f"DELETE FROM {table} WHERE run_no = ?", (run_no,))  # noqa: S608 - above


def sweep(connection: apsw.Connection) -> int:
    """Delete payloads that no column refers to; one transaction, so that nobody refers to one meanwhile."""
    used = " UNION ALL ".join(
        f"SELECT {column} FROM {table} WHERE typeof({column}) = 'integer'"  # noqa: S608 - from TEXTS
        for table, columns in TEXTS.items()
        for column in columns
    )
    connection.execute(f"DELETE FROM payloads WHERE id NOT IN ({used})")  # noqa: S608 - above
    return connection.changes()


_DELETE_MESSAGES = """
WITH RECURSIVE below(id) AS (
    SELECT id FROM messages WHERE parent = ?
    UNION ALL
    SELECT m.id FROM messages m JOIN below ON m.parent = below.id
)
DELETE FROM messages WHERE id IN below
"""
