"""Whether a stored run may be claimed now: one rule for every store, asked inside the claim's transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from shlex import quote

import attrs

from loom_core.contracts.budgets import BUDGET_REASON
from loom_core.contracts.people import APPROVAL_REASON
from loom_core.contracts.stores import ENDED, ClaimedRun, Owner, RunRecord, SignalRecord
from loom_core.errors import LoomError, RunBusy
from loom_core.runtime.owners import boot_clock, lease_expired, provably_dead


class NothingToDo(LoomError):
    """The run has ended or waits for something that has not come; ``record`` says which. Never reaches a user."""

    code = "nothing_to_do"

    def __init__(self, record: RunRecord) -> None:
        super().__init__(f"run `{record.run_id}` is {record.status}")
        self.record = record


@attrs.define(kw_only=True)
class Admission:
    """Decides on a claim. ``retry_failed`` admits a failed run, ``decide`` one that waits for a person's decision.

    ``admitted`` is afterwards the run as it was found.
    """

    retry_failed: bool = False
    decide: bool = False
    wall: Callable[[], float] = time.time
    boot: Callable[[], float | None] = boot_clock
    admitted: RunRecord | None = attrs.field(default=None, init=False)

    @property
    def admitted_status(self) -> str | None:
        """In which status the run was found."""
        return None if self.admitted is None else self.admitted.status

    def __call__(self, record: RunRecord, signal: SignalRecord | None) -> None:
        """Return if the run may be claimed; raise ``RunBusy`` or ``NothingToDo`` if not."""
        self._check(record, signal)
        self.admitted = record

    def _check(self, record: RunRecord, signal: SignalRecord | None) -> None:
        if record.status in ENDED:
            if record.status == "failed" and (self.retry_failed or self.decide):
                return
            raise NothingToDo(record)
        if record.status == "running":
            self._owner_is_gone(record)
        elif not self.decide and not self._may_go_on(record, signal):
            raise NothingToDo(record)

    def _may_go_on(self, record: RunRecord, signal: SignalRecord | None) -> bool:
        if record.status == "paused":
            return not (record.reason or "").startswith(BUDGET_REASON)
        return record.status != "waiting" or is_due(record, signal, self.wall())

    def _owner_is_gone(self, record: RunRecord) -> None:
        if is_orphaned(record, wall_s=self.wall(), boot_s=self.boot()):
            return
        raise RunBusy(
            record.run_id,
            str(record.owner),
            hint=f"wait for it or stop that process; what it does: loom-runner explain --run-id {quote(record.run_id)}",
        )


def is_due(record: RunRecord, signal: SignalRecord | None, wall_s: float) -> bool:
    """Return True if what a waiting run waits for has come. A doubt is never due by itself.

    A question that was answered has queued its run already; one whose time is up has the answer no.
    """
    if record.reason is not None and record.reason.startswith("doubt:"):
        return False
    if record.reason is not None and record.reason.startswith(APPROVAL_REASON):
        return record.wake_at is not None and record.wake_at <= wall_s
    return signal is not None


def still_waits(claimed: ClaimedRun, wall_s: float) -> bool:
    """Return True if a run that a person had paused while it waited has to wait on when it is resumed.

    Not if it waits in the middle of a step: that is executed again, and finds out by itself.
    """
    record = claimed.record
    if claimed.approvals or claimed.calls or claimed.signal is not None:
        return False
    if record.wake_at is not None:
        return record.wake_at > wall_s
    return record.wake_signal is not None


def is_orphaned(record: RunRecord, *, wall_s: float, boot_s: float | None) -> bool:
    """Return True if a running run's owner is dead, or silent for longer than its lease."""
    owner: Owner | None = record.owner
    if owner is None:
        return True
    return provably_dead(owner) or lease_expired(record.lease, owner, wall_s=wall_s, boot_s=boot_s)
