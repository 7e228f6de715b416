"""Runs that kill whoever works on them: told by their claims, and taken out of circulation."""

from __future__ import annotations

from loom_core.contracts.stores import ErrorRecord, Owner, RunRecord, Settlement, Store
from loom_core.runtime.admission import Admission
from loom_core.runtime.shielding import to_its_end

MAX_DEATHS = 5
CATEGORY = "quarantined"
_CALLS = 100


async def deaths_without_progress(store: Store, record: RunRecord) -> int:
    """Return how many owners in a row have begun with the step that comes next and died before they got any further.

    Further is a committed step, or a call of the step that has a result. ``record`` is a run whose owner is gone.
    """
    claims = await store.get_claims(record.run_id, offset=max(0, record.epoch - MAX_DEATHS), limit=MAX_DEATHS)
    calls = await store.get_calls(record.run_id, limit=_CALLS, newest=True)
    fruitful = {c.epoch for c in calls if c.step_index == record.step_index and c.status == "done"}
    deaths = 0
    for claim in reversed(claims):
        if claim.step_index != record.step_index or claim.epoch in fruitful:
            return deaths
        deaths += 1
        if claim.found != "running":
            # It was given back in good order before: what is before this claim has nothing to do with it.
            return deaths
    return deaths


async def quarantine(store: Store, record: RunRecord, owner: Owner, lease_s: float, admit: Admission) -> None:
    """Fail a run so that no worker takes it again. Raises what a claim raises; a person can have it tried again."""
    claimed = await store.claim(record.run_id, owner, lease_s, admit)
    message = (
        f"{MAX_DEATHS} owners in a row died or fell silent at step {record.step_index}, and none got any further: "
        "perhaps this step kills the process that executes it"
    )
    error = ErrorRecord(type="Quarantined", message=message, category=CATEGORY)
    await to_its_end(claimed.writer.settle(Settlement(step_index=record.step_index, status="failed", error=error)))
