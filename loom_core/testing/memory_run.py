"""A run of the memory store: the one mutable record, and what can be asked of it."""

from __future__ import annotations

import threading

import attrs

from loom_core.contracts.budgets import Budget, Spending
from loom_core.contracts.people import CONTROLS, ApprovalRecord
from loom_core.contracts.schedules import ScheduleRecord
from loom_core.contracts.stores import (
    AttemptRecord,
    CallRecord,
    ClaimRecord,
    RunRecord,
    SignalRecord,
    StepRecord,
    call_id,
)
from loom_core.contracts.timers import Moment
from loom_core.errors import BadInput


@attrs.define(kw_only=True)
class MemoryPurse:
    """The budget of a root run. ``reserved`` and ``charged`` have the amounts of each call, by run and call id."""

    budget: Budget
    seconds: float = 0.0
    reserved: dict[tuple[str, str], Spending] = attrs.field(factory=dict)
    charged: dict[tuple[str, str], Spending] = attrs.field(factory=dict)


@attrs.define(kw_only=True)
class MemoryRun:
    """Everything of one run. ``messages`` has those of each call, at the call's position."""

    record: RunRecord
    steps: list[StepRecord]
    attempts: list[AttemptRecord] = attrs.field(factory=list)
    calls: list[CallRecord] = attrs.field(factory=list)
    messages: list[tuple[str, ...]] = attrs.field(factory=list)
    claims: list[ClaimRecord] = attrs.field(factory=list)
    signals: list[SignalRecord] = attrs.field(factory=list)
    approvals: list[ApprovalRecord] = attrs.field(factory=list)
    purse: MemoryPurse | None = None

    def last_state(self, step_index: int | None = None) -> str:
        """Return the last state that there is, up to the one that step ``step_index`` starts with."""
        steps = self.steps if step_index is None else self.steps[: step_index + 1]
        return next(step.state for step in reversed(steps) if step.state is not None)

    def waking_signal(self) -> SignalRecord | None:
        """Return the signal that the step that comes next is woken by."""
        return None if self.record.timed_out else self.pending_signal(self.record.wake_signal)

    def pending_signal(self, name: str | None) -> SignalRecord | None:
        """Return the earliest signal of that name which no step has consumed."""
        pending = (s for s in self.signals if name is not None and s.name == name and s.consumed_by is None)
        return next(pending, None)

    def pending_controls(self) -> tuple[SignalRecord, ...]:
        """Return the wishes of people that nothing has taken up."""
        return tuple(s for s in self.signals if s.name in CONTROLS and s.consumed_by is None)

    def position_of(self, step_index: int, key: str, try_index: int) -> int:
        """Return where a call is in ``calls``; raises ``BadInput`` if there is none."""
        for at in reversed(range(len(self.calls))):
            call = self.calls[at]
            if (call.step_index, call.key, call.try_index) == (step_index, key, try_index):
                return at
        raise BadInput(f"run `{self.record.run_id}` has no call {call_id(step_index, key, try_index)}")

    def doubt_started(self) -> int:
        """Put the started calls of the step that comes next in doubt; return how many there were."""
        head = self.record.step_index
        started = [at for at, c in enumerate(self.calls) if c.status == "started" and c.step_index == head]
        for at in started:
            self.calls[at] = attrs.evolve(self.calls[at], status="unknown")
        return len(started)


@attrs.define
class MemoryRuns:
    """All runs, in the order of their creation; ``lock`` is held by whoever changes one, since beats have a thread."""

    by_id: dict[str, MemoryRun] = attrs.field(factory=dict)
    schedules: dict[str, ScheduleRecord] = attrs.field(factory=dict)
    lock: threading.RLock = attrs.field(factory=threading.RLock)


def is_under_way(run: MemoryRun, now: Moment) -> bool:
    """Return True for a run that is running, or that waits for something that has come."""
    record = run.record
    if record.status != "waiting":
        return record.status == "running"
    due = record.wake_at is not None and (
        now.until(record.wake_at, record.wake_boot) <= 0 or record.wake_at <= now.wall_s
    )
    return due or run.pending_signal(record.wake_signal) is not None
