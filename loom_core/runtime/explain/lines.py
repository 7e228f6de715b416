"""An explanation laid out for a person at three in the morning."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from loom_core.runtime.explain.budgets import budget_words
from loom_core.runtime.explain.events import (
    AttemptFailed,
    CallMade,
    Event,
    Failure,
    StepBegan,
    StepCommitted,
)
from loom_core.runtime.explain.standing import InDoubt
from loom_core.runtime.explain.text import (
    ago,
    argument_list,
    clock,
    counted,
    cut,
    date_time,
    folded,
    number,
    safe,
    whole,
    wrapped,
)
from loom_core.runtime.explain.words import words_of

if TYPE_CHECKING:
    from loom_core.runtime.explain.facts import RunExplanation

MAX_LINES = 200
MIN_WIDTH = 40
MAX_DOUBTS = 12
_HEAD_SHARE = 3
# Of so many calls in doubt the commands are told; they are the same for the others.
_MAX_DECIDED = 4
# Arguments longer than this have a line each.
_INLINE = 60
_LABEL = " " * 10


def lines_of(explanation: RunExplanation, *, everything: bool, width: int | None, now: float) -> list[str]:
    """See ``RunExplanation.lines``."""
    columns = None if width is None else max(width, MIN_WIDTH)
    above = [line for label in _header(explanation, now) for line in _fold(label, columns, further=_LABEL)]
    below = _fold_all(_doubts(explanation, everything=everything), columns)
    below += _fold_all(_failure(explanation), columns)
    below += _resuming(explanation, columns, everything=everything)
    events = explanation.timeline
    room = None if everything else MAX_LINES - len(above) - len(below) - 2
    told = _timeline(events, explanation, room)
    happened = _fold_all(told, columns) if everything else [_cut(line, columns) for line in told]
    return [*above, "", "What happened", *happened, *below]


def _cut(line: str, columns: int | None) -> str:
    if columns is None or len(line) <= 8 * columns:
        return cut(safe(line), columns)
    # Escaping makes text longer only: nothing beyond this is seen, and long results need not be escaped whole.
    return cut(safe(line[: 8 * columns]) + " " * columns, columns)


def _fold_all(lines: Iterable[str], columns: int | None) -> list[str]:
    return [shown for line in lines for shown in _fold(line, columns)]


def _fold(line: str, columns: int | None, *, further: str | None = None) -> list[str]:
    """Return a line on as many lines as it takes, further ones a little more indented than the first."""
    text = line.lstrip(" ")
    indent = line[: len(line) - len(text)]
    return folded(safe(text), columns, indent, f"{indent}    " if further is None else further)


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
    if explanation.budget is not None:
        yield f"budget    {budget_words(explanation.budget)}"
    if record.result is not None:
        yield f"result    {whole(record.result)}"


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
    more = sum((out.calls or 0, out.attempts, out.claims, out.signals, out.approvals))
    unread = f", {number(more)} more not read" if more else ""
    return f"{counted(len(events), 'event')} folded{where}{unread}: --all shows them …"


def _line(event: Event, *, dated: bool) -> str:
    words = words_of(event)
    at = " " * (14 if dated else 8) if event.at is None else clock(event.at, dated=dated)
    return f"  {at}  {words}"


# -- below the timeline -------------------------------------------------------------------------------------------


def _doubts(explanation: RunExplanation, *, everything: bool) -> Iterator[str]:
    doubts = explanation.in_doubt
    if not doubts:
        return
    yield ""
    yield "In doubt: may or may not have happened"
    shown = sorted(doubts, key=lambda doubt: not doubt.open)
    if not everything:
        shown = shown[:MAX_DOUBTS]
    for doubt in shown:
        yield from _doubt(doubt)
    if len(shown) < len(doubts):
        yield f"  … and {counted(len(doubts) - len(shown), 'other')}: --all shows them"


def _doubt(doubt: InDoubt) -> Iterator[str]:
    given = argument_list(doubt.arguments)
    joined = ", ".join(given)
    start = f"[{doubt.effect}], started {date_time(doubt.at)}"
    if len(joined) <= _INLINE:
        yield f"  call {doubt.call_id}: {doubt.name}({joined}) {start}"
    else:
        yield f"  call {doubt.call_id}: {doubt.name} {start}, with"
        yield from (f"      {argument}" for argument in given)
    key = f"; its idempotency key: {doubt.idempotency_key}" if doubt.idempotency_key else ""
    gone_on = "" if doubt.open else "; the run went on without it"
    yield f"    {doubt.why}{gone_on}{key}"
    if doubt.late_result is not None:
        yield f"    evidence: after that it returned {whole(doubt.late_result)}"


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


def _resuming(explanation: RunExplanation, columns: int | None, *, everything: bool) -> list[str]:
    resuming = explanation.resuming
    lines = ["", "What resuming would do"]
    lines += _fold_all((f"  {sentence}" for sentence in resuming.what), columns)
    about = dict.fromkeys(c.call_id for c in resuming.commands if c.call_id is not None)
    told = set(list(about)[: None if everything else _MAX_DECIDED])
    for command in resuming.commands:
        if command.call_id is None or command.call_id in told:
            lines += _fold(f"  {command.does}:", columns)
            lines += wrapped(command.words, columns, "    ")
    if len(told) < len(about):
        lines += _fold(f"  … and the same for {counted(len(about) - len(told), 'other call')} (--all)", columns)
    return lines
