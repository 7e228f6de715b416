"""How a run is left that waits: for its time, for a signal, or for its next attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from loom_core.contracts.people import APPROVAL_REASON
from loom_core.contracts.stores import AttemptRecord, ClaimedRun, EncodedState, RunRecord, Settlement
from loom_core.contracts.timers import Moment
from loom_core.runtime.admission import NothingToDo
from loom_core.runtime.due import RETRY, TIMER, seconds_left
from loom_core.runtime.outcomes import Sleep, Wait
from loom_core.runtime.services import World
from loom_core.runtime.shielding import to_its_end
from loom_core.runtime.stopping import StopRequest

WAIT_S = 60.0
"""A timer that is due within so many seconds is waited for in process by ``start`` and ``resume``."""

DURABLE_BACKOFF_S = 5.0
"""A retry that is further away than this is a timer of the run's, and no sleep of the process.

Below it the two synced writes and the claim of a timer would cost more than they save: the attempts are counted on
disk either way.
"""

_LOOK_S = 5.0
_LOOK_FOR_SOMEBODY_S = 0.25


@attrs.frozen(kw_only=True)
class Waiting:
    """What a run waits for: why (``reason``), which signal, and until when (None: for ever)."""

    reason: str
    signal: str | None = None
    wake: Moment | None = None

    def settlement(self, **fields: Any) -> Settlement:
        """Return the settlement that parks the run so."""
        return Settlement(
            status="waiting",
            reason=self.reason,
            wake_signal=self.signal,
            wake_at=None if self.wake is None else self.wake.wall_s,
            wake_boot=None if self.wake is None else self.wake.boot,
            **fields,
        )


def waiting_of(outcome: Sleep[Any] | Wait[Any], now: Moment) -> Waiting:
    """Return what an outcome waits for."""
    if isinstance(outcome, Wait):
        wake = None if outcome.timeout is None else now.after(outcome.timeout)
        return Waiting(reason=f"signal:{outcome.signal}", signal=outcome.signal, wake=wake)
    if outcome.until is not None:
        # A time of the calendar has no moment on the boot's clock: if the wall clock is set, it comes when that says.
        return Waiting(reason=TIMER, wake=Moment(wall_s=outcome.until.timestamp()))
    return Waiting(reason=TIMER, wake=now.after(outcome.seconds or 0.0))


def outcome_settlement(
    outcome: Sleep[Any] | Wait[Any], state: EncodedState, now: Moment, **fields: Any
) -> tuple[Waiting, Settlement]:
    """Return what a step waits for that ended so, and the settlement that commits it."""
    waiting = waiting_of(outcome, now)
    kind = "wait" if isinstance(outcome, Wait) else "sleep"
    return waiting, waiting.settlement(outcome=kind, state=state, **fields)


def retry_settlement(attempt: AttemptRecord, delay_s: float, now: Moment) -> tuple[Waiting, Settlement]:
    """Return how a run is left whose step is tried again later; the failed attempt is recorded with it."""
    waiting = Waiting(reason=RETRY, wake=now.after(delay_s))
    return waiting, waiting.settlement(step_index=attempt.step_index, attempt=attempt)


@attrs.frozen(kw_only=True)
class Found:
    """A run that was claimed to go on with; ``asked``: because a person wants it to, and its last owner had left it."""

    claimed: ClaimedRun
    asked: bool


async def give_back_if_asleep(claimed: ClaimedRun, found_status: str | None, now: Moment) -> RunRecord | None:
    """Park a run again whose wait has not ended; return its row then, None if it is awake.

    A person may have paused it while it waited; and somebody who claimed it for something else than its next step, to
    decide a call for example, may have died before it was given back. What it waited for is still in its row: a wait
    that has ended is cleared by the claim that ended it. A run that waits in the middle of a step is executed again
    instead, and finds out by itself.
    """
    record = claimed.record
    if found_status not in ("running", "paused") or claimed.signal is not None or claimed.approvals:
        return None
    waits_in_vain = record.wake_signal is not None and not record.timed_out
    if found_status == "paused" and (claimed.calls or _has_passed(record, now)):
        return None
    if not (waits_in_vain or record.wake_at is not None):
        return None
    reason = f"signal:{record.wake_signal}" if waits_in_vain else RETRY if record.attempt_index else TIMER
    settlement = Settlement(
        step_index=record.step_index,
        status="waiting",
        reason=reason,
        wake_at=record.wake_at,
        wake_boot=record.wake_boot,
    )
    await to_its_end(claimed.writer.settle(settlement))
    return attrs.evolve(record, status="waiting", reason=reason, owner=None, lease=None)


def _has_passed(record: RunRecord, now: Moment) -> bool:
    left_s = seconds_left(record, now)
    return left_s is not None and left_s <= 0


async def claim_when_due(
    claim: Callable[[], Awaitable[Found]], *, wait_s: float, stop: StopRequest, world: World
) -> Found | RunRecord:
    """Claim a run as soon as what it waits for has come; return its row if that takes longer than ``wait_s``.

    The run is not held while it is waited for: whoever is first when it is due goes on with it. Raises ``RunBusy`` if
    that is somebody else.
    """
    while True:
        try:
            return await claim()
        except NothingToDo as nothing:
            record = nothing.record
        left_s = seconds_left(record, world.now()) if record.status == "waiting" else None
        if left_s is None or left_s > wait_s or stop.requested:
            return record
        # Looked at again in between, because a machine that was suspended does not count that as sleep, because a
        # calendar's time moves with the wall clock, and because a signal or an answer may come; less often while the
        # time is far away.
        somebody = record.wake_signal is not None or (record.reason or "").startswith(APPROVAL_REASON)
        look_s = max(_LOOK_FOR_SOMEBODY_S, left_s / 500) if somebody else max(_LOOK_S, left_s / 50)
        await stop.wait(min(max(left_s, 0.001), look_s), world.sleep)
