"""What people ask of a run from outside: signals, a pause, its end.

A wish is appended to the run's inbox first, so that it holds whoever owns the run. If nobody does, it is fulfilled here
at once, by a claim like any other; else the owner reads it.
"""

from __future__ import annotations

from typing import Literal

import attrs

from loom_core.contracts.people import CANCEL, CONTROL_PREFIX, PAUSE, Person
from loom_core.contracts.stores import ENDED, ClaimedRun, RunRecord, RunWriter, Settlement, SignalRecord, Store
from loom_core.errors import BadInput, LoomError, RunBusy
from loom_core.runtime.admission import Admission, NothingToDo
from loom_core.runtime.owners import this_owner
from loom_core.runtime.shielding import to_its_end
from loom_core.runtime.wishes import DEFAULT_GRACE_S, cancel_payload, pause_payload

# Long enough for the writes of a wish.
_LEASE_S = 30.0
_UNREAD = frozenset({"completed", "cancelled"})


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of a wish. ``owner`` is the process that has to fulfil it, None if it is fulfilled."""

    record: RunRecord
    owner: str | None = None
    already: bool = False


async def signal_run(store: Store, run_id: str, name: str, payload: str, by: Person) -> SignalRecord:
    """Put a signal with a JSON payload into the run's inbox; it is on disk when this returns.

    Raises ``BadInput``, and changes nothing, for a name that is not a user's, and a run that will never read it.
    """
    check_signal_name(name)
    record = await store.get_run(run_id)
    if record.status in _UNREAD:
        raise BadInput(f"run `{run_id}` is {record.status}, and reads no signals any more")
    return await store.send_signal(run_id, name, payload, sender=by)


def check_signal_name(name: str) -> None:
    """Raise ``BadInput`` for a name that no user's signal can have."""
    if not name or not name.isprintable() or len(name) > 200:
        raise BadInput(f"{name!r:.60} is no name of a signal", hint="1 to 200 printable characters")
    if name.startswith(CONTROL_PREFIX):
        raise BadInput(
            f"a signal cannot be named `{name}`: names that begin with `{CONTROL_PREFIX}` are the runtime's own",
            hint="to pause or cancel a run: loom-runner pause, loom-runner cancel",
        )


async def pause_run(store: Store, run_id: str, by: Person, note: str | None = None) -> Outcome:
    """Have a run paused: at once, or by its owner after the step under way.

    Raises ``BadInput``, and changes nothing, for a run that has ended.
    """
    return await _ask(store, run_id, by, "paused", PAUSE, pause_payload(note))


async def cancel_run(
    store: Store, run_id: str, by: Person, note: str | None = None, within_s: float = DEFAULT_GRACE_S
) -> Outcome:
    """Have a run cancelled: at once, or by its owner, whose step gets ``within_s`` seconds to clean up.

    Raises ``BadInput``, and changes nothing, for a run that is completed or failed.
    """
    return await _ask(store, run_id, by, "cancelled", CANCEL, cancel_payload(note, within_s))


async def _ask(
    store: Store, run_id: str, by: Person, wanted: Literal["paused", "cancelled"], name: str, payload: str
) -> Outcome:
    record = await store.get_run(run_id)
    if record.status == wanted:
        return Outcome(record=record, already=True)
    if record.status in ENDED:
        raise BadInput(f"run `{run_id}` is {record.status}; it cannot be {wanted} any more")
    await store.send_signal(run_id, name, payload, sender=by)
    return await _fulfil(store, run_id, by, wanted)


async def fulfil_pending(store: Store, left: RunWriter) -> bool:
    """Fulfil what was asked of a run while its owner was about to leave it; return False if that was nothing.

    Whoever asked was told that the owner would do it, and nobody else does while the run waits.
    """
    pending = await left.pending_controls()
    if not pending:
        return False
    cancels = [signal for signal in pending if signal.name == CANCEL]
    by = (cancels or pending)[0].sender or Person(name="somebody")
    await _fulfil(store, left.run_id, by, "cancelled" if cancels else "paused")
    return True


async def _fulfil(store: Store, run_id: str, by: Person, wanted: Literal["paused", "cancelled"]) -> Outcome:
    admission = _Control(wanted)
    try:
        claimed = await store.claim(run_id, this_owner(), _LEASE_S, admission)
    except RunBusy as busy:
        return Outcome(record=await store.get_run(run_id), owner=busy.owner)
    except NothingToDo as stop:
        # It ended, or somebody else was faster; what its row says is what there is to say.
        return Outcome(record=stop.record)
    await to_its_end(claimed.writer.settle(_settlement(claimed, admission.admitted, wanted, by)))
    return Outcome(record=await store.get_run(run_id))


def _settlement(
    claimed: ClaimedRun, found: RunRecord | None, wanted: Literal["paused", "cancelled"], by: Person
) -> Settlement:
    if found is None:
        raise LoomError(f"run `{claimed.record.run_id}` was claimed without being admitted")
    return Settlement(
        step_index=claimed.record.step_index,
        status=wanted,
        reason=f"{'person' if wanted == 'paused' else 'cancelled'}:{by.name}",
        wake_at=found.wake_at if wanted == "paused" else None,
        wake_boot=found.wake_boot if wanted == "paused" else None,
        takes=tuple(signal.signal_id for signal in claimed.controls),
    )


class _Control:
    """Admits a wish to every run that nobody is working on."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._orphans = Admission()
        self.admitted: RunRecord | None = None

    def __call__(self, record: RunRecord, signal: SignalRecord | None) -> None:
        if record.status in ENDED or record.status == self._wanted:
            raise NothingToDo(record)
        if record.status == "running":
            self._orphans(record, signal)
        self.admitted = record
