"""How many attempts of a step count against its policy."""

from __future__ import annotations

from loom_core.contracts.stores import RunRecord, Store

_PAGE = 100


async def attempts_spent(store: Store, record: RunRecord) -> int:
    """Return how many attempts of the step that comes next do not count any more.

    Those from before a person had the failed run tried again: whoever asks for that gives the step all the attempts of
    its policy. It is read from the claims, so that it is known to every later owner, too, whatever became of the one
    that was asked.
    """
    if not record.attempt_index:
        return 0
    epoch = await _retried_at(store, record)
    if epoch is None:
        return 0
    failed = record.counters.failed_attempts
    attempts = await store.get_attempts(
        record.run_id, offset=max(0, failed - record.attempt_index), limit=record.attempt_index
    )
    return sum(1 for a in attempts if a.step_index == record.step_index and a.epoch < epoch)


async def _retried_at(store: Store, record: RunRecord) -> int | None:
    """Return the newest claim that found the run failed at the step that comes next."""
    end = record.epoch
    while end > 0:
        start = max(0, end - _PAGE)
        for claim in reversed(await store.get_claims(record.run_id, offset=start, limit=end - start)):
            if claim.step_index != record.step_index:
                return None
            if claim.found == "failed":
                return claim.epoch
        end = start
    return None
