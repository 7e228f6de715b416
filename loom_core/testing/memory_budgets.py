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
from loom_core.contracts.dumps import BudgetNode, CallCharge
from loom_core.contracts.stores import CallEnd, CallIntent, call_id
from loom_core.errors import BadInput, BudgetExhausted
from loom_core.testing.memory_run import MemoryPurse, MemoryRun, MemoryRuns

_REST = ("", "")
"""The place of what was spent by calls that are not here."""


def record_of(runs: MemoryRuns, run_id: str) -> BudgetRecord | None:
    """Return the budget that a run draws from."""
    purse = _purse(runs, run_id)
    if purse is None:
        return None
    root = root_of(run_id)
    family = [r.record for name, r in runs.by_id.items() if root_of(name) == root]
    return BudgetRecord(
        budget=purse.budget,
        spent=_sum(purse.charged.values()),
        # A fork counts its steps from where it began, and has spent none of those before.
        steps=sum(r.step_index - ((r.origin.forked_step or 0) if r.origin is not None else 0) for r in family),
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


def inherited(runs: MemoryRuns, run_id: str, new_id: str) -> MemoryPurse | None:
    """Return a fork's budget: the limits of the one that its source draws from, with nothing spent."""
    purse = _purse(runs, run_id)
    return None if purse is None or root_of(new_id) != new_id else MemoryPurse(budget=purse.budget)


def node_of(run: MemoryRun) -> BudgetNode | None:
    """Return a root run's budget as a dump has it."""
    purse = run.purse
    if purse is None:
        return None
    return BudgetNode(budget=purse.budget, spent=_sum(purse.charged.values()), seconds=purse.seconds)


def charge_at(runs: MemoryRuns, run_id: str, call: str) -> CallCharge | None:
    """Return what a call reserved and is charged, None if it draws from no budget."""
    purse = _purse(runs, run_id)
    if purse is None or (run_id, call) not in purse.reserved:
        return None
    return CallCharge(reserved=purse.reserved[run_id, call], charged=purse.charged[run_id, call])


def restored(node: BudgetNode) -> MemoryPurse:
    """Return a budget of a dump; what is spent of it is nobody's until the calls that spent it come."""
    return MemoryPurse(budget=node.budget, seconds=node.seconds, charged={_REST: node.spent})


def restore_charge(runs: MemoryRuns, run_id: str, call: str, charge: CallCharge) -> None:
    """Add what a call of a dump is charged: from what is nobody's, else it is spent now."""
    purse = _purse(runs, run_id)
    if purse is not None:
        purse.reserved[run_id, call], purse.charged[run_id, call] = charge.reserved, charge.charged
        purse.charged[_REST] = _less(purse.charged.get(_REST, Spending()), charge.charged)


def forget(runs: MemoryRuns, run_id: str) -> None:
    """Let go of what a run that is deleted spent of another run's budget; it stays spent."""
    purse = _purse(runs, run_id)
    if purse is not None:
        own = [place for place in purse.charged if place[0] == run_id]
        purse.charged[_REST] = _sum([purse.charged.get(_REST, Spending()), *(purse.charged.pop(at) for at in own)])
        for place in own:
            purse.reserved.pop(place, None)


def _less(rest: Spending, taken: Spending) -> Spending:
    return Spending(
        tool_calls=max(0, rest.tool_calls - taken.tool_calls),
        tokens_in=max(0, rest.tokens_in - taken.tokens_in),
        tokens_out=max(0, rest.tokens_out - taken.tokens_out),
        cost_nano=max(0, rest.cost_nano - taken.cost_nano),
    )


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
