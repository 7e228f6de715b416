"""Choosing what may go from a store, and letting it go, one run after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from shlex import quote

import attrs

from loom_core.contracts.stores import ENDED, RunRecord, RunStatus, Store
from loom_core.errors import BadInput, LoomError

_PAGE = 500
ALWAYS_DELETABLE: frozenset[str] = frozenset({"completed", "cancelled"})


@attrs.frozen(kw_only=True)
class PruneRule:
    """Which runs are meant, and whether they go whole or only their history does.

    Runs that ended or were last written more than ``older_than_s`` seconds ago, whose status is one of ``statuses``,
    the newest ``keep_runs`` of these left alone. ``whole`` takes ended runs away; a failed one, which could still be
    tried again, only if ``statuses`` names it.
    """

    older_than_s: float | None = None
    keep_runs: int = 0
    statuses: tuple[RunStatus, ...] = ()
    run_ids: tuple[str, ...] = ()
    keep_steps: int = 0
    whole: bool = False


@attrs.frozen(kw_only=True)
class Pruned:
    """What went, or would go, of one run: ``steps`` of its history, or all of it (``whole``)."""

    run_id: str
    status: str
    steps: int
    whole: bool


class _NotAnyMore(LoomError):
    """The run is not what it was when it was chosen. Never reaches a user."""

    code = "not_any_more"


async def prune(
    store: Store, rule: PruneRule, *, dry_run: bool = False, wall: Callable[[], float] = time.time
) -> Sequence[Pruned]:
    """Let go what a rule means, each run in a transaction of its own; return what went. May be repeated.

    Nothing that resuming needs goes: the group of the newest state, and all calls of a run that is left. A run that has
    changed since it was chosen is left alone. Raises ``RunNotFound`` and ``BadInput`` before anything is changed.
    """
    chosen = [r for r in await _chosen(store, rule, wall()) if not rule.whole or _may_go(r, rule)]
    found: list[Pruned] = []
    for record in chosen:
        if rule.whole:
            if not dry_run and not await _delete(store, record):
                continue
            steps = record.step_index
        else:
            steps = await store.prune_history(record.run_id, keep_steps=rule.keep_steps, dry_run=dry_run)
        if steps or rule.whole:
            found.append(Pruned(run_id=record.run_id, status=record.status, steps=steps, whole=rule.whole))
    return found


def _may_go(record: RunRecord, rule: PruneRule) -> bool:
    return record.status in ALWAYS_DELETABLE or (record.status in ENDED and record.status in rule.statuses)


async def _chosen(store: Store, rule: PruneRule, now: float) -> list[RunRecord]:
    if rule.run_ids:
        found = [await store.get_run(run_id) for run_id in rule.run_ids]
        kept = [r.run_id for r in found if rule.whole and not _may_go(r, rule)]
        if kept:
            raise BadInput(
                f"run `{kept[0]}` has not ended, or could be tried again, and is not deleted",
                hint=f"see it: loom-runner explain --run-id {quote(kept[0])}; a failed run goes with --status failed",
            )
    else:
        found = []
        while page := await store.list_runs(limit=_PAGE, offset=len(found)):
            found += page
    meant = [r for r in found if not rule.statuses or r.status in rule.statuses]
    if rule.older_than_s is not None:
        bound = now - rule.older_than_s
        meant = [r for r in meant if (r.ended_at or r.updated_at) < bound]
    return meant[rule.keep_runs :]


async def _delete(store: Store, chosen: RunRecord) -> bool:
    def admit(record: RunRecord) -> None:
        if (record.status, record.epoch) != (chosen.status, chosen.epoch):
            raise _NotAnyMore(f"run `{record.run_id}` goes on")

    try:
        await store.delete_run(chosen.run_id, admit)
    except (_NotAnyMore, KeyError):
        return False
    return True
