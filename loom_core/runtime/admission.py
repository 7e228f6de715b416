"""Whether a stored run may be claimed now: one rule for every store, asked inside the claim's transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from shlex import quote

import attrs

from loom_core.contracts.budgets import BUDGET_REASON
from loom_core.contracts.stores import ENDED, Owner, RunRecord, SignalRecord
from loom_core.contracts.timers import Moment, Woken
from loom_core.errors import LoomError, RunBusy
from loom_core.runtime.due import is_due, woken_by
from loom_core.runtime.owners import boot_clock, boot_id, lease_expired, moment, provably_dead


class NothingToDo(LoomError):
    """The run has ended or waits for something that has not come; ``record`` says which. Never reaches a user."""

    code = "nothing_to_do"

    def __init__(self, record: RunRecord) -> None:
        super().__init__(f"run `{record.run_id}` is {record.status}")
        self.record = record


@attrs.define(kw_only=True)
class Admission:
    """Decides on a claim. ``retry_failed`` admits a failed run, ``decide`` one that waits for a person's decision.

    ``unasked`` is for whoever takes runs by itself: it leaves alone what a person, or a slice that a person gave, has
    paused. ``admitted`` is afterwards the run as it was found.
    """

    retry_failed: bool = False
    decide: bool = False
    unasked: bool = False
    wall: Callable[[], float] = time.time
    boot: Callable[[], float | None] = boot_clock
    boot_id: str | None = attrs.field(factory=boot_id)
    admitted: RunRecord | None = attrs.field(default=None, init=False)

    @property
    def admitted_status(self) -> str | None:
        """In which status the run was found."""
        return None if self.admitted is None else self.admitted.status

    def __call__(self, record: RunRecord, signal: SignalRecord | None) -> Woken | None:
        """Return what woke the run if it may be claimed; raise ``RunBusy`` or ``NothingToDo`` if not."""
        now = self.now()
        self._check(record, signal, now)
        self.admitted = record
        if self.decide or record.status not in ("waiting", "paused") or not is_due(record, signal, now):
            # Who claims it to decide a call executes no step, and so wakes nothing. One that was paused while it waited
            # may have become due since.
            return None
        return woken_by(record, signal, now)

    def now(self) -> Moment:
        """Return this moment on the clocks that the rule goes by."""
        return moment(self.wall(), self.boot(), self.boot_id)

    def _check(self, record: RunRecord, signal: SignalRecord | None, now: Moment) -> None:
        if record.status in ENDED:
            if record.status == "failed" and (self.retry_failed or self.decide):
                return
            raise NothingToDo(record)
        if record.status == "running":
            self._owner_is_gone(record)
        elif not self.decide and not self._may_go_on(record, signal, now):
            raise NothingToDo(record)

    def _may_go_on(self, record: RunRecord, signal: SignalRecord | None, now: Moment) -> bool:
        if record.status == "paused":
            return not self.unasked and not (record.reason or "").startswith(BUDGET_REASON)
        return record.status != "waiting" or is_due(record, signal, now)

    def _owner_is_gone(self, record: RunRecord) -> None:
        if is_orphaned(record, wall_s=self.wall(), boot_s=self.boot()):
            return
        raise RunBusy(
            record.run_id,
            str(record.owner),
            hint=f"wait for it or stop that process; what it does: loom-runner explain --run-id {quote(record.run_id)}",
        )


def is_orphaned(record: RunRecord, *, wall_s: float, boot_s: float | None) -> bool:
    """Return True if a running run's owner is dead, or silent for longer than its lease."""
    owner: Owner | None = record.owner
    if owner is None:
        return True
    return provably_dead(owner) or lease_expired(record.lease, owner, wall_s=wall_s, boot_s=boot_s)
