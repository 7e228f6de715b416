"""An explanation laid out for a person at three in the morning."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loom_core.runtime.explain.events import (
    AttemptFailed,
    CallDecided,
    CallMade,
    Claimed,
    Created,
    Event,
    Failure,
    Left,
    SignalCame,
    StepBegan,
    StepCommitted,
    Stretch,
)
from loom_core.runtime.explain.standing import InDoubt
from loom_core.runtime.explain.text import (
    ago,
    clock,
    counted,
    cut,
    date_time,
    duration,
    number,
    safe,
    short,
    wrapped,
)

if TYPE_CHECKING:
    from loom_core.runtime.explain.facts import RunExplanation

MAX_LINES = 200
MIN_WIDTH = 40
MAX_DOUBTS = 12
_HEAD_SHARE = 3


def lines_of(explanation: RunExplanation, *, everything: bool, width: int, now: float) -> list[str]:
    """See ``RunExplanation.lines``."""
    columns = max(width, MIN_WIDTH)
    above = [cut(safe(line), columns) for line in _header(explanation, now)]
    below = [*_cut_all(_doubts(explanation, everything=everything), columns)]
    below += _cut_all(_failure(explanation), columns)
    below += _resuming(explanation, columns)
    events = explanation.timeline
    room = None if everything else MAX_LINES - len(above) - len(below) - 2
    told = _timeline(events, explanation, room)
    return [*above, "", "What happened", *_cut_all(told, columns), *below]


def _cut_all(lines: Iterator[str] | Sequence[str], columns: int) -> list[str]:
    return [cut(safe(line), columns) for line in lines]


def _header(explanation: RunExplanation, now: float) -> Iterator[str]:
    record, standing = explanation.record, explanation.standing
    agent = record.agent
    made = agent.reference or "made in code"
    yield f"run       {record.run_id}"
    yield f"agent     {agent.name}, version {agent.version} ({made})"
    words = f": {standing.words}" if standing.words else ""
    yield f"status    {standing.status}{words}"
    yield f"since     {date_time(standing.since)} ({ago(standing.since, now)})"
    yield f"created   {date_time(record.created_at)} ({ago(record.created_at, now)}), in {explanation.location}"
    yield f"so far    {_totals(explanation)}"
    if record.result is not None:
        yield f"result    {short(record.result)}"


def _totals(explanation: RunExplanation) -> str:
    record = explanation.record
    counters = record.counters
    parts = [f"{counted(record.step_index, 'step')} committed", counted(counters.calls, "call")]
    if counters.model_calls:
        parts[-1] += f" ({number(counters.model_calls)} of models)"
    if counters.tokens_in or counters.tokens_out:
        parts.append(f"{number(counters.tokens_in)} + {number(counters.tokens_out)} tokens")
    if counters.failed_attempts:
        parts.append(counted(counters.failed_attempts, "failed attempt"))
    if record.epoch > 1:
        parts.append(f"claimed {number(record.epoch)} times")
    return ", ".join(parts)


# -- the timeline -------------------------------------------------------------------------------------------------


def _timeline(events: Sequence[Event], explanation: RunExplanation, room: int | None) -> list[str]:
    dated = len({time.localtime(e.at)[:3] for e in events if e.at is not None}) > 1
    shown = [_line(event, dated=dated) for event in events]
    if room is None or len(shown) <= room:
        return shown
    room = max(room, _HEAD_SHARE)
    head = room // _HEAD_SHARE
    tail = room - head - 1
    folded = events[head : len(events) - tail]
    return [*shown[:head], f"  … {_folded(folded, explanation)}", *shown[len(shown) - tail :]]


def _folded(events: Sequence[Event], explanation: RunExplanation) -> str:
    steps = [e.step_index for e in events if isinstance(e, (StepBegan, StepCommitted, CallMade, AttemptFailed))]
    where = f" (steps {number(min(steps))}–{number(max(steps))})" if steps else ""
    out = explanation.left_out
    more = sum((out.calls or 0, out.attempts, out.claims, out.signals))
    unread = f", {number(more)} more not read" if more else ""
    return f"{counted(len(events), 'event')} folded{where}{unread}: --all shows them …"


def _line(event: Event, *, dated: bool) -> str:
    words = _WORDS[type(event)](event)
    at = " " * (14 if dated else 8) if event.at is None else clock(event.at, dated=dated)
    return f"  {at}  {words}"


def _created(event: Created) -> str:
    return "created" if event.owner is None else f"created, and begun by {event.owner}"


def _claimed(event: Claimed) -> str:
    found = f"found {event.found}"
    if event.found == "running":
        before = f", {event.previous}," if event.previous else ""
        found = f"found running: the previous owner{before} had died or fallen silent"
    return f"claimed by {event.owner} at step {number(event.step_index)} (epoch {event.epoch}), {found}"


def _stretch(event: Stretch) -> str:
    count = event.last - event.first + 1
    first, last = number(event.first), number(event.last)
    which = f"step {first}:" if count == 1 else f"steps {first}–{last}: {counted(count, 'step')}"
    calls = "without calls" if event.quiet else "with calls that are not told here (--all)"
    took = "" if event.seconds is None else f", {duration(event.seconds)}"
    return f"{which} {calls}{took}"


def _began(event: StepBegan) -> str:
    return f"step {number(event.step_index)}" + (", executed again from its start" if event.again else "")


def _committed(event: StepCommitted) -> str:
    attempts = f" after {event.attempts} attempts" if event.attempts > 1 else ""
    took = "" if event.seconds is None else f", {duration(event.seconds)}"
    then = {"wait": "; it then waits", "complete": "; the run is complete"}.get(event.outcome, "")
    return f"  committed{attempts}{took}{then}"


def _call(event: CallMade) -> str:
    what = f"model {event.name}" if event.call_kind == "model" else f"{event.name}({event.arguments})"
    again = f", try {event.try_index + 1}" if event.try_index else ""
    kind = "" if event.call_kind == "model" else f" [{event.effect}]"
    tokens = (
        f", {number(event.tokens_in)} + {number(event.tokens_out)} tokens" if event.tokens_in + event.tokens_out else ""
    )
    took = "" if event.seconds is None else f", {duration(event.seconds)}"
    # What was done comes before how: long arguments may cost the end of the line, never the outcome.
    return f"  call {event.call_id} {_outcome(event)}{took}{tokens}{again}: {what}{kind}{_returned(event)}"


def _outcome(event: CallMade) -> str:
    if event.status == "done":
        return "done"
    if event.not_started:
        return "did not happen"
    if event.status == "failed":
        return f"FAILED ({event.error})" if event.error else "FAILED"
    if event.status == "started":
        return "started, no end recorded"
    why = f" ({event.error})" if event.error else ""
    doubt = "IN DOUBT, may or may not have happened" if event.effect == "once" else "interrupted"
    return f"{doubt}{why}"


def _returned(event: CallMade) -> str:
    late = "; it returned after that: see `tool-calls`" if event.has_late_result else ""
    return (f" → {event.result}" if event.status == "done" and event.result is not None else "") + late


def _decided(event: CallDecided) -> str:
    by = "its reconcile" if event.by == "reconcile" else event.by
    return f"  call {event.call_id} ({event.name}) decided by {by}: {event.decision}"


def _attempt(event: AttemptFailed) -> str:
    then = "not tried again" if event.delay_s is None else f"tried again after {duration(event.delay_s)}"
    took = duration(event.seconds)
    return f"  attempt {event.attempt_index + 1} FAILED after {took}, {then} ({event.error.category}): {event.error}"


def _signal(event: SignalCame) -> str:
    then = "not consumed yet" if event.consumed_by is None else f"consumed by step {number(event.consumed_by)}"
    return f"signal `{event.name}` came, {then}: {event.payload}"


def _left(event: Left) -> str:
    return f"{event.status}: {event.words}" if event.words else event.status


_WORDS: Mapping[type[Event], Callable[[Any], str]] = {
    Created: _created,
    Claimed: _claimed,
    Stretch: _stretch,
    StepBegan: _began,
    StepCommitted: _committed,
    CallMade: _call,
    CallDecided: _decided,
    AttemptFailed: _attempt,
    SignalCame: _signal,
    Left: _left,
}


# -- below the timeline -------------------------------------------------------------------------------------------


def _doubts(explanation: RunExplanation, *, everything: bool) -> Iterator[str]:
    doubts = explanation.in_doubt
    if not doubts:
        return
    yield ""
    yield "In doubt: may or may not have happened"
    shown = doubts if everything else doubts[-MAX_DOUBTS:]
    if len(shown) < len(doubts):
        yield f"  … {counted(len(doubts) - len(shown), 'earlier one')}: --all shows them"
    for doubt in shown:
        yield from _doubt(doubt)


def _doubt(doubt: InDoubt) -> Iterator[str]:
    yield f"  call {doubt.call_id}: {doubt.name}({doubt.arguments}) [{doubt.effect}], at {date_time(doubt.at)}"
    key = f"; its idempotency key: {doubt.idempotency_key}" if doubt.idempotency_key else ""
    gone_on = "" if doubt.open else "; the run went on without it"
    yield f"    {doubt.why}{gone_on}{key}"
    if doubt.late_result is not None:
        yield f"    evidence: after that it returned {doubt.late_result}"


def _failure(explanation: RunExplanation) -> Iterator[str]:
    failed = explanation.failed_at
    if failed is None:
        return
    attempt = "" if failed.attempt_index is None else f", attempt {failed.attempt_index + 1}"
    yield ""
    yield "What failed"
    yield f"  step {number(failed.step_index)}{attempt} ({failed.error.category})"
    yield from _error(failed.error)


def _error(error: Failure) -> Iterator[str]:
    first, *more = (str(error).splitlines() or [""])[:4]
    yield f"  {first}"
    for line in more:
        yield f"    {line}"
    if error.line is not None:
        yield f"  {error.line}"


def _resuming(explanation: RunExplanation, columns: int) -> list[str]:
    lines = ["", "What resuming would do"]
    lines += [cut(f"  {safe(sentence)}", columns) for sentence in explanation.resuming.what]
    for command in explanation.resuming.commands[: 3 * MAX_DOUBTS]:
        lines.append(cut(f"  {safe(command.does)}:", columns))
        lines += wrapped(command.words, columns, "    ")
    return lines
