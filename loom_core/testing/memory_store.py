"""A store without a file, for tests: the same promises as any other, but for surviving its process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import attrs

from loom_core.contracts.budgets import Budget, BudgetRecord
from loom_core.contracts.people import ApprovalAnswer, ApprovalRecord, Person
from loom_core.contracts.schedules import ScheduleRecord
from loom_core.contracts.stores import (
    Admit,
    AttemptRecord,
    CallRecord,
    CallStatus,
    ClaimedRun,
    ClaimRecord,
    Finding,
    NewRun,
    Owner,
    Ready,
    RunCounters,
    RunRecord,
    RunStatus,
    SignalRecord,
    StepRecord,
)
from loom_core.contracts.timers import Moment
from loom_core.errors import BadInput, RunExists, RunNotFound, StoreUnusable
from loom_core.testing import memory_approvals, memory_budgets
from loom_core.testing.memory_checks import findings
from loom_core.testing.memory_run import MemoryPurse, MemoryRun, MemoryRuns, is_under_way
from loom_core.testing.memory_writer import MemoryWriter


def _no_boot_clock() -> float | None:
    return None


class MemoryStore:
    """Runs in dictionaries. ``reopen`` gives a second store of the same runs, as another process would have one."""

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        boot: Callable[[], float | None] = _no_boot_clock,
        runs: MemoryRuns | None = None,
    ) -> None:
        self._wall = wall
        self._boot = boot
        self._all = MemoryRuns() if runs is None else runs
        self._closed = False

    def reopen(self) -> MemoryStore:
        """Return another store of the same runs."""
        return MemoryStore(wall=self._wall, boot=self._boot, runs=self._all)

    @property
    def location(self) -> str:
        """What messages call it."""
        return "memory"

    async def create_run(self, new: NewRun, owner: Owner, lease_s: float) -> ClaimedRun:
        """Create a run, claimed by ``owner``."""
        self._check_open()
        with self._all.lock:
            if new.run_id in self._all.by_id:
                status = self._all.by_id[new.run_id].record.status
                raise RunExists(new.run_id, status, hint="resume it, or choose another id")
            now = self._wall()
            initial = StepRecord(
                step_index=-1,
                outcome="initial",
                attempt_index=0,
                epoch=1,
                at=now,
                digest=new.state.digest,
                state=new.state.text,
                notes=None,
            )
            writer = MemoryWriter(self._all, new.run_id, 1, lease_s, self._wall, self._boot)
            record = RunRecord(
                run_id=new.run_id,
                agent=new.agent,
                status="running",
                reason=None,
                step_index=0,
                attempt_index=0,
                epoch=1,
                owner=owner,
                lease=writer.lease(),
                wake_signal=None,
                wake_at=None,
                input_digest=new.state.digest,
                created_at=now,
                updated_at=now,
                ended_at=None,
                result=None,
                error=None,
                counters=RunCounters(claims=1),
            )
            purse = None if new.budget is None else MemoryPurse(budget=new.budget)
            run = MemoryRun(record=record, steps=[initial], purse=purse)
            run.claims.append(ClaimRecord(epoch=1, owner=owner, at=now, step_index=0, found="new"))
            self._all.by_id[new.run_id] = run
            return ClaimedRun(
                record=record,
                state=new.state.text,
                calls=(),
                signal=None,
                writer=writer,
                budget=memory_budgets.record_of(self._all, new.run_id),
            )

    async def claim(self, run_id: str, owner: Owner, lease_s: float, admit: Admit) -> ClaimedRun:
        """Claim a run if ``admit`` agrees."""
        self._check_open()
        with self._all.lock:
            run = self._run(run_id)
            found = run.record
            signal = run.waking_signal()
            woken = admit(found, signal)
            writer = MemoryWriter(self._all, run_id, found.epoch + 1, lease_s, self._wall, self._boot)
            writer.woken_by(found, signal)
            doubts = run.doubt_started()
            now = self._wall()
            memory_approvals.expire(run, now)
            if found.status == "running":
                memory_budgets.work(self._all, run_id, found.updated_at - run.claims[-1].at)
            run.claims.append(
                ClaimRecord(epoch=writer.epoch, owner=owner, at=now, step_index=found.step_index, found=found.status)
            )
            run.record = attrs.evolve(
                found,
                status="running",
                reason=None,
                epoch=writer.epoch,
                owner=owner,
                lease=writer.lease(),
                updated_at=now,
                ended_at=None,
                result=None,
                error=None,
                counters=attrs.evolve(
                    found.counters, claims=writer.epoch, unknown_calls=found.counters.unknown_calls + doubts
                ),
                timed_out=found.timed_out or (woken == "timeout" and found.wake_signal is not None),
                wake_at=found.wake_at if woken is None else None,
                wake_boot=found.wake_boot if woken is None else None,
            )
            return ClaimedRun(
                record=run.record,
                state=run.last_state(),
                calls=tuple(c for c in run.calls if c.step_index == found.step_index),
                signal=signal,
                writer=writer,
                approvals=tuple(a for a in run.approvals if a.step_index == found.step_index),
                controls=run.pending_controls(),
                budget=memory_budgets.record_of(self._all, run_id),
            )

    async def send_signal(self, run_id: str, name: str, payload: str, *, sender: Person | None = None) -> SignalRecord:
        """Append to the run's inbox."""
        self._check_open()
        with self._all.lock:
            run = self._run(run_id)
            signal = SignalRecord(
                signal_id=len(run.signals) + 1,
                name=name,
                payload=payload,
                sent_at=self._wall(),
                consumed_by=None,
                sender=sender,
            )
            run.signals.append(signal)
            return signal

    async def answer_approval(self, run_id: str, approval_id: str, answer: ApprovalAnswer) -> ApprovalRecord:
        """Record a person's answer."""
        self._check_open()
        with self._all.lock:
            return memory_approvals.answer(self._run(run_id), approval_id, answer, self._wall())

    async def keep_late_result(self, run_id: str, step_index: int, key: str, try_index: int, text: str) -> None:
        """Keep what a call returned after its end was recorded."""
        self._check_open()
        with self._all.lock:
            run = self._run(run_id)
            at = run.position_of(step_index, key, try_index)
            run.calls[at] = attrs.evolve(run.calls[at], late_result=text)

    async def find_claimable(
        self, agents: Sequence[str], now: Moment, ready: Ready, *, limit: int = 16
    ) -> Sequence[RunRecord]:
        """Return runs of these agents that ``ready`` says can be claimed."""
        self._check_open()
        with self._all.lock:
            own = [run for run in self._all.by_id.values() if run.record.agent.name in agents]
            under_way = [run for run in own if is_under_way(run, now)]
            queued = [run for run in own if run.record.status == "queued"]
            return [r.record for r in (*under_way, *queued) if ready(r.record, r.waking_signal())][:limit]

    async def save_schedule(self, schedule: ScheduleRecord) -> bool:
        """Store a schedule if nobody has changed it in the meantime."""
        self._check_open()
        with self._all.lock:
            stored = self._all.schedules.get(schedule.name)
            if (0 if stored is None else stored.version) != schedule.version - 1:
                return False
            if stored is not None and stored.created_at != schedule.created_at:
                return False
            self._all.schedules[schedule.name] = schedule
            return True

    async def remove_schedule(self, name: str) -> bool:
        """Remove a schedule."""
        self._check_open()
        with self._all.lock:
            return self._all.schedules.pop(name, None) is not None

    async def list_schedules(self) -> Sequence[ScheduleRecord]:
        """Return all schedules, by name."""
        self._check_open()
        return [self._all.schedules[name] for name in sorted(self._all.schedules)]

    async def get_run(self, run_id: str) -> RunRecord:
        """Return the run's own row."""
        self._check_open()
        return self._run(run_id).record

    async def list_runs(
        self, *, limit: int = 50, offset: int = 0, status: RunStatus | None = None, agent: str | None = None
    ) -> Sequence[RunRecord]:
        """Return runs, the newest first."""
        self._check_open()
        found = [
            run.record
            for run in reversed(self._all.by_id.values())
            if status in (None, run.record.status) and agent in (None, run.record.agent.name)
        ]
        return found[offset : offset + limit]

    async def get_steps(
        self, run_id: str, *, first: int = -1, limit: int = 100, states: bool = False
    ) -> Sequence[StepRecord]:
        """Return committed steps from step ``first`` on."""
        self._check_open()
        start = max(first, -1) + 1
        found = self._run(run_id).steps[start : start + limit]
        return found if states else [attrs.evolve(step, state=None) for step in found]

    async def get_state(self, run_id: str, step_index: int | None = None) -> str:
        """Return the state that a step starts with; None: the last one that there is."""
        self._check_open()
        run = self._run(run_id)
        head = run.record.step_index
        if step_index is None:
            return run.last_state()
        if not 0 <= step_index <= head:
            raise BadInput(f"run `{run_id}` has no step {step_index}; the next one is {head}")
        if step_index == head and run.record.status == "completed":
            raise BadInput(f"run `{run_id}` was completed by step {head - 1}, so there is no state for step {head}")
        return run.last_state(step_index)

    async def get_attempts(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[AttemptRecord]:
        """Return failed attempts in their order."""
        self._check_open()
        return self._run(run_id).attempts[offset : offset + limit]

    async def get_calls(
        self, run_id: str, *, limit: int = 100, offset: int = 0, status: CallStatus | None = None, newest: bool = False
    ) -> Sequence[CallRecord]:
        """Return managed calls in the order of their intents, or the newest first."""
        self._check_open()
        found = [call for call in self._run(run_id).calls if status in (None, call.status)]
        if newest:
            found.reverse()
        return found[offset : offset + limit]

    async def get_messages(self, run_id: str, call: CallRecord) -> Sequence[str]:
        """Return the messages that a model call was made with."""
        self._check_open()
        run = self._run(run_id)
        return list(run.messages[run.position_of(call.step_index, call.key, call.try_index)])

    async def get_signals(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[SignalRecord]:
        """Return the inbox in its order."""
        self._check_open()
        return self._run(run_id).signals[offset : offset + limit]

    async def add_budget(self, run_id: str, more: Budget) -> BudgetRecord:
        """Raise limits of a run's budget."""
        self._check_open()
        with self._all.lock:
            return memory_budgets.add(self._all, self._run(run_id), more, self._wall())

    async def get_budget(self, run_id: str) -> BudgetRecord | None:
        """Return the budget that a run draws from."""
        self._check_open()
        self._run(run_id)
        return memory_budgets.record_of(self._all, run_id)

    async def get_approvals(
        self, run_id: str | None = None, *, pending: bool = False, limit: int = 100, offset: int = 0
    ) -> Sequence[ApprovalRecord]:
        """Return questions in the order in which they were asked."""
        self._check_open()
        runs = [*self._all.by_id.values()] if run_id is None else [self._run(run_id)]
        now = self._wall()
        found = [a for r in runs for a in r.approvals if not pending or memory_approvals.is_pending(a, now)]
        return found[offset : offset + limit]

    async def get_claims(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[ClaimRecord]:
        """Return claims in their order."""
        self._check_open()
        return self._run(run_id).claims[offset : offset + limit]

    async def verify(self, run_id: str | None = None) -> Sequence[Finding]:
        """Check what is stored against itself."""
        self._check_open()
        runs = [*self._all.by_id.values()] if run_id is None else [self._run(run_id)]
        return [finding for run in runs for finding in findings(run)]

    def protected_files(self) -> frozenset[tuple[int, int]]:
        """Return nothing: there is no file."""
        return frozenset()

    async def aclose(self) -> None:
        """Close this store; the runs stay for others that were reopened from it."""
        self._closed = True

    def _run(self, run_id: str) -> MemoryRun:
        run = self._all.by_id.get(run_id)
        if run is None:
            raise RunNotFound(run_id, where=self.location)
        return run

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnusable("this store was closed and cannot be used any more")
