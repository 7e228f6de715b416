"""Dumps: runs taken apart into records, in an order in which any store can put them together again."""

from __future__ import annotations

from hashlib import blake2b

import attrs

from loom_core.contracts.budgets import Budget, Spending
from loom_core.contracts.origins import RunOrigin
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.retention import Gap
from loom_core.contracts.stores import (
    AttemptRecord,
    CallRecord,
    ClaimRecord,
    RunRecord,
    SignalRecord,
    StepRecord,
)
from loom_core.errors import BadInput


@attrs.frozen(kw_only=True)
class MessageNode:
    """A message of a model conversation; ``parent`` is the message before it, None for a first one."""

    node: int
    parent: int | None
    text: str


@attrs.frozen(kw_only=True)
class BudgetNode:
    """A root run's budget, and what it and its children have spent and reserved of it."""

    budget: Budget
    spent: Spending
    seconds: float


@attrs.frozen(kw_only=True)
class CallCharge:
    """What a call reserved of the budget that its run draws from, and what it is charged."""

    reserved: Spending
    charged: Spending


@attrs.frozen(kw_only=True)
class CallNode:
    """A call; ``messages`` is the node of the last message that it was made with, None if there were none."""

    call: CallRecord
    messages: int | None
    charge: CallCharge | None = None


Part = (
    RunRecord
    | Gap
    | BudgetNode
    | ClaimRecord
    | StepRecord
    | AttemptRecord
    | MessageNode
    | CallNode
    | SignalRecord
    | ApprovalRecord
)
"""A run is its ``RunRecord``, then its other parts in the order of this list; steps have their states."""


def arrived(record: RunRecord, *, imported_from: str | None, at: float, open_calls: int) -> RunRecord:
    """Return a run's row as the store that it came into keeps it: nobody owns it there."""
    counters = attrs.evolve(record.counters, unknown_calls=record.counters.unknown_calls + open_calls)
    came = attrs.evolve(record, owner=None, lease=None, counters=counters)
    if record.status == "running":
        came = attrs.evolve(came, status="paused", reason="imported")
    if imported_from is not None:
        origin = attrs.evolve(record.origin or RunOrigin(), imported_from=imported_from, imported_at=at)
        came = attrs.evolve(came, origin=origin)
    return came


def check_step(run_id: str, step: StepRecord) -> None:
    """Raise ``BadInput`` if a step's state is not the one that its digest was made of."""
    if step.state is not None and blake2b(step.state.encode(), digest_size=16).digest() != step.digest:
        raise BadInput(f"the state of step {step.step_index} of run `{run_id}` is not the one that was stored")
