"""Reads what an explanation needs from a store, in a bounded number of bounded reads.

Nothing here grows with the number of steps: claims, attempts, calls and signals are read at their two ends, steps at
single points. ``everything`` lifts the bounds for all but the steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import attrs

from loom_core.contracts.budgets import BudgetRecord
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.stores import (
    AttemptRecord,
    CallRecord,
    ClaimRecord,
    RunRecord,
    SignalRecord,
    StepRecord,
    Store,
)

HEAD = 80
TAIL = 160
PAGE = 1000
MAX_OF_STEP = 2000
MAX_DOUBTS = 100
_NEAR = 16
CHAT_AGENT = "loom-run chat"

T = TypeVar("T")
Page = Callable[[int, int], Awaitable[Sequence[T]]]


@attrs.frozen(kw_only=True)
class Ends:
    """How many records of each kind were left out between the first and the newest that were read; None: not known."""

    calls: int | None = 0
    attempts: int = 0
    claims: int = 0
    signals: int = 0
    approvals: int = 0


@attrs.frozen(kw_only=True)
class Material:
    """What was read of a run. Sequences are in the order in which things happened.

    ``unread_calls`` are the steps (first, last) between which there are calls that were not read; ``doubtful`` has
    calls without a known end, wherever they are in the run. ``first_state`` is the initial state of a conversation.
    """

    record: RunRecord
    location: str
    claims: tuple[ClaimRecord, ...]
    attempts: tuple[AttemptRecord, ...]
    calls: tuple[CallRecord, ...]
    signals: tuple[SignalRecord, ...]
    doubtful: tuple[CallRecord, ...]
    steps: Mapping[int, StepRecord]
    unread_calls: tuple[int, int] | None
    left_out: Ends
    first_state: str | None = None
    approvals: tuple[ApprovalRecord, ...] = ()
    budget: BudgetRecord | None = None


async def read(store: Store, run_id: str, *, everything: bool = False) -> Material:
    """Read a run. Raises ``RunNotFound``."""
    record = await store.get_run(run_id)
    claims, claims_out = await _two_ends(
        lambda limit, offset: store.get_claims(run_id, limit=limit, offset=offset), record.epoch, everything
    )
    attempts, attempts_out = await _two_ends(
        lambda limit, offset: store.get_attempts(run_id, limit=limit, offset=offset),
        record.counters.failed_attempts,
        everything,
    )

    def signal_page(limit: int, offset: int) -> Awaitable[Sequence[SignalRecord]]:
        return store.get_signals(run_id, limit=limit, offset=offset)

    signal_count = 0 if everything else await _count(signal_page)
    signals, signals_out = await _two_ends(signal_page, signal_count, everything)

    def approval_page(limit: int, offset: int) -> Awaitable[Sequence[ApprovalRecord]]:
        return store.get_approvals(run_id, limit=limit, offset=offset)

    approval_count = 0 if everything else await _count(approval_page)
    approvals, approvals_out = await _two_ends(approval_page, approval_count, everything)
    calls, gap = await _calls(store, run_id, record.step_index, everything)
    doubtful = await _doubtful(store, record, calls)
    points = _points(record, claims, attempts, calls, signals)
    calls_out = 0 if gap is None else max(0, record.counters.calls - len(calls)) or None
    return Material(
        record=record,
        location=store.location,
        claims=claims,
        attempts=attempts,
        calls=calls,
        signals=signals,
        doubtful=doubtful,
        steps=await _steps(store, run_id, points),
        unread_calls=gap,
        left_out=Ends(
            calls=calls_out, attempts=attempts_out, claims=claims_out, signals=signals_out, approvals=approvals_out
        ),
        first_state=await _first_state(store, record),
        approvals=approvals,
        budget=await store.get_budget(run_id),
    )


async def _two_ends(page: Page[T], total: int, everything: bool) -> tuple[tuple[T, ...], int]:
    """Return the first ``HEAD`` and about the last ``TAIL`` of ``total`` records, and how many lie between."""
    if everything:
        return await _pages(page), 0
    head = await page(HEAD, 0)
    if len(head) < HEAD:
        return tuple(head), 0
    offset = max(HEAD, total - TAIL)
    tail = await page(2 * TAIL, offset)
    return (*head, *tail), offset - HEAD if tail else 0


async def _pages(page: Page[T]) -> tuple[T, ...]:
    found: list[T] = []
    while True:
        some = await page(PAGE, len(found))
        found += some
        if len(some) < PAGE:
            return tuple(found)


async def _count(page: Page[T]) -> int:
    """Count records that nobody counts, in a logarithmic number of reads of one record each."""
    if not await page(1, HEAD):
        return 0
    known, beyond = HEAD, 2 * HEAD
    while await page(1, beyond):
        known, beyond = beyond, 2 * beyond
    while beyond - known > 1:
        middle = (known + beyond) // 2
        if await page(1, middle):
            known = middle
        else:
            beyond = middle
    return known + 1


async def _calls(
    store: Store, run_id: str, step_index: int, everything: bool
) -> tuple[tuple[CallRecord, ...], tuple[int, int] | None]:
    if everything:
        return await _pages(lambda limit, offset: store.get_calls(run_id, limit=limit, offset=offset)), None
    head = await store.get_calls(run_id, limit=HEAD)
    if len(head) < HEAD:
        return tuple(head), None
    seen = {call.call_id for call in head}
    newest = await store.get_calls(run_id, limit=TAIL, newest=True)
    if newest[-1].step_index == step_index:
        # What resuming does depends on every call of the step that comes next.
        newest = await store.get_calls(run_id, limit=MAX_OF_STEP, newest=True)
    tail = [call for call in reversed(newest) if call.call_id not in seen]
    gap = (head[-1].step_index, tail[0].step_index) if len(tail) == len(newest) else None
    return (*head, *tail), gap


async def _doubtful(store: Store, record: RunRecord, calls: Sequence[CallRecord]) -> tuple[CallRecord, ...]:
    found = {call.call_id: call for call in calls if call.status in ("unknown", "started")}
    if record.counters.unknown_calls:
        for call in await store.get_calls(record.run_id, status="unknown", newest=True, limit=MAX_DOUBTS):
            found[call.call_id] = call
    return tuple(sorted(found.values(), key=lambda call: (call.step_index, call.started_at, call.call_id)))


def _points(
    record: RunRecord,
    claims: Iterable[ClaimRecord],
    attempts: Iterable[AttemptRecord],
    calls: Iterable[CallRecord],
    signals: Iterable[SignalRecord],
) -> list[int]:
    """Return the steps whose own records are needed: those that are told, and the ends of those that are not."""
    told = {c.step_index for c in calls} | {a.step_index for a in attempts}
    told |= {s.consumed_by for s in signals if s.consumed_by is not None}
    ends = {c.step_index - 1 for c in claims} | {record.step_index - 1}
    # What such a step says of its wait is in its own record.
    ends |= {c.step_index for c in claims if c.found == "waiting"}
    return sorted(i for i in told | {i - 1 for i in told} | ends if -1 <= i < record.step_index)


async def _steps(store: Store, run_id: str, points: Sequence[int]) -> dict[int, StepRecord]:
    wanted = set(points)
    found: dict[int, StepRecord] = {}
    for first, last in _ranges(points):
        for step in await store.get_steps(run_id, first=first, limit=last - first + 1):
            # A pruned history answers with later steps than those asked for.
            if step.step_index in wanted:
                found[step.step_index] = step
    return found


async def _first_state(store: Store, record: RunRecord) -> str | None:
    """Return the initial state of a conversation, which holds what the person said first; None if it was pruned."""
    if record.agent.name != CHAT_AGENT:
        return None
    found = await store.get_steps(record.run_id, first=-1, limit=1, states=True)
    return found[0].state if found and found[0].step_index == -1 else None


def _ranges(points: Sequence[int]) -> list[tuple[int, int]]:
    """Put points that lie near each other into one read."""
    ranges: list[tuple[int, int]] = []
    for point in points:
        if ranges and point - ranges[-1][1] <= _NEAR and point - ranges[-1][0] < PAGE:
            ranges[-1] = (ranges[-1][0], point)
        else:
            ranges.append((point, point))
    return ranges
