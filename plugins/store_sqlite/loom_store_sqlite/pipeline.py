"""Checkpoints that are written a little later, many at a time: what ``pipelined`` durability is.

At most ``STEPS`` steps and ``SECONDS_S`` of them wait in memory, and nothing else of the run is written before them. A
process that dies loses them; they were pure steps, because an effect's intent is a write of the run, too.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import apsw

from loom_store_sqlite.fence import Fence

STEPS: Final = 100
SECONDS_S: Final = 0.005

_INSERT: Final = (
    "INSERT INTO steps(id, outcome, attempt_index, epoch, at, digest, form, body, notes) VALUES(?,1,?,?,?,?,?,?,?)"
)


class Waiting(NamedTuple):
    """A step of which nothing is written yet; the fields are those of its row."""

    id: int
    attempt_index: int
    epoch: int
    at: float
    digest: bytes
    form: int
    body: bytes
    notes: str | None


class Pipeline:
    """The steps of one writer that wait. ``clock`` is monotonic, seconds."""

    __slots__ = ("_first_index", "_until_s", "rows")

    def __init__(self) -> None:
        self.rows: list[Waiting] = []
        self._first_index = 0
        self._until_s = 0.0

    def add(self, step_index: int, row: Waiting) -> bool:
        """Take a step; return True if those that wait should be written now."""
        rows = self.rows
        if not rows:
            self._first_index = step_index
            self._until_s = time.monotonic() + SECONDS_S
        rows.append(row)
        return len(rows) >= STEPS or time.monotonic() >= self._until_s

    def take_back(self, row: Waiting) -> None:
        """Forget the newest step, if it is ``row``: it was not written, and its writer was told so."""
        if self.rows and self.rows[-1] is row:
            self.rows.pop()

    def write(self, connection: apsw.Connection, fence: Fence, rows: list[Waiting]) -> None:
        """Commit ``rows``, which are all that wait: the run's row goes forward by as many steps."""
        lease = fence.lease()
        fence.guarded(
            connection,
            "step_index = step_index + ?, attempt_index = 0, lease_wall_s = ?, lease_boot_s = ?, updated_at = ?",
            (len(rows), lease.wall_s, lease.boot_s, rows[-1].at),
            step_index=self._first_index,
        )
        connection.cursor().executemany(_INSERT, rows)
