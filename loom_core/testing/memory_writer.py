"""The writer of the memory store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import attrs

from loom_core.contracts.people import ANSWERED
from loom_core.contracts.stores import (
    ENDED,
    AttemptRecord,
    CallEnd,
    CallIntent,
    CallRecord,
    EncodedState,
    Lease,
    OutcomeKind,
    RunRecord,
    Settlement,
    SignalRecord,
    StepRecord,
    call_id,
    may_end,
)
from loom_core.errors import BadInput, BudgetExhausted, LeaseLost
from loom_core.testing import memory_approvals, memory_budgets
from loom_core.testing.memory_run import MemoryRun, MemoryRuns


class MemoryWriter:
    """Writes a run under the fence of one claim. See ``RunWriter`` for what each method promises."""

    def __init__(
        self,
        runs: MemoryRuns,
        run_id: str,
        epoch: int,
        lease_s: float,
        wall: Callable[[], float],
        boot: Callable[[], float | None],
    ) -> None:
        self._runs = runs
        self._run_id = run_id
        self._epoch = epoch
        self._lease_s = lease_s
        self._wall = wall
        self._boot = boot
        self._signal: SignalRecord | None = None
        self._woken = False
        self._renewed_s = self._claimed_s = self._steady_s()

    @property
    def run_id(self) -> str:
        """The run."""
        return self._run_id

    @property
    def epoch(self) -> int:
        """The epoch of the claim."""
        return self._epoch

    def lease(self) -> Lease:
        """Return the lease that a write at this moment gives."""
        boot_s = self._boot()
        return Lease(wall_s=self._wall() + self._lease_s, boot_s=None if boot_s is None else boot_s + self._lease_s)

    def woken_by(self, found: RunRecord, signal: SignalRecord | None) -> None:
        """Remember what the commit of the step that comes next clears and consumes."""
        self._woken = found.wake_signal is not None or found.wake_at is not None
        self._signal = signal

    async def commit(
        self,
        step_index: int,
        state: EncodedState,
        attempt_index: int = 0,
        notes: str | None = None,
        sync: bool = False,
        later: bool = False,
    ) -> None:
        """Record that a step ended in ``Continue(state)``."""
        with self._runs.lock:
            run = self._owned(step_index)
            self._add_step(run, step_index, "continue", attempt_index, state, state.digest, notes)
            cleared: dict[str, Any] = {"wake_signal": None, "wake_at": None, "wake_boot": None, "timed_out": False}
            self._renew(run, step_index=step_index + 1, attempt_index=0, **cleared)

    async def settle(self, settlement: Settlement) -> None:
        """End, park or pause the run and release the lease."""
        with self._runs.lock:
            run = self._owned(settlement.step_index if settlement.outcome is not None else None)
            record = run.record
            changes: dict[str, Any] = {
                "wake_signal": record.wake_signal if settlement.wake_signal is None else settlement.wake_signal,
                "attempt_index": record.attempt_index + (settlement.attempt is not None),
            }
            if settlement.outcome is not None:
                self._add_outcome(run, settlement)
                changes = {
                    "wake_signal": settlement.wake_signal,
                    "attempt_index": 0,
                    "step_index": record.step_index + 1,
                    "timed_out": False,
                }
            if settlement.attempt is not None:
                run.attempts.append(settlement.attempt)
                changes["counters"] = attrs.evolve(record.counters, failed_attempts=len(run.attempts))
            now = self._wall()
            memory_budgets.work(self._runs, self._run_id, self._steady_s() - self._claimed_s)
            if settlement.status in ENDED:
                memory_approvals.withdraw(run, now)
            memory_approvals.ask(run, settlement.questions, now)
            for signal_id in settlement.takes:
                run.signals[signal_id - 1] = attrs.evolve(run.signals[signal_id - 1], consumed_by=settlement.step_index)
            run.record = attrs.evolve(
                record,
                status=settlement.status,
                reason=settlement.reason,
                owner=None,
                lease=None,
                wake_at=settlement.wake_at,
                wake_boot=settlement.wake_boot,
                updated_at=now,
                ended_at=now if settlement.status in ENDED else None,
                result=settlement.result,
                error=settlement.error,
                **changes,
            )
            if settlement.status == "waiting" and memory_approvals.is_decided(run, settlement.reason):
                run.record = attrs.evolve(run.record, status="queued", reason=ANSWERED)

    async def begin_call(self, intent: CallIntent) -> None:
        """Record the intent of a managed call."""
        with self._runs.lock:
            run = self._owned()
            head = run.record.step_index
            if intent.step_index != head:
                raise ValueError(f"a call of step {intent.step_index} cannot begin: the run is at step {head}")
            before = [*run.approvals]
            memory_approvals.use(run, intent, self._wall())
            try:
                memory_budgets.reserve(self._runs, self._run_id, intent)
            except BudgetExhausted:
                run.approvals = before
                raise
            counters = run.record.counters
            run.calls.append(self._started(intent))
            run.messages.append(intent.messages)
            self._renew(
                run,
                counters=attrs.evolve(
                    counters, calls=counters.calls + 1, model_calls=counters.model_calls + (intent.kind == "model")
                ),
            )

    async def end_call(self, end: CallEnd) -> None:
        """Record how a managed call ended."""
        with self._runs.lock:
            run = self._owned()
            at = run.position_of(end.step_index, end.key, end.try_index)
            before = run.calls[at]
            if not may_end(before.status, before.decided_by, end):
                raise BadInput(
                    f"call {call_id(end.step_index, end.key, end.try_index)} of run `{self._run_id}` has ended:"
                    f" {before.status}"
                )
            run.calls[at] = attrs.evolve(
                before,
                status=end.status,
                result=end.result,
                error=end.error,
                not_started=end.not_started,
                ended_at=self._wall(),
                decided_by=end.decided_by,
                tokens_in=end.tokens_in,
                tokens_out=end.tokens_out,
            )
            memory_budgets.charge(self._runs, self._run_id, end)
            counters = run.record.counters
            self._renew(
                run,
                counters=attrs.evolve(
                    counters,
                    failed_calls=counters.failed_calls + (end.status == "failed") - (before.status == "failed"),
                    unknown_calls=counters.unknown_calls + (end.status == "unknown") - (before.status == "unknown"),
                    tokens_in=counters.tokens_in + end.tokens_in - before.tokens_in,
                    tokens_out=counters.tokens_out + end.tokens_out - before.tokens_out,
                ),
            )

    async def fail_attempt(self, attempt: AttemptRecord) -> None:
        """Record a failed attempt that will be followed by another one."""
        with self._runs.lock:
            run = self._owned()
            run.attempts.append(attempt)
            record = run.record
            self._renew(
                run,
                attempt_index=record.attempt_index + 1,
                counters=attrs.evolve(record.counters, failed_attempts=len(run.attempts)),
            )

    async def read_call(self, idempotency_key: str) -> CallRecord | None:
        """Return the newest call of the run with this key of the user's."""
        calls = self._runs.by_id[self._run_id].calls
        return next((call for call in reversed(calls) if call.idempotency_key == idempotency_key), None)

    async def pending_controls(self) -> Sequence[SignalRecord]:
        """Return the wishes of people that nothing has taken up."""
        return self._runs.by_id[self._run_id].pending_controls()

    def lease_age_s(self) -> float:
        """Return the seconds since the last successful write."""
        return self._steady_s() - self._renewed_s

    def beat(self) -> bool:
        """Renew the lease from another thread."""
        with self._runs.lock:
            try:
                self._renew(self._owned())
            except LeaseLost:
                return False
        return True

    def _owned(self, step_index: int | None = None) -> MemoryRun:
        run = self._runs.by_id[self._run_id]
        record = run.record
        if record.epoch != self._epoch or record.status != "running" or step_index not in (None, record.step_index):
            raise LeaseLost(self._run_id, self._epoch)
        return run

    def _renew(self, run: MemoryRun, **changes: Any) -> None:
        run.record = attrs.evolve(run.record, lease=self.lease(), updated_at=self._wall(), **changes)
        self._renewed_s = self._steady_s()

    def _add_outcome(self, run: MemoryRun, settlement: Settlement) -> None:
        assert settlement.outcome is not None
        state = settlement.state
        digest = blake2b((settlement.result or "").encode(), digest_size=16).digest() if state is None else state.digest
        self._add_step(
            run,
            settlement.step_index,
            settlement.outcome,
            settlement.attempt_index,
            state,
            digest,
            settlement.notes,
        )

    def _add_step(
        self,
        run: MemoryRun,
        step_index: int,
        outcome: OutcomeKind,
        attempt_index: int,
        state: EncodedState | None,
        digest: bytes,
        notes: str | None,
    ) -> None:
        run.steps.append(
            StepRecord(
                step_index=step_index,
                outcome=outcome,
                attempt_index=attempt_index,
                epoch=self._epoch,
                at=self._wall(),
                digest=digest,
                state=None if state is None else state.text,
                notes=notes,
            )
        )
        memory_approvals.withdraw(run, self._wall())
        if self._woken and self._signal is not None:
            at = self._signal.signal_id - 1
            run.signals[at] = attrs.evolve(run.signals[at], consumed_by=step_index)
        self._woken = False

    def _started(self, intent: CallIntent) -> CallRecord:
        return CallRecord(
            call_id=call_id(intent.step_index, intent.key, intent.try_index),
            step_index=intent.step_index,
            key=intent.key,
            try_index=intent.try_index,
            attempt_index=intent.attempt_index,
            epoch=self._epoch,
            kind=intent.kind,
            name=intent.name,
            effect=intent.effect,
            arguments=intent.arguments,
            arguments_digest=intent.arguments_digest,
            idempotency_key=intent.idempotency_key,
            status="started",
            result=None,
            error=None,
            not_started=False,
            started_at=self._wall(),
            ended_at=None,
            decided_by=None,
            facts=intent.facts,
            late_result=None,
        )

    def _steady_s(self) -> float:
        boot_s = self._boot()
        return self._wall() if boot_s is None else boot_s
