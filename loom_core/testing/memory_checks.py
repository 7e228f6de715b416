"""What the memory store checks when it verifies a run."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from loom_core.contracts.retention import is_gone
from loom_core.contracts.stores import Finding, RunCounters
from loom_core.testing.memory_run import MemoryRun


def findings(run: MemoryRun) -> Iterator[Finding]:
    """Yield what contradicts itself in a run: numbering, digests, counters, calls left open."""
    record = run.record
    expected = [n for n in range(-1, record.step_index) if not is_gone(run.gaps, n)]
    if [step.step_index for step in run.steps] != expected:
        yield _finding(
            run, "head", f"the history has not {record.step_index} steps", "steps would be redone or skipped"
        )
    for step in run.steps:
        if step.state is None and (record.status != "completed" or step is not run.steps[-1]):
            # Completed once, and claimed again: its result is not kept.
            continue
        text = step.state if step.state is not None else record.result or ""
        if blake2b(text.encode(), digest_size=16).digest() != step.digest:
            yield _finding(run, f"step {step.step_index}", "its text does not have its digest", "it has changed")
    counted = RunCounters(
        calls=len(run.calls),
        model_calls=sum(call.kind == "model" for call in run.calls),
        failed_attempts=len(run.attempts),
        failed_calls=sum(call.status == "failed" for call in run.calls),
        unknown_calls=sum(call.status == "unknown" for call in run.calls),
        claims=len(run.claims),
        tokens_in=sum(call.tokens_in for call in run.calls),
        tokens_out=sum(call.tokens_out for call in run.calls),
    )
    if counted != record.counters:
        yield _finding(run, "counters", f"{record.counters}, counted: {counted}", "budgets and lists are wrong")
    if record.status == "waiting" and record.reason in ("timer", "retry") and record.wake_at is None:
        yield _finding(run, "timer", "it waits for a time, and none is stored", "it would wait for ever")
    for call in run.calls:
        if call.status == "started" and (record.status != "running" or call.step_index != record.step_index):
            yield _finding(run, f"call {call.call_id}", "it is left open", "it should be in doubt")


def _finding(run: MemoryRun, where: str, what: str, meaning: str) -> Finding:
    return Finding(run_id=run.record.run_id, where=where, what=what, meaning=meaning)
