"""Workers that are killed, at chosen writes and at any instant: promises 1, 2, 4 and 5, and the count of attempts."""

from __future__ import annotations

import asyncio
import collections
import random
from pathlib import Path

import pytest

from loom_core import open_store
from loom_core.contracts.schedules import ScheduleRecord
from loom_core.contracts.stores import AttemptRecord, ClaimRecord, Finding, RunRecord
from loom_core.errors import LoomError
from loom_core.runtime.quarantine import CATEGORY, MAX_DEATHS
from tests.torture import working
from tests.torture.crashing import CrashingVFS, Writes, at_once, in_child

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1500)]

Looked = dict[str, tuple[RunRecord, list[ClaimRecord], list[AttemptRecord]]]


def look(db: Path, runs: list[str]) -> tuple[Looked, list[Finding]]:
    async def main() -> tuple[Looked, list[Finding]]:
        store = open_store(str(db), "read")
        try:
            found: Looked = {}
            for run_id in runs:
                claims = [*await store.get_claims(run_id, limit=10_000)]
                found[run_id] = (await store.get_run(run_id), claims, [*await store.get_attempts(run_id)])
            return found, [*await store.verify()]
        finally:
            await store.aclose()

    return asyncio.run(main())


def judge(db: Path, place: Path, runs: list[str]) -> int:
    """Demand what is promised of runs that workers were killed over; return how many were left in doubt."""
    found, findings = look(db, runs)
    assert findings == []
    paid = working.effects(place)
    # None at all is right, too: killed between an intent and its effect, the call is in doubt.
    assert max(paid.values(), default=0) <= 1, "a once call happened twice"
    executed = collections.Counter((run, step, attempt) for run, step, attempt, _ in working.lines(place, "steps"))
    doubts = 0
    for run_id, (record, claims, attempts) in found.items():
        if record.error is not None and record.error.category == CATEGORY:
            # Killed so often that it looks like its own fault: then that is what is said, and it is so.
            at_step = [c for c in claims if c.found == "running" and c.step_index == record.step_index]
            assert len(at_step) >= MAX_DEATHS - 1, record
            continue
        in_doubt = (record.reason or "").startswith("doubt:")
        doubts += in_doubt
        assert in_doubt or (record.status, record.result, paid[run_id]) == ("completed", "7", 1), record
        if not in_doubt:
            assert [a.attempt_index for a in attempts] == [0, 1], "the count of attempts is not exact"
        for (run, step, attempt), times in executed.items():
            # Executed again only by an owner who found the one before dead.
            deaths = sum(1 for c in claims if c.found == "running" and c.step_index == step)
            assert run != run_id or times <= 1 + deaths, (run, step, attempt, times, deaths)
    return doubts


def test_two_workers_at_once_execute_no_step_twice(tmp_path: Path, whole_torture: bool) -> None:
    for round_ in range(20 if whole_torture else 2):
        place = tmp_path / str(round_)
        place.mkdir()
        db, runs = place / "r", [f"r{n}" for n in range(24)]
        in_child(lambda p=place, d=db, r=runs: working.submit(d, p, r), tmp_path / "report")
        endings = at_once([lambda p=place, d=db, r=runs: working.work(d, p, r)] * 2, tmp_path)
        assert [set(e.value or [str(e)]) for e in endings] == [{"completed"}] * 2
        steps = working.lines(place, "steps")
        assert max(collections.Counter((run, step, attempt) for run, step, attempt, _ in steps).values()) == 1
        assert len({pid for *_, pid in steps}) == 2, "the two did not share the work"
        assert judge(db, place, runs) == 0


def test_workers_killed_at_any_instant_leave_every_run_to_the_next(tmp_path: Path, whole_torture: bool) -> None:
    chance = random.Random(20261123)
    db, runs = tmp_path / "r", [f"r{n}" for n in range(600 if whole_torture else 30)]
    in_child(lambda: working.submit(db, tmp_path, runs), tmp_path / "report")
    deaths = 0
    for _ in range(1500 if whole_torture else 40):
        ending = in_child(
            lambda: working.work(db, tmp_path, runs), tmp_path / "report", kill_after_s=chance.uniform(0.005, 0.06)
        )
        deaths += ending.signal is not None
        if ending.signal is None:
            break
    assert deaths
    assert in_child(lambda: working.work(db, tmp_path, runs), tmp_path / "report").raised is None
    judge(db, tmp_path, runs)


