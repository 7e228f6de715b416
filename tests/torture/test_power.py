"""Power loss after every write and every sync: nothing that was promised is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import collections
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from loom_core import open_store
from loom_core.errors import LoomError
from tests.torture import power_agent
from tests.torture.crashing import in_child
from tests.torture.power import SURVIVALS, Event, Recording, cuts, lay_out

pytestmark = [pytest.mark.torture, pytest.mark.timeout(3000)]

# Steps of a slice, after which the database is closed and so folded; bytes of ballast in each state (the larger makes
# the log be folded into the file in the middle of a run, and states long enough to be torn); with --torture, every
# how many events to cut.
WORKLOADS = [(5, 0, 1), (100, 0, 1), (7, 3_000, 1), (100, 90_000, 8)]


def record(place: Path, slice_steps: int, ballast: int) -> Recording:
    recorded = place / "recorded"
    ending = in_child(
        lambda: power_agent.record(place / "live.sqlite", recorded, slice_steps=slice_steps, ballast=ballast),
        place / "report",
    )
    assert ending.raised is None, ending.raised
    return Recording.load(recorded)


@pytest.mark.parametrize(("slice_steps", "ballast", "finest"), WORKLOADS)
def test_after_power_loss_every_promise_holds_and_no_once_effect_happens_twice(
    slice_steps: int, ballast: int, finest: int, tmp_path: Path, whole_torture: bool
) -> None:
    recording = record(tmp_path, slice_steps, ballast)
    total = len(recording.events)
    assert total > 300, "too few writes to cut between"
    every = finest if whole_torture else max(1, total // 8)
    random = Random(f"{slice_steps}/{ballast}")
    counts: collections.Counter[str] = collections.Counter()
    for number, disk, promises in cuts(recording):
        if number % every:
            continue
        for survival in SURVIVALS:
            database = tmp_path / "after.sqlite"
            lay_out(disk.after_power_loss(survival, random), database)
            try:
                judge(database, promises, counts)
            except BaseException:
                print(f"cut after event {number} of {total}, what was not synced: {survival}")
                raise
            counts["cuts"] += 1
    assert counts["cuts"] >= 4 * (total // every)
    assert counts["runs brought to their end"] > counts["cuts"]
    if whole_torture and finest == 1:
        assert counts["doubts decided"], "no cut fell between an effect and its record, so that nothing was in doubt"
    print(f"{slice_steps} steps a session, {ballast} B of ballast: {total} events; {dict(counts)}")


def test_a_disk_that_never_syncs_would_be_noticed(tmp_path: Path) -> None:
    recording = record(tmp_path, 100, 0)
    deaf = Recording([event for event in recording.events if event.kind != "sync" or event.file != "-wal"])
    lost = 0
    for number, disk, promises in cuts(deaf):
        if promises and number % 40 == 0:
            database = tmp_path / "after.sqlite"
            lay_out(disk.after_power_loss("nothing", Random(1)), database)
            try:
                judge(database, promises, collections.Counter())
            except (AssertionError, LoomError):
                lost += 1
    assert lost > 5, "promises that no sync had carried to the disk were found there"


def judge(database: Path, promises: list[Any], counts: collections.Counter[str]) -> None:
    """Hold what is stored against what was promised, then bring the runs to their ends and count the effects."""
    asyncio.run(_judge_promises(database, promises, counts))
    for run_id in power_agent.RUNS:
        before = [p for p in promises if p[0] == "effect" and p[1] == run_id]
        after = Recording([Event("promise", promise=p) for p in before])
        ended = power_agent.finish(database, run_id, after)
        assert ended["result"] == power_agent.expected_result()
        counts["runs brought to their end"] += 1
        counts["doubts decided"] += ended["doubts"]
        paid = collections.Counter(e.promise[4] for e in after.events if e.promise[:3] == ("effect", run_id, "pay"))
        assert set(paid.values()) == {1}, paid
        assert sum(paid) == power_agent.expected_result()["paid"]
    assert not asyncio.run(_findings(database))


async def _judge_promises(database: Path, promises: list[Any], counts: collections.Counter[str]) -> None:
    if not promises:
        counts["nothing promised yet"] += 1
        return
    store = open_store(str(database), "read")
    try:
        findings = await store.verify()
        assert not findings, findings
        for run_id in power_agent.RUNS:
            mine = [p for p in promises if p[1] == run_id]
            if mine:
                await _judge_run(store, run_id, mine)
                counts["promises held"] += len(mine)
    finally:
        await store.aclose()


async def _judge_run(store: Any, run_id: str, promises: list[Any]) -> None:
    record = await store.get_run(run_id)
    calls = {call.call_id: call for call in await store.get_calls(run_id, limit=1000)}
    signals = {signal.signal_id: signal for signal in await store.get_signals(run_id, limit=1000)}
    last = None
    for promise in promises:
        match promise:
            case ("effect", _, _, call_id, _):
                assert call_id in calls, "an effect without an intent"
            case ("result", _, call_id, value):
                assert calls[call_id].status == "done"
                assert json.loads(calls[call_id].result) == value
            case ("signal", _, signal_id, payload):
                assert signals[signal_id].payload == payload
            case ("committed", _, step_index):
                assert record.step_index > step_index, "a strict step was lost"
            case ("left", _, status, step_index):
                assert record.step_index >= step_index
                last = (status, step_index)
            case _:
                raise AssertionError(promise)
    if last is not None and last[0] == "completed":
        assert record.status == "completed"


async def _findings(database: Path) -> Any:
    store = open_store(str(database), "read")
    try:
        return await store.verify()
    finally:
        await store.aclose()
