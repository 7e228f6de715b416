"""Puts what was read of a run into one order.

Events are first put into causal order (epoch, step, then time), since the wall clock may have been set back in
between; what has no epoch (signals, decisions) is then placed by its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import attrs

from loom_core.contracts.people import CONTROLS
from loom_core.contracts.stores import AttemptRecord, CallRecord, ClaimRecord, StepRecord
from loom_core.runtime.explain.decisions import claims_for_decisions, decisions_of
from loom_core.runtime.explain.events import (
    AttemptFailed,
    CallMade,
    Claimed,
    Created,
    Event,
    Left,
    Said,
    StepBegan,
    StepCommitted,
    Stretch,
)
from loom_core.runtime.explain.failure import failure_of
from loom_core.runtime.explain.inbox import first_words, messages_of, said_of, signals_of
from loom_core.runtime.explain.questions import questions_of
from loom_core.runtime.explain.reading import Material
from loom_core.runtime.explain.standing import Standing
from loom_core.runtime.explain.text import MAX_SHORT, MAX_WHOLE, arguments, compact, parsed, short, whole_or_none
from loom_core.runtime.explain.waits import timed_out_at, waits_or_waited

_CLAIM, _CALL, _COMMIT = range(3)


@attrs.frozen
class _Item:
    """A record with its place in the causal order."""

    epoch: int
    step_index: int
    rank: int
    at: float
    source: ClaimRecord | CallRecord | AttemptRecord | StepRecord


def timeline_of(material: Material, standing: Standing) -> tuple[Event, ...]:
    """Return what happened to the run, in order."""
    events = list(_Walk(material).events())
    if standing.status not in ("running", "orphaned"):
        events.append(Left(at=standing.since, status=standing.status, words=standing.words))
    times = accumulate((e.at or 0.0 for e in events), max)
    placed = [(at, event) for at, event in zip(times, events, strict=True)]
    placed += [
        (e.at or 0.0, e) for e in (*signals_of(material), *questions_of(material.approvals), *decisions_of(material))
    ]
    placed.sort(key=lambda pair: pair[0])
    return tuple(event for _, event in placed)


class _Walk:
    """Goes through the run once, from step 0 on, and tells of the steps between the events as well."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._next_step = 0
        self._began: int | None = None
        self._last_began: int | None = None
        self._since = material.record.created_at
        self._previous_owner: str | None = None
        self._folded = {claim.epoch for claim in claims_for_decisions(material).values()}
        self._said = {s.consumed_by: s for s in messages_of(material) if s.consumed_by is not None}

    def events(self) -> Iterator[Event]:
        record = self._material.record
        items = sorted(self._items(), key=lambda i: (i.epoch, i.step_index, i.rank, i.at))
        first = items[0].source if items else None
        owner = str(first.owner) if isinstance(first, ClaimRecord) and first.epoch <= 1 else None
        yield Created(at=record.created_at, owner=owner)
        begun_with = first_words(self._material.first_state)
        if begun_with is not None:
            yield Said(at=record.created_at, text=begun_with, consumed_by=0)
        for item in items:
            yield from self._skipped(item.step_index)
            yield from self._told(item)
        yield from self._skipped(record.step_index)

    def _items(self) -> Iterator[_Item]:
        material = self._material
        for claim in material.claims:
            yield _Item(claim.epoch, claim.step_index, _CLAIM, claim.at, claim)
        told: set[int] = set()
        for call in material.calls:
            told.add(call.step_index)
            yield _Item(call.epoch, call.step_index, _CALL, call.started_at, call)
        for attempt in material.attempts:
            told.add(attempt.step_index)
            yield _Item(attempt.epoch, attempt.step_index, _CALL, attempt.ended_at, attempt)
        told.update(s.consumed_by for s in material.signals if s.consumed_by is not None and s.name not in CONTROLS)
        told.update(s.step_index for s in material.steps.values() if waits_or_waited(s))
        for index in told:
            step = material.steps.get(index)
            if step is not None:
                yield _Item(step.epoch, index, _COMMIT, step.at, step)

    def _skipped(self, step_index: int) -> Iterator[Event]:
        """Tell of the committed steps before ``step_index`` that nothing else tells of."""
        first, last = self._next_step, step_index - 1
        if last < first:
            return
        end = self._material.steps.get(last)
        gap = self._material.unread_calls
        yield Stretch(
            at=self._since,
            first=first,
            last=last,
            seconds=None if end is None else end.at - self._since,
            quiet=gap is None or last < gap[0] or first > gap[1],
        )
        self._next_step = step_index
        if end is not None:
            self._since = end.at

    def _told(self, item: _Item) -> Iterator[Event]:
        source = item.source
        if isinstance(source, ClaimRecord):
            yield from self._claim(source)
            return
        if self._began != item.step_index:
            signal = self._said.pop(item.step_index, None)
            if signal is not None:
                yield said_of(signal)
            again = self._last_began == item.step_index
            self._began = self._last_began = item.step_index
            vain = timed_out_at(self._material, item.step_index)
            yield StepBegan(at=self._since, step_index=item.step_index, again=again, timed_out=vain)
        if isinstance(source, CallRecord):
            yield call_made(source, self._material.record.agent.reference)
        elif isinstance(source, AttemptRecord):
            yield _attempt(source, self._material.record.agent.reference)
        else:
            yield StepCommitted(
                at=source.at,
                step_index=source.step_index,
                outcome=source.outcome,
                attempts=source.attempt_index + 1,
                seconds=source.at - self._since,
            )
            self._next_step = source.step_index + 1
            self._since = source.at

    def _claim(self, claim: ClaimRecord) -> Iterator[Event]:
        self._began = None
        self._since = max(self._since, claim.at)
        if claim.epoch > 1 and claim.epoch not in self._folded:
            yield Claimed(
                at=claim.at,
                epoch=claim.epoch,
                step_index=claim.step_index,
                owner=str(claim.owner),
                found=claim.found,
                previous=self._previous_owner,
            )
        # A person who decided a call did not own the run for longer than that.
        if claim.epoch not in self._folded:
            self._previous_owner = str(claim.owner)


