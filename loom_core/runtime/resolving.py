"""A person's decision on a call whose end nobody knows."""

from __future__ import annotations

import attrs

from loom_core.contracts.stores import CallEnd, CallRecord, ErrorRecord, RunRecord, Settlement, Store
from loom_core.errors import BadInput
from loom_core.runtime.admission import Admission, NothingToDo
from loom_core.runtime.owners import this_owner
from loom_core.runtime.shielding import to_its_end

# Long enough for the three writes of a decision.
LEASE_S = 30.0
_ALL = 1_000_000


async def resolve_call(
    store: Store,
    run_id: str,
    call_id: str,
    *,
    result: str | None = None,
    retry: bool = False,
    fail: str | None = None,
    by: str,
) -> CallRecord:
    """Decide a call for a person: it ended with ``result`` (JSON text), may be made again, or failed.

    That is a call in doubt; in a failed run also a ``once`` call that failed, and what a person decided before. Claims
    the run first, so that nobody works on it meanwhile; leaves it queued if it waited for this decision or had failed,
    else as it was. Needs no agent. Raises ``BadInput`` (nothing changed) if the run has no such call, and ``RunBusy``.
    """
    await _decidable_call(store, run_id, call_id)
    admission = Admission(decide=True)
    try:
        claimed = await store.claim(run_id, this_owner(), LEASE_S, admission)
    except NothingToDo as stop:
        raise BadInput(f"run `{run_id}` is {stop.record.status}; its calls cannot be decided any more") from stop
    found = admission.admitted
    assert found is not None
    status, reason = found.status, found.reason
    try:
        # Again, now that nobody else decides: two people may have been asked.
        call = await _decidable_call(store, run_id, call_id, found=found)
        end = CallEnd(
            step_index=call.step_index,
            key=call.key,
            try_index=call.try_index,
            status="done" if result is not None else "failed",
            result=result,
            error=None if result is not None else _decision_error(by, retry=retry, fail=fail),
            not_started=retry,
            decided_by=by,
        )
        await claimed.writer.end_call(end)
        if status in ("failed", "running") or reason == f"doubt:{call_id}":
            status, reason = "queued", "resolved"
    finally:
        if status == "running":
            status, reason = "queued", None
        settlement = Settlement(
            step_index=claimed.record.step_index,
            status=status,
            reason=reason,
            wake_at=found.wake_at,
            wake_boot=found.wake_boot,
            error=found.error if status == "failed" else None,
        )
        await to_its_end(claimed.writer.settle(settlement))
    return attrs.evolve(call, status=end.status, result=result, error=end.error, decided_by=by)


async def _decidable_call(store: Store, run_id: str, call_id: str, *, found: RunRecord | None = None) -> CallRecord:
    """Return the call if a person may decide it; ``found`` is the run as it was claimed, None before the claim."""
    record = found or await store.get_run(run_id)
    # By their status, which is indexed: there may be many in doubt, and the one meant is any of them.
    calls = [*await store.get_calls(run_id, status="unknown", newest=True, limit=_ALL)]
    if record.status == "running" and found is None:
        # Of an owner that may be gone; the claim decides whether it is.
        calls += await store.get_calls(run_id, status="started", newest=True, limit=_ALL)
    if record.status == "failed":
        calls += [
            c for c in await store.get_calls(run_id, status="failed", newest=True, limit=_ALL) if c.effect == "once"
        ]
        calls += [c for c in await store.get_calls(run_id, newest=True) if c.status == "done" and c.decided_by]
    for call in calls:
        if call.call_id == call_id:
            return call
    names = ", ".join(dict.fromkeys(c.call_id for c in calls[:20]))
    raise BadInput(
        f"run `{run_id}` has no call `{call_id}` in doubt",
        hint=f"calls that can be decided: {names}" if names else "loom-runner explain says what happened",
    )


def _decision_error(by: str, *, retry: bool, fail: str | None) -> ErrorRecord:
    if retry:
        return ErrorRecord(
            type="NotDone", message=f"{by} decided: it did not happen, make it again", category="transient"
        )
    return ErrorRecord(type="DecidedFailed", message=fail or f"{by} decided: it failed", category="business")
