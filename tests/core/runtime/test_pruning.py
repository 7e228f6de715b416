"""What a rule chooses, and that pruning leaves alone what it must."""

from __future__ import annotations

from typing import Any

import pytest

from loom_core.contracts.stores import RunStatus, Settlement
from loom_core.errors import BadInput, RunNotFound
from loom_core.runtime.pruning import PruneRule, prune
from loom_core.testing import FakeClocks, MemoryStore
from loom_core.testing.store_values import ERROR, LEASE_S, OWNER, admit, encode, failed_attempt, new_run
from tests.core.runtime.support import play

STATUSES: tuple[RunStatus, ...] = ("completed", "failed", "cancelled", "paused", "waiting", "queued", "running")


async def _store(clocks: FakeClocks) -> MemoryStore:
    """Make a run of each status, an hour apart."""
    store = MemoryStore(wall=clocks.wall, boot=clocks.boot)
    for status in STATUSES:
        writer = (await store.create_run(new_run(status), OWNER, LEASE_S)).writer
        for number in range(5):
            await writer.commit(number, encode(number))
        if status == "completed":
            await writer.settle(Settlement(step_index=5, status=status, outcome="complete", result="1"))
        elif status == "failed":
            await writer.settle(Settlement(step_index=5, status=status, error=ERROR, attempt=failed_attempt(5)))
        elif status != "running":
            await writer.settle(Settlement(step_index=5, status=status))
        clocks.advance(3600)
    return store


def _pruned(rule: PruneRule, **options: Any) -> tuple[list[str], list[str]]:
    async def main() -> tuple[list[str], list[str]]:
        clocks = FakeClocks()
        store = await _store(clocks)
        gone = await prune(store, rule, wall=clocks.wall, **options)
        for record in await store.list_runs():
            claimed = await store.claim(record.run_id, OWNER, LEASE_S, admit)
            assert claimed.state == "4"
        assert list(await store.verify()) == []
        return [each.run_id for each in gone], [r.run_id for r in await store.list_runs()]

    found: tuple[list[str], list[str]] = play(main)
    return found


ALL = list(reversed(STATUSES))


@pytest.mark.parametrize(
    ("rule", "gone", "left"),
    [
        (PruneRule(), ALL, ALL),
        (PruneRule(keep_steps=3), ALL, ALL),
        (PruneRule(keep_steps=6), [], ALL),
        (PruneRule(older_than_s=3 * 3600 + 1), ["paused", "cancelled", "failed", "completed"], ALL),
        (PruneRule(statuses=("failed", "running")), ["running", "failed"], ALL),
        (PruneRule(keep_runs=5), ["failed", "completed"], ALL),
        (PruneRule(run_ids=("waiting",)), ["waiting"], ALL),
        (PruneRule(whole=True), ["cancelled", "completed"], [*ALL[:4], "failed"]),
        (PruneRule(whole=True, keep_runs=6), ["completed"], ALL[:-1]),
        (PruneRule(whole=True, statuses=("failed", "running", "paused")), ["failed"], [*ALL[:5], "completed"]),
    ],
)
def test_a_rule_means_these_runs(rule: PruneRule, gone: list[str], left: list[str]) -> None:
    assert _pruned(rule) == (gone, left)
    assert _pruned(rule, dry_run=True) == (gone, ALL)


def test_what_must_not_go_is_refused_by_name() -> None:
    for run_id in ("running", "paused", "failed", "queued"):
        with pytest.raises(BadInput, match=f"run `{run_id}`"):
            _pruned(PruneRule(whole=True, run_ids=(run_id,)))
    with pytest.raises(RunNotFound):
        _pruned(PruneRule(run_ids=("completed", "never")))


def test_a_run_that_goes_on_after_it_was_chosen_is_left_alone() -> None:
    class Retried(MemoryStore):
        async def delete_run(self, run_id: str, admit_: Any) -> None:
            await self.claim(run_id, OWNER, LEASE_S, admit)
            await super().delete_run(run_id, admit_)

    async def main() -> None:
        clocks = FakeClocks()
        store = Retried(runs=(await _store(clocks))._all)
        assert list(await prune(store, PruneRule(whole=True, run_ids=("completed",)))) == []
        assert (await store.get_run("completed")).status == "running"

    play(main)
