"""How a fork begins: with what its source's step began, or waiting for what its source waits for."""

from __future__ import annotations

import json

import attrs

from loom_core.contracts.people import APPROVAL_REASON
from loom_core.contracts.stores import RunRecord, RunStatus, SignalRecord
from loom_core.contracts.timers import BootTime

_BEGUN = ("doubt:", "reconcile:", APPROVAL_REASON)


@attrs.frozen(kw_only=True)
class ForkHead:
    """What a fork's own row says of its first step; ``signal`` is the one of its source's that it is given."""

    status: RunStatus = "queued"
    reason: str = "forked"
    wake_signal: str | None = None
    wake_at: float | None = None
    wake_boot: BootTime | None = None
    timed_out: bool = False
    signal: SignalRecord | None = None


def head_of_fork(found: RunRecord, step_index: int, signal: SignalRecord | None, notes: str | None) -> ForkHead:
    """Return how a fork of ``found`` begins; one rule for every store.

    ``signal`` is the one that step ``step_index`` was woken by, or would be if it is the one that comes next; ``notes``
    are those of the step. A question is not taken over, so that a fork of a run that asks one asks it itself.
    """
    if step_index < found.step_index:
        in_vain = None if signal is not None else _waited_in_vain(notes)
        name = in_vain if signal is None else signal.name
        return ForkHead(wake_signal=name, timed_out=in_vain is not None, signal=signal)
    if found.timed_out:
        return ForkHead(wake_signal=found.wake_signal, timed_out=True)
    has_begun = found.reason == "retry" or (found.reason or "").startswith(_BEGUN)
    if found.status == "waiting" and not has_begun:
        return _waiting(found, found.reason or "forked")
    if signal is not None:
        return ForkHead(wake_signal=signal.name, signal=signal)
    if found.status == "paused" and not has_begun and found.attempt_index == 0:
        # A person paused it while it waited.
        if found.wake_signal is not None:
            return _waiting(found, f"signal:{found.wake_signal}")
        if found.wake_at is not None:
            return _waiting(found, "timer")
    return ForkHead()


def _waiting(found: RunRecord, reason: str) -> ForkHead:
    return ForkHead(
        status="waiting",
        reason=reason,
        wake_signal=found.wake_signal,
        wake_at=found.wake_at,
        wake_boot=found.wake_boot,
    )


def _waited_in_vain(notes: str | None) -> str | None:
    data = None if notes is None else json.loads(notes)
    name = data.get("timed_out") if isinstance(data, dict) else None
    return name if isinstance(name, str) else None
