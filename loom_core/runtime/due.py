"""Whether what a waiting run waits for has come: one rule for every command, store and worker."""

from __future__ import annotations

from loom_core.contracts.people import APPROVAL_REASON
from loom_core.contracts.stores import RunRecord, SignalRecord
from loom_core.contracts.timers import Moment, Woken

TIMER = "timer"
RETRY = "retry"


def is_due(record: RunRecord, signal: SignalRecord | None, now: Moment) -> bool:
    """Return True if a waiting run can go on. A doubt is never due by itself.

    A question that was answered has queued its run already; one whose time is up has the answer no.
    """
    if record.reason is not None and record.reason.startswith("doubt:"):
        return False
    return _signal_counts(record, signal) or timer_is_due(record, now)


def timer_is_due(record: RunRecord, now: Moment) -> bool:
    """Return True if the run has a timer, and its moment has come by the clock that counts."""
    left_s = seconds_left(record, now)
    return left_s is not None and left_s <= 0


def seconds_left(record: RunRecord, now: Moment) -> float | None:
    """Return the seconds until the run's timer is due, None if it has none; a doubt has none."""
    if record.wake_at is None or (record.reason or "").startswith("doubt:"):
        return None
    return now.until(record.wake_at, record.wake_boot)


def woken_by(record: RunRecord, signal: SignalRecord | None, now: Moment) -> Woken | None:
    """Return what woke a due run if no signal did. A signal that is there when the run goes on wins over the time."""
    if not timer_is_due(record, now) or _signal_counts(record, signal):
        return None
    # A paused run does not say what it waits for; with a signal that has not come, it is that one.
    for_signal = (record.reason or "").startswith("signal:") or record.status == "paused"
    return "timeout" if for_signal and record.wake_signal is not None else "timer"


def _signal_counts(record: RunRecord, signal: SignalRecord | None) -> bool:
    # A step that was woken by a signal and failed keeps it for its next attempt, which waits for its time all the same;
    # so does one that asked a person something.
    reason = record.reason or ""
    return signal is not None and reason != RETRY and not reason.startswith(APPROVAL_REASON)
