"""The fence: every write of a run's progress goes through the guard of its epoch, and renews the lease."""

from __future__ import annotations

from typing import Any

import apsw

from loom_core.contracts.stores import Lease
from loom_core.errors import LeaseLost
from loom_store_sqlite.clocks import Clocks
from loom_store_sqlite.rows import base_of


class Fence:
    """One claim of one run, as its writer uses it.

    ``budget_no`` is the run whose budget it draws from, None if there is none.
    """

    __slots__ = ("base", "budget_no", "claimed_s", "clocks", "epoch", "lease_s", "run_id", "run_no")

    def __init__(self, *, run_id: str, run_no: int, epoch: int, lease_s: float, clocks: Clocks) -> None:
        self.run_id = run_id
        self.run_no = run_no
        self.epoch = epoch
        self.lease_s = lease_s
        self.clocks = clocks
        self.base = base_of(run_no)
        self.claimed_s = clocks.steady_s()
        self.budget_no: int | None = None

    def lease(self) -> Lease:
        """Return the lease that a write at this moment gives."""
        boot_s = self.clocks.boot()
        return Lease(wall_s=self.clocks.wall() + self.lease_s, boot_s=None if boot_s is None else boot_s + self.lease_s)

    def renew(self, connection: apsw.Connection, changes: str = "", values: tuple[Any, ...] = ()) -> None:
        """Renew the lease and make ``changes`` to the run's row. Raises ``LeaseLost``, with nothing changed."""
        lease = self.lease()
        comma = ", " if changes else ""
        self.guarded(
            connection,
            f"lease_wall_s = ?, lease_boot_s = ?, updated_at = ?{comma}{changes}",
            (lease.wall_s, lease.boot_s, self.clocks.wall(), *values),
        )

    def guarded(
        self,
        connection: apsw.Connection,
        changes: str,
        values: tuple[Any, ...],
        *,
        step_index: int | None = None,
    ) -> None:
        """Change the row if this epoch still owns the run (before ``step_index``, if given), else ``LeaseLost``."""
        step_guard = "" if step_index is None else " AND step_index = ?"
        connection.execute(
            f"UPDATE heads SET {changes} WHERE run_no = ? AND epoch = ? AND status = 'running'{step_guard}",  # noqa: S608
            (*values, self.run_no, self.epoch, *(() if step_index is None else (step_index,))),
        )
        if connection.changes() != 1:
            raise self.lost()

    def lost(self) -> LeaseLost:
        """Return the error for a write that was refused."""
        return LeaseLost(self.run_id, self.epoch)
