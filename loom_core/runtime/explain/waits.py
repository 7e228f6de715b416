"""What a waiting run waits for, until when, and whether it has come."""

from __future__ import annotations

from collections.abc import Sequence

from loom_core.contracts.stores import RunRecord, SignalRecord, StepRecord
from loom_core.contracts.timers import Moment
from loom_core.runtime.due import RETRY, is_due, seconds_left
from loom_core.runtime.explain.reading import Material
from loom_core.runtime.explain.text import date_time, duration, number, parsed


def has_come(record: RunRecord, signals: Sequence[SignalRecord], now: Moment) -> bool:
    """Return True if the run can go on; ``signals`` is as much of its inbox as is known."""
    pending = (s for s in signals if s.consumed_by is None and s.name == record.wake_signal)
    return is_due(record, next(pending, None), now)


def waits_until(record: RunRecord, now: Moment) -> str | None:
    """Return ``until 2026-03-01 09:00:00 (in 2h)``, or since when it is due; None for a run without a timer."""
    left_s = seconds_left(record, now)
    if left_s is None or record.wake_at is None:
        return None
    if left_s > 0:
        # By the clock that counts: the wall clock may have been set since the timer was.
        return f"until {date_time(now.wall_s + left_s)} (in {duration(left_s)})"
    return f"until {date_time(record.wake_at)}, which has come"


def waits_on(record: RunRecord, signals: Sequence[SignalRecord], now: Moment) -> str | None:
    """Return what a run waits for that was paused while it waited, None if that has come or there was nothing."""
    left_s = seconds_left(record, now)
    if left_s is not None and left_s <= 0:
        return None
    if record.wake_signal is None or record.timed_out:
        return waits_until(record, now)
    if any(s.consumed_by is None and s.name == record.wake_signal for s in signals):
        return None
    limit = "" if left_s is None else f", {waits_until(record, now)}"
    return f"for the signal `{record.wake_signal}`{limit}"


def words_of_wait(record: RunRecord, now: Moment, *, come: bool) -> str:
    """Return what a run waits for that is nobody's turn and no doubt."""
    kind, _, name = (record.reason or "").partition(":")
    until = waits_until(record, now)
    if kind == "signal":
        due = until is not None and until.endswith("has come")
        limit = "" if until is None else f", {until}"
        return f"for the signal `{name}`" + (", which has come" if come and not due else limit)
    if until is None:
        return f"for {record.reason or 'a reason that is not stored'}"
    if kind == RETRY:
        return f"{until}, to try step {number(record.step_index)} again (attempt {record.attempt_index + 1})"
    return until


def waits_or_waited(step: StepRecord) -> bool:
    """Return True for a step that ended in a sleep, or that was executed because a signal did not come in time."""
    return step.outcome == "sleep" or _timed_out(step) is not None


def timed_out_at(material: Material, step_index: int) -> str | None:
    """Return the signal that a step waited for in vain, None if it did not."""
    record, step = material.record, material.steps.get(step_index)
    if step is not None:
        return _timed_out(step)
    return record.wake_signal if record.timed_out and record.step_index == step_index else None


def _timed_out(step: StepRecord) -> str | None:
    notes = parsed(step.notes)
    name = notes.get("timed_out") if isinstance(notes, dict) else None
    return name if isinstance(name, str) else None
