"""Each event of a timeline in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loom_core.runtime.explain.events import (
    AttemptFailed,
    CallDecided,
    CallMade,
    Claimed,
    Created,
    Event,
    Left,
    Questioned,
    QuestionSettled,
    Said,
    SignalCame,
    StepBegan,
    StepCommitted,
    Stretch,
    Wished,
)
from loom_core.runtime.explain.text import as_json, counted, duration, number


def words_of(event: Event) -> str:
    """Return what is said of an event."""
    return _WORDS[type(event)](event)


def _created(event: Created) -> str:
    return "created" if event.owner is None else f"created, and begun by {event.owner}"


def _claimed(event: Claimed) -> str:
    found = f"found {event.found}"
    if event.found == "running":
        before = f", {event.previous}," if event.previous else ""
        found = f"found running: the previous owner{before} had died or fallen silent"
    elif event.found == "waiting":
        found = "found waiting for what had come"
    return f"claimed by {event.owner} at step {number(event.step_index)} (epoch {event.epoch}), {found}"


def _stretch(event: Stretch) -> str:
    count = event.last - event.first + 1
    first, last = number(event.first), number(event.last)
    which = f"step {first}:" if count == 1 else f"steps {first}–{last}: {counted(count, 'step')}"
    calls = "without calls" if event.quiet else "with calls that are not told here (--all)"
    took = "" if event.seconds is None else f", {duration(event.seconds)}"
    return f"{which} {calls}{took}"


def _began(event: StepBegan) -> str:
    vain = "" if event.timed_out is None else f", without the signal `{event.timed_out}`: its time was over"
    return f"step {number(event.step_index)}{vain}" + (", executed again from its start" if event.again else "")


def _committed(event: StepCommitted) -> str:
    attempts = f" after {event.attempts} attempts" if event.attempts > 1 else ""
    took = "" if event.seconds is None else f", {duration(event.seconds)}"
    then = {"sleep": "; it then sleeps", "wait": "; it then waits", "complete": "; the run is complete"}.get(
        event.outcome, ""
    )
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
    if event.decided_by is not None:
        # What was decided later is told where it was decided.
        return "no certain end recorded"
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
    known = event.status == "done" and event.result is not None and event.decided_by is None
    return (f" → {event.result}" if known else "") + late


def _decided(event: CallDecided) -> str:
    by = "its reconcile" if event.by == "reconcile" else event.by
    where = f" ({event.claimed_by})" if event.claimed_by else ""
    return f"  call {event.call_id} ({event.name}) decided by {by}: {event.decision}{where}"


def _attempt(event: AttemptFailed) -> str:
    then = "not tried again" if event.delay_s is None else f"tried again after {duration(event.delay_s)}"
    took = duration(event.seconds)
    return f"  attempt {event.attempt_index + 1} FAILED after {took}, {then} ({event.error.category}): {event.error}"


def _signal(event: SignalCame) -> str:
    then = "not consumed yet" if event.consumed_by is None else f"consumed by step {number(event.consumed_by)}"
    sender = "" if event.by is None else f" from {event.by}"
    return f"signal `{event.name}` came{sender}, {then}: {event.payload}"


def _questioned(event: Questioned) -> str:
    return f"question {event.question_id}: {event.question} (to be answered by {event.who_may})"


def _settled(event: QuestionSettled) -> str:
    ends = {
        "approved": f"approved by {event.by}",
        "denied": f"DENIED by {event.by}",
        "expired": "NOT ANSWERED in time, which means no",
        "withdrawn": "withdrawn: the run ended, or asked something else",
    }
    note = "" if event.note is None else f": {as_json(event.note)}"
    used = "" if event.used_at is None else "; its call was then made"
    return f"question {event.question_id} {ends[event.decision]}{note}{used}"


def _wished(event: Wished) -> str:
    wants = {"pause": "paused", "cancel": "cancelled"}[event.wants]
    taken = "not heard yet" if event.taken_up is None else f"heard at step {number(event.taken_up)}"
    note = "" if event.note is None else f": {as_json(event.note)}"
    return f"{event.by} wants it {wants} ({taken}){note}"


def _said(event: Said) -> str:
    pending = "" if event.consumed_by is not None else " (not taken up yet)"
    return f"you{pending}: {as_json(event.text)}"


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
    Questioned: _questioned,
    QuestionSettled: _settled,
    Wished: _wished,
    Said: _said,
    Left: _left,
}