def test_a_worker_killed_at_every_write_of_a_run_loses_no_timer_and_no_attempt(
    tmp_path: Path, whole_torture: bool
) -> None:
    """Submission, claims, sleeps, failed attempts, retries, the end: each write once, before and after it."""
    total = _writes_of_one_run(tmp_path / "counted")
    points = [(at, after) for at in range(1, total + 1) for after in (False, True)]
    chance = random.Random(5)
    for at, after in points if whole_torture else chance.sample(points, 30):
        place = tmp_path / f"{at}-{after}"
        place.mkdir()
        db = place / "r"

        def die(at: int = at, after: bool = after, place: Path = place, db: Path = db) -> None:
            vfs = CrashingVFS(Writes(die_at=at, after=after))
            working.submit(db, place, ["a"])
            working.work(db, place, ["a"])
            vfs.unregister()

        in_child(die, tmp_path / "report")
        found = _runs_in(db)
        if not found:
            continue
        ending = in_child(lambda p=place, d=db: working.work(d, p, ["a"]), tmp_path / "report")
        assert ending.raised is None, (at, after, ending)
        judge(db, place, ["a"])


def test_a_time_of_a_schedule_is_started_once_whatever_write_its_worker_is_killed_at(
    tmp_path: Path, whole_torture: bool
) -> None:
    """Three times are over: each decision, creation, submission and note is a point to die at, before and after it."""
    total = 60
    points = [(at, after) for at in range(1, total + 1) for after in (False, True)]
    deaths = 0
    for at, after in points if whole_torture else random.Random(6).sample(points, 24):
        place = tmp_path / f"{at}-{after}"
        place.mkdir()
        db = place / "r"
        in_child(lambda d=db: _plan(d), tmp_path / "report")

        def die(at: int = at, after: bool = after, place: Path = place, db: Path = db) -> None:
            vfs = CrashingVFS(Writes(die_at=at, after=after))
            working.fire(db, place, BEGIN + 3.5)
            vfs.unregister()

        deaths += in_child(die, tmp_path / "report").signal is not None
        ending = in_child(lambda p=place, d=db: working.fire(d, p, BEGIN + 3.5), tmp_path / "report")
        assert ending.raised is None, (at, after, ending)
        schedule, runs = _planned(db)
        assert sorted(runs) == [f"s@2026-03-01T00:00:0{n}Z" for n in (1, 2, 3)], (at, after)
        assert (schedule.started, schedule.skipped, schedule.backlog) == (3, 0, ()), (at, after)
    assert deaths > 4


BEGIN = 1_772_323_200.0


def _plan(db: Path) -> None:
    async def main() -> None:
        store = open_store(str(db), "create")
        record = ScheduleRecord(
            name="s",
            agent_name="works",
            agent_reference=None,
            rule="every 1",
            overlap="allow",
            catch_up="all",
            created_at=BEGIN,
            decided_until=BEGIN,
        )
        assert await store.save_schedule(record)
        await store.aclose()

    asyncio.run(main())


def _planned(db: Path) -> tuple[ScheduleRecord, list[str]]:
    async def main() -> tuple[ScheduleRecord, list[str]]:
        store = open_store(str(db), "write")
        try:
            (schedule,) = await store.list_schedules()
            assert list(await store.verify()) == []
            return schedule, [r.run_id for r in await store.list_runs()]
        finally:
            await store.aclose()

    return asyncio.run(main())


def _writes_of_one_run(place: Path) -> int:
    place.mkdir()

    def count() -> int:
        writes = Writes()
        vfs = CrashingVFS(writes)
        working.submit(place / "r", place, ["a"])
        working.work(place / "r", place, ["a"])
        vfs.unregister()
        return writes.seen

    ending = in_child(count, place / "report")
    assert ending.raised is None, ending
    return int(ending.value)


def _runs_in(db: Path) -> list[str]:
    async def main() -> list[str]:
        store = open_store(str(db), "write")
        try:
            return [r.run_id for r in await store.list_runs()]
        finally:
            await store.aclose()

    try:
        return asyncio.run(main())
    except LoomError:
        return []