def call_made(call: CallRecord, reference: str | None = None) -> CallMade:
    """Return a recorded call as it is told."""
    is_model = call.kind == "model"
    return CallMade(
        at=call.started_at,
        call_id=call.call_id,
        step_index=call.step_index,
        try_index=call.try_index,
        call_kind=call.kind,
        name=call.name,
        effect=call.effect,
        arguments="" if is_model else arguments(call.arguments, limit=MAX_WHOLE, value_limit=MAX_WHOLE),
        status=call.status,
        result=model_answer(call.result, limit=MAX_WHOLE, part=MAX_WHOLE) if is_model else whole_or_none(call.result),
        error=failure_of(call.error, reference),
        not_started=call.not_started,
        seconds=None if call.ended_at is None or call.decided_by is not None else call.ended_at - call.started_at,
        tokens_in=call.tokens_in,
        tokens_out=call.tokens_out,
        decided_by=call.decided_by,
        has_late_result=call.late_result is not None,
    )


def model_answer(text: str | None, *, limit: int = MAX_SHORT, part: int = 120) -> str | None:
    """Return what a model said and which tools it asks for, on one line of ``limit`` characters at most."""
    data = parsed(text)
    if not isinstance(data, dict):
        return short(text, limit)
    said = data.get("text") or data.get("refusal") or ""
    words = [compact(said, part)] if said else []
    calls = data.get("tool_calls")
    if isinstance(calls, list):
        words += [
            f"asks for {c.get('name')}({arguments(str(c.get('arguments')), limit=limit, value_limit=part)})"
            for c in calls
            if isinstance(c, dict)
        ]
    return short(", ".join(words) or f"nothing ({data.get('finish')})", limit)


def _attempt(attempt: AttemptRecord, reference: str | None) -> AttemptFailed:
    error = failure_of(attempt.error, reference)
    assert error is not None
    return AttemptFailed(
        at=attempt.ended_at,
        step_index=attempt.step_index,
        attempt_index=attempt.attempt_index,
        seconds=attempt.ended_at - attempt.started_at,
        error=error,
        delay_s=None if attempt.retry_at is None else attempt.retry_at - attempt.ended_at,
    )
