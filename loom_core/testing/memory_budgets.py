"""Budgets of the memory store."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from loom_core.contracts.budgets import (
    RAISED,
    Budget,
    BudgetRecord,
    Spending,
    charge_of,
    is_raised,
    raised,
    root_of,
)
from loom_core.contracts.stores import CallEnd, CallIntent, call_id
from loom_core.errors import BadInput, BudgetExhausted
from loom_core.testing.memory_run import MemoryPurse, MemoryRun, MemoryRuns


def record_of(runs: MemoryRuns, run_id: str) -> BudgetRecord | None:
    """Return the budget that a run draws from."""
    purse = _purse(runs, run_id)
    if purse is None:
        return None
    root = root_of(run_id)
    family = [r for name, r in runs.by_id.items() if root_of(name) == root]
    return BudgetRecord(
        budget=purse.budget,
        spent=_sum(purse.charged.values()),
        steps=sum(run.record.step_index for run in family),
        seconds=purse.seconds,
    )


def reserve(runs: MemoryRuns, run_id: str, intent: CallIntent) -> None:
    """Take what a call reserves; raises ``BudgetExhausted`` if there is not as much."""
    purse, has = _purse(runs, run_id), record_of(runs, run_id)
    if purse is None or has is None or intent.reserves is None:
        return
    lacking = has.lacking(intent.reserves)
    if lacking is not None:
        raise BudgetExhausted(run_id, lacking)
    place = (run_id, call_id(intent.step_index, intent.key, intent.try_index))
    purse.reserved[place] = purse.charged[place] = intent.reserves


def charge(runs: MemoryRuns, run_id: str, end: CallEnd) -> None:
    """Put what a call has spent in the place of what it reserved."""
    purse = _purse(runs, run_id)
    place = (run_id, call_id(end.step_index, end.key, end.try_index))
    if purse is not None and place in purse.reserved:
        purse.charged[place] = charge_of(purse.reserved[place], end.spent, not_started=end.not_started)


def work(runs: MemoryRuns, run_id: str, seconds: float) -> None:
    """Count time during which somebody worked on the run."""
    purse = _purse(runs, run_id)
    if purse is not None:
        purse.seconds += max(0.0, seconds)


def add(runs: MemoryRuns, run: MemoryRun, more: Budget, now: float) -> BudgetRecord:
    """Raise limits, and let a run go on that is paused for want of them."""
    run_id = run.record.run_id
    purse, has = _purse(runs, run_id), record_of(runs, run_id)
    if purse is None or has is None:
        raise BadInput(f"run `{run_id}` has no budget")
    purse.budget = raised(has, more, run_id)
    if run.record.status == "paused" and is_raised(run.record.reason, more):
        run.record = attrs.evolve(run.record, status="queued", reason=RAISED, updated_at=now)
    return attrs.evolve(has, budget=purse.budget)


def _purse(runs: MemoryRuns, run_id: str) -> MemoryPurse | None:
    root = runs.by_id.get(root_of(run_id))
    return None if root is None else root.purse


def _sum(amounts: Iterable[Spending]) -> Spending:
    total = Spending()
    for amount in amounts:
        total = Spending(
            tool_calls=total.tool_calls + amount.tool_calls,
            tokens_in=total.tokens_in + amount.tokens_in,
            tokens_out=total.tokens_out + amount.tokens_out,
            cost_nano=total.cost_nano + amount.cost_nano,
        )
    return total
