"""kill -9 at every write of a run that asks people: no answer lost, none used twice, no effect without one."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from loom_core import open_store
from loom_core.errors import StoreUnusable
from loom_core.runtime.resolving import resolve_call
from tests.torture import asking_agent
from tests.torture.crashing import CrashingVFS, Writes, in_child

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1500)]


def go_on_and_die(db: Path, ledger: Path, answers: Path, die_at: int, *, after: bool) -> int:
    writes = Writes(die_at=die_at, after=after)
    vfs = CrashingVFS(writes)
    reason = asking_agent.go_on(db, ledger, answers)
    assert vfs.registered and (die_at or reason == "completed"), reason
    return writes.seen


async def _judge_what_is_stored(db: Path, ledger: Path, answers: Path) -> None:
    """What is true at every instant: an effect has a used approval, and an answer that was told is there."""
    try:
        store = open_store(str(db), "read")
    except StoreUnusable:
        assert not ledger.exists() and not answers.exists()
        return
    try:
        approvals = {a.approval_id: a for a in await store.get_approvals(asking_agent.RUN_ID, limit=1000)}
        for line in asking_agent.lines(ledger):
            asked = approvals[line["key"].removeprefix("asking/")]
            assert (asked.decision, asked.used_at is not None) == ("approved", True), line
        for told in answers.read_text().split() if answers.exists() else ():
            assert approvals[told].decision == "approved"
        used = {a.approval_id for a in approvals.values() if a.used_at is not None}
        calls = {c.call_id for c in await store.get_calls(asking_agent.RUN_ID, limit=1000)}
        assert used == {c.partition("~")[0] for c in calls}
        assert list(await store.verify()) == []
    finally:
        await store.aclose()


def judge_instant(db: Path, ledger: Path, answers: Path) -> None:
    from loom_core.errors import RunNotFound

    try:
        asyncio.run(_judge_what_is_stored(db, ledger, answers))
    except RunNotFound:
        assert not ledger.exists()


def bring_to_end(db: Path, ledger: Path, answers: Path, report: Path) -> int:
    """Go on as people do until the run is completed; return how many calls they had to decide."""
    for doubts in range(20):
        ending = in_child(lambda: asking_agent.go_on(db, ledger, answers), report)
        assert ending.raised is None and ending.signal is None, ending
        if ending.value == "completed":
            return doubts
        assert ending.value.startswith("doubt:"), ending
        asyncio.run(_decide(db, ledger, ending.value.removeprefix("doubt:")))
    raise AssertionError("the run did not come to its end")


async def _decide(db: Path, ledger: Path, call_id: str) -> None:
    made = [line for line in asking_agent.lines(ledger) if line["key"] == f"asking/{call_id.partition('~')[0]}"]
    store = open_store(str(db), "write")
    try:
        if made:
            await resolve_call(store, asking_agent.RUN_ID, call_id, by="operator", result=str(made[0]["n"]))
        else:
            await resolve_call(store, asking_agent.RUN_ID, call_id, by="operator", retry=True)
    finally:
        await store.aclose()


def test_killed_at_any_write_a_run_that_asks_loses_no_answer_and_makes_no_call_without_one(
    tmp_path: Path, whole_torture: bool
) -> None:
    report = tmp_path / "report"
    place = (tmp_path / "count.sqlite", tmp_path / "count.ledger", tmp_path / "count.answers")
    counted = in_child(lambda: go_on_and_die(*place, 0, after=False), report)
    assert counted.raised is None, counted.raised
    total = int(counted.value)
    points = range(1, total + 1, 1 if whole_torture else max(1, total // 30))
    deaths = doubts = 0
    for point in points:
        for after in (False, True):
            name = f"{point}{after}"
            place = (tmp_path / f"{name}.sqlite", tmp_path / f"{name}.ledger", tmp_path / f"{name}.answers")
            ending = in_child(lambda p=point, a=after, w=place: go_on_and_die(*w, p, after=a), report)
            deaths += ending.signal == signal.SIGKILL
            judge_instant(*place)
            doubts += bring_to_end(*place, report)
            judge_instant(*place)
            paid = [line["n"] for line in asking_agent.lines(place[1])]
            assert paid == [0, 2, 4], "each effect happened once"
    assert deaths == 2 * len(points), "a kill point was not reached, so nothing was tested there"
    print(f"killed at {deaths} points of {total} writes; {doubts} calls were decided by a person")
