"""Where a run stands, in plain words, and which of its calls are in doubt."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from loom_core.contracts.budgets import RAISED, WORDS
from loom_core.contracts.people import ANSWERED
from loom_core.contracts.stores import CallRecord, Effect, RunRecord, SignalRecord
from loom_core.contracts.timers import Moment
from loom_core.runtime.admission import is_orphaned
from loom_core.runtime.explain.budgets import used_up
from loom_core.runtime.explain.failure import failure_of
from loom_core.runtime.explain.reading import CHAT_AGENT, Material
from loom_core.runtime.explain.text import counted, date_time, number
from loom_core.runtime.explain.waits import has_come, waits_on, words_of_wait
from loom_core.runtime.owners import boot_id, moment, provably_dead

OVER = frozenset({"completed", "cancelled"})


@attrs.frozen(kw_only=True)
class Standing:
    """``status`` is the stored one, or ``orphaned``; ``words`` says it as a sentence would; ``since`` is Unix time.

    ``due`` if what a waiting run waits for has come; ``waits_on`` is what a paused one still waited for when it was.
    """

    status: str
    words: str
    since: float
    due: bool = False
    waits_on: str | None = None


@attrs.frozen(kw_only=True)
class InDoubt:
    """A ``once`` call that may or may not have happened. ``open`` if the run still depends on it.

    ``arguments`` and ``late_result`` are the JSON texts as they were recorded, whole.
    """

    call_id: str
    name: str
    effect: Effect
    step_index: int
    at: float
    arguments: str
    why: str
    idempotency_key: str | None
    late_result: str | None
    open: bool


def standing_of(
    record: RunRecord, signals: Sequence[SignalRecord] = (), *, wall_s: float, boot_s: float | None
) -> Standing:
    """Say where the run stands at this moment; ``signals`` tells whether the one it waits for has come."""
    if record.status == "running":
        return _running(record, wall_s=wall_s, boot_s=boot_s)
    since = record.updated_at if record.ended_at is None else record.ended_at
    now = moment(wall_s, boot_s, boot_id())
    if record.status == "waiting":
        come = has_come(record, signals, now)
        return Standing(status="waiting", words=_waiting(record, now, come=come), since=since, due=come)
    words = {"queued": _queued, "paused": _paused, "failed": _failed}.get(record.status, _plain)(record)
    waits = waits_on(record, signals, now) if record.status == "paused" else None
    return Standing(status=record.status, words=words, since=since, waits_on=waits)


def in_doubt(material: Material, standing: Standing) -> tuple[InDoubt, ...]:
    """Return the ``once`` calls of which nobody knows whether they happened, in their order."""
    return tuple(_doubt(material.record, call) for call in material.doubtful if is_doubtful(call, standing.status))


def is_doubtful(call: CallRecord, status: str) -> bool:
    """Return True for a ``once`` call without a known end; one of a living owner is merely under way."""
    return call.effect == "once" and (call.status == "unknown" or (call.status == "started" and status != "running"))


def _doubt(record: RunRecord, call: CallRecord) -> InDoubt:
    error = failure_of(call.error)
    return InDoubt(
        call_id=call.call_id,
        name=call.name,
        effect=call.effect,
        step_index=call.step_index,
        at=call.started_at,
        arguments=call.arguments,
        why="it started, and no end is recorded" if error is None else f"it started, and ended in {error}",
        idempotency_key=call.idempotency_key,
        late_result=call.late_result,
        open=call.step_index >= record.step_index and record.status not in OVER,
    )


def _running(record: RunRecord, *, wall_s: float, boot_s: float | None) -> Standing:
    owner = record.owner
    if not is_orphaned(record, wall_s=wall_s, boot_s=boot_s):
        words = f"{owner} works on step {number(record.step_index)}"
        return Standing(status="running", words=words, since=record.updated_at)
    if owner is None:
        why = "it is marked as running, and no process holds it"
    elif provably_dead(owner):
        why = f"its owner, {owner}, is dead"
    else:
        why = f"its owner, {owner}, has been silent for longer than its lease"
    words = f"{why}; it was working on step {number(record.step_index)}"
    return Standing(status="orphaned", words=words, since=record.updated_at)


def _waiting(record: RunRecord, now: Moment, *, come: bool) -> str:
    kind, _, name = (record.reason or "").partition(":")
    if kind == "doubt":
        return f"for a person to decide call {name}, which may or may not have happened"
    if kind == "approval":
        until = "" if record.wake_at is None else f" until {date_time(record.wake_at)}"
        over = ", which has come: nobody did, and that means no" if come else ""
        return f"for a person to answer question {name}{until}{over}"
    if kind == "signal" and record.agent.name == CHAT_AGENT and name == "message":
        return "your turn" if not come else "for its owner: your message has come"
    return words_of_wait(record, now, come=come)


def _queued(record: RunRecord) -> str:
    words = {
        ANSWERED: "its question was answered; nobody has resumed the run since",
        RAISED: "its budget was raised; nobody has resumed the run since",
        "resolved": "a call in doubt was decided; nobody has resumed the run since",
        "submitted": "for a worker to begin it",
        "drained": "the worker that had it was stopped; the next one goes on",
        "forked": "it was forked from another run, and nobody has begun it yet",
    }
    return words.get(record.reason or "", "nobody works on it")


def _paused(record: RunRecord) -> str:
    kind, _, name = (record.reason or "").partition(":")
    if kind == "person":
        return f"{name} wanted it paused"
    exhausted = used_up(record)
    if exhausted is not None:
        return f"its budget of {WORDS[exhausted]} is used up"
    words = {
        "slice:steps": "its slice (--max-steps) was used up",
        "slice:seconds": "its slice (--max-seconds) was used up",
        "imported": "it was imported while somebody worked on the run that it is a copy of",
        "interrupt": "it was interrupted (Ctrl-C, a stop request, or a cancelled task)",
    }
    return words.get(record.reason or "", record.reason or "no reason is stored")


def _failed(record: RunRecord) -> str:
    failure = failure_of(record.error)
    return f"at step {number(record.step_index)}: {failure or 'no error is stored'}"


def _plain(record: RunRecord) -> str:
    if record.status == "cancelled":
        name = (record.reason or "").removeprefix("cancelled:")
        raised = "" if record.error is None else f"; its clean-up raised {failure_of(record.error)}"
        return f"by {name or 'somebody'} at step {number(record.step_index)}{raised}"
    return f"after {counted(record.step_index, 'step')}" if record.status == "completed" else ""
