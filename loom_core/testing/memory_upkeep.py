"""Upkeep of the memory store: pruning, and runs that leave it and come into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs

from loom_core.contracts.dumps import BudgetNode, CallCharge, CallNode, MessageNode, Part, arrived, check_step
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.retention import Gap
from loom_core.contracts.stores import AttemptRecord, ClaimRecord, RunRecord, SignalRecord, StepRecord
from loom_core.errors import BadInput, RunExists
from loom_core.testing import memory_budgets
from loom_core.testing.memory_checks import findings
from loom_core.testing.memory_run import MemoryRun, MemoryRuns


def prunable(run: MemoryRun, keep_steps: int) -> list[StepRecord]:
    """Return the steps before the newest state that is not younger than ``keep_steps`` steps: here each is a group."""
    bound = run.record.step_index - 1 - keep_steps
    kept = [s.step_index for s in run.steps if s.state is not None and s.step_index <= bound]
    return [s for s in run.steps if s.step_index < kept[-1]] if kept else []


def parts_of(runs: MemoryRuns, run: MemoryRun) -> Iterator[Part]:
    """Yield the parts of a run."""
    yield run.record
    yield from run.gaps
    budget = memory_budgets.node_of(run)
    if budget is not None:
        yield budget
    yield from run.claims
    yield from run.steps
    yield from run.attempts
    nodes: dict[tuple[str, ...], int] = {}
    for messages in run.messages:
        for length in range(1, len(messages) + 1):
            if messages[:length] not in nodes:
                parent = nodes.get(messages[: length - 1])
                nodes[messages[:length]] = len(nodes) + 1
                yield MessageNode(node=len(nodes), parent=parent, text=messages[length - 1])
    for call, messages in zip(run.calls, run.messages, strict=True):
        charge = memory_budgets.charge_at(runs, run.record.run_id, call.call_id)
        yield CallNode(call=call, messages=nodes.get(messages), charge=charge)
    yield from run.signals
    yield from run.approvals


@attrs.frozen
class Arrival:
    """A run of a dump, and what its calls are charged."""

    run: MemoryRun
    charges: dict[str, CallCharge] = attrs.field(factory=dict)


def restored(
    known: MemoryRuns,
    parts: Callable[[], Iterable[Part]],
    *,
    imported_from: str | None,
    skip_existing: bool,
    at: float,
) -> list[Arrival]:
    """Return the runs of a dump; raises ``RunExists`` and ``BadInput``."""
    made: list[Arrival] = []
    run: Arrival | None = None
    texts: dict[int, tuple[str, ...]] = {}
    for part in parts():
        if isinstance(part, RunRecord):
            if part.run_id in known.by_id and not skip_existing:
                raise RunExists(part.run_id, known.by_id[part.run_id].record.status)
            came = arrived(part, imported_from=imported_from, at=at, open_calls=0)
            run = Arrival(MemoryRun(record=came, steps=[]))
            texts = {}
            if part.run_id not in known.by_id:
                made.append(run)
        elif run is None:
            raise BadInput("a dump begins with the run that its parts belong to")
        else:
            _add(run, part, texts)
    for each in (arrival.run for arrival in made):
        each.record = _closed(each)
        for finding in findings(each):
            raise BadInput(f"run `{each.record.run_id}` contradicts itself: {finding.where}: {finding.what}")
    return made


def _add(arrival: Arrival, part: Part, texts: dict[int, tuple[str, ...]]) -> None:
    run = arrival.run
    match part:
        case StepRecord():
            check_step(run.record.run_id, part)
            run.steps.append(part)
        case ClaimRecord():
            run.claims.append(part)
        case AttemptRecord():
            run.attempts.append(part)
        case SignalRecord():
            run.signals.append(part)
        case Gap():
            run.gaps.append(part)
        case MessageNode():
            before = () if part.parent is None else texts.get(part.parent)
            if before is None:
                raise BadInput(f"message {part.node} does not follow the one that it belongs to")
            texts[part.node] = (*before, part.text)
        case CallNode():
            messages = () if part.messages is None else texts.get(part.messages)
            if messages is None:
                raise BadInput(f"call {part.call.call_id} was made with message {part.messages}, which is not there")
            run.calls.append(part.call)
            run.messages.append(messages)
            if part.charge is not None:
                arrival.charges[part.call.call_id] = part.charge
        case BudgetNode():
            run.purse = memory_budgets.restored(part)
        case ApprovalRecord():
            run.approvals.append(part)


def _closed(run: MemoryRun) -> RunRecord:
    """Put the calls that are open in doubt: whoever made them does not work on this run."""
    started = [at for at, call in enumerate(run.calls) if call.status == "started"]
    for at in started:
        run.calls[at] = attrs.evolve(run.calls[at], status="unknown")
    return arrived(run.record, imported_from=None, at=0.0, open_calls=len(started))
