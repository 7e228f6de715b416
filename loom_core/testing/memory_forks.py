"""Forks in the memory store."""

from __future__ import annotations

import attrs

from loom_core.contracts.forks import ForkHead, head_of_fork
from loom_core.contracts.origins import RunOrigin
from loom_core.contracts.people import CONTROLS
from loom_core.contracts.retention import Gap, is_gone
from loom_core.contracts.stores import ClaimRecord, Owner, RunCounters, RunRecord, StepRecord
from loom_core.errors import BadInput
from loom_core.testing.memory_run import MemoryRun


def state_of(run: MemoryRun, step_index: int) -> str:
    """Return the state that a step starts with; raises ``BadInput``."""
    run_id, head = run.record.run_id, run.record.step_index
    if not 0 <= step_index <= head:
        raise BadInput(f"run `{run_id}` has no step {step_index}; the next one is {head}")
    if step_index == head and run.record.status == "completed":
        raise BadInput(f"run `{run_id}` was completed by step {head - 1}, so there is no state for step {head}")
    if step_index < head and is_gone(run.gaps, step_index - 1):
        raise BadInput(f"the state that step {step_index} of run `{run_id}` starts with is no longer kept")
    return run.last_state(step_index)


def forked(source: MemoryRun, step_index: int, new_id: str, owner: Owner, now: float) -> MemoryRun:
    """Return a run that starts with the state of a step of another one; raises ``BadInput``."""
    text = state_of(source, step_index)
    begun = next(s for s in reversed(source.steps) if s.step_index < step_index and s.state is not None)
    first = StepRecord(
        step_index=step_index - 1,
        outcome="initial",
        attempt_index=0,
        epoch=1,
        at=now,
        digest=begun.digest,
        state=text,
        notes=None,
    )
    newest = {c.idempotency_key: at for at, c in enumerate(source.calls) if c.step_index < step_index}
    taken = sorted(at for key, at in newest.items() if key is not None)
    calls = [attrs.evolve(source.calls[at], epoch=0) for at in taken]
    head = _head_of(source, step_index)
    record = RunRecord(
        run_id=new_id,
        agent=source.agent_in(begun.epoch),
        status=head.status,
        reason=head.reason,
        wake_signal=head.wake_signal,
        wake_at=head.wake_at,
        wake_boot=head.wake_boot,
        timed_out=head.timed_out,
        step_index=step_index,
        attempt_index=0,
        epoch=1,
        owner=None,
        lease=None,
        input_digest=begun.digest,
        created_at=now,
        updated_at=now,
        ended_at=None,
        result=None,
        error=None,
        counters=RunCounters(
            calls=len(calls),
            model_calls=sum(c.kind == "model" for c in calls),
            failed_calls=sum(c.status == "failed" for c in calls),
            unknown_calls=sum(c.status == "unknown" for c in calls),
            claims=1,
            tokens_in=sum(c.tokens_in for c in calls),
            tokens_out=sum(c.tokens_out for c in calls),
        ),
        origin=_origin(source.record, step_index),
    )
    return MemoryRun(
        record=record,
        steps=[first],
        calls=calls,
        messages=[source.messages[at] for at in taken],
        claims=[ClaimRecord(epoch=1, owner=owner, at=now, step_index=step_index, found="fork")],
        signals=[] if head.signal is None else [attrs.evolve(head.signal, signal_id=1, consumed_by=None)],
        gaps=[Gap(first=-1, last=step_index - 2)] if step_index > 0 else [],
    )


def _head_of(source: MemoryRun, step_index: int) -> ForkHead:
    if step_index == source.record.step_index:
        return head_of_fork(source.record, step_index, source.waking_signal(), None)
    consumed = (s for s in source.signals if s.consumed_by == step_index and s.name not in CONTROLS)
    notes = next((step.notes for step in source.steps if step.step_index == step_index), None)
    return head_of_fork(source.record, step_index, next(consumed, None), notes)


def _origin(source: RunRecord, step_index: int) -> RunOrigin:
    before = source.origin or RunOrigin()
    return attrs.evolve(before, forked_from=source.run_id, forked_step=step_index)
