"""Schedules: which times a rule plans, which of them count, and that each is started once, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loom_runner.scheduling.deciding import MAX_BACKLOG, ON_TIME_S, decide, run_id_of
from loom_runner.scheduling.firing import Startable, Ticker
from loom_runner.scheduling.rules import Cron, Every, checked_cron, checked_every, rule_of, zone_of

from loom_core import AgentRunner, Complete, RunNotFound, Sleep
from loom_core.contracts.schedules import ScheduleRecord
from loom_core.errors import BadInput
from loom_core.runtime.worker import Worker
from loom_core.testing import MemoryStore, VirtualClock
from tests.apps.runner.support import Shell

BEGIN = dt.datetime(2026, 3, 1, tzinfo=dt.UTC).timestamp()
HOUR = 3600.0


def schedule(**changes: Any) -> ScheduleRecord:
    fields: dict[str, Any] = {"rule": "every 3600", "agent_name": "agent", "agent_reference": None}
    return ScheduleRecord(name="s", created_at=BEGIN, decided_until=BEGIN, **(fields | changes))


def hours(times: tuple[float, ...]) -> list[float]:
    return [(at - BEGIN) / HOUR for at in times]


# -- rules --------------------------------------------------------------------------------------------------------


def berlin(*moment: int) -> float:
    return dt.datetime(*moment, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()


def test_a_job_at_an_hour_that_is_left_out_in_spring_runs_right_after_it_and_one_in_autumn_once() -> None:
    rule = Cron("30 2 * * *", zone_of("Europe/Berlin"))
    spring = rule.after(berlin(2026, 3, 28, 12))
    assert spring == berlin(2026, 3, 29, 3, 0)
    assert rule.after(spring) == berlin(2026, 3, 30, 2, 30)
    autumn = rule.after(berlin(2026, 10, 24, 12))
    assert autumn is not None
    assert rule.after(autumn) == berlin(2026, 10, 26, 2, 30)


@given(
    text=st.sampled_from(["* * * * *", "*/7 * * * *", "0 3 * * 1-5", "30 2 * * *", "0 0 29 2 *", "15 */6 1 * *"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    offset_s=st.integers(0, 400 * 86_400),
)
def test_what_a_cron_rule_plans_forwards_it_finds_backwards(text: str, zone: str, offset_s: int) -> None:
    rule = Cron(text, zone_of(zone))
    at = BEGIN + offset_s
    forwards: list[float] = []
    while len(forwards) < 4:
        following = rule.after(forwards[-1] if forwards else at)
        assert following is not None
        forwards.append(following)
    assert forwards == sorted(set(forwards))
    assert [*islice(rule.until(forwards[-1]), 4)][::-1] == forwards
    assert all(t <= at for t in islice(rule.until(at), 1))


@given(seconds=st.integers(1, 100_000), offset=st.integers(0, 10_000_000))
def test_what_an_interval_plans_forwards_it_finds_backwards(seconds: int, offset: int) -> None:
    rule = Every(float(seconds), BEGIN)
    at = BEGIN + offset
    following = rule.after(at)
    assert at < following <= at + seconds
    assert next(rule.until(following)) == following
    assert next(rule.until(following - 1e-3), None) in (following - seconds, None)


@pytest.mark.parametrize(
    "text", ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 31 2 *", "@daily", "a b c d e", "0 25 * * *"]
)
def test_what_is_no_cron_expression_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        checked_cron(text, "UTC")


@pytest.mark.parametrize("text", ["", "0", "-5", "1.5h", "h", "1w", "400d", "15 m m", "٣"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        checked_every(text) if text != "٣" else checked_every("٣x")


@pytest.mark.parametrize("name", ["Mars/Base", "", "../etc/passwd", "/etc/passwd", "\0"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        zone_of(name)


# -- policies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("catch_up", "chosen"), [("all", [1.0, 2.0, 3.0]), ("one", [3.0]), ("none", [])])
def test_times_that_nobody_met_are_caught_up_with_by_the_policy(catch_up: Any, chosen: list[float]) -> None:
    planned = schedule(catch_up=catch_up)
    decided = decide(planned, rule_of(planned.rule, "UTC", BEGIN), BEGIN + 3.5 * HOUR)
    assert (hours(decided.backlog), decided.skipped) == (chosen, 3 - len(chosen))
    assert (hours((decided.decided_until,)), decided.version) == ([3.0], 2)
    assert decide(decided, rule_of(planned.rule, "UTC", BEGIN), BEGIN + 3.9 * HOUR) is decided


@pytest.mark.parametrize("catch_up", ["all", "one", "none"])
def test_a_time_that_is_met_a_little_late_counts_under_every_policy(catch_up: Any) -> None:
    planned = schedule(catch_up=catch_up)
    decided = decide(planned, rule_of(planned.rule, "UTC", BEGIN), BEGIN + HOUR + ON_TIME_S)
    assert (hours(decided.backlog), decided.skipped) == ([1.0], 0)


def test_a_year_of_missed_seconds_is_decided_at_once_and_never_all_started() -> None:
    planned = schedule(catch_up="all", rule="every 1")
    decided = decide(planned, rule_of(planned.rule, "UTC", BEGIN), BEGIN + 365 * 86_400)
    assert (len(decided.backlog), decided.decided_until) == (MAX_BACKLOG, BEGIN + 365 * 86_400)


# -- firing -------------------------------------------------------------------------------------------------------


class Office:
    """A store, a clock and workers that fire schedules."""

    def __init__(self) -> None:
        self.clock = VirtualClock(wall_s=BEGIN)
        self.store = MemoryStore(wall=self.clock.wall, boot=self.clock.boot)

    def ticker(self, step: Any, store: Any = None) -> tuple[AgentRunner, Ticker]:
        runner = AgentRunner(step=step, name="agent", store=self.store.reopen(), world=self.clock.world())
        return runner, Ticker(store or self.store, {"agent": Startable(runner, lambda: 0)}, wall=self.clock.wall)

    async def work(self, step: Any, until_s: float, *, workers: int = 1) -> None:
        """Let workers work until so many seconds have passed."""
        made: list[Worker] = []
        for _ in range(workers):
            runner, ticker = self.ticker(step)
            made.append(Worker([runner], self.store, world=self.clock.world(), beside=ticker.fire, poll_s=30.0))
        tasks = [asyncio.ensure_future(worker.run()) for worker in made]
        await self.clock.sleep(until_s)
        for worker in made:
            worker.request_stop()
        await asyncio.gather(*tasks)

    async def runs(self) -> list[str]:
        return sorted(r.run_id for r in await self.store.list_runs(limit=1000))

    async def schedule(self) -> ScheduleRecord:
        (found,) = await self.store.list_schedules()
        return found


async def at_once(state: int, ctx: Any) -> Any:
    return Complete(ctx.run_id)


async def long(state: int, ctx: Any) -> Any:
    return Complete(state) if state else Sleep(1, seconds=2.5 * HOUR)


def ids(*planned: float) -> list[str]:
    return [run_id_of("s", BEGIN + hour * HOUR) for hour in planned]


def play(main: Callable[[], Any]) -> None:
    asyncio.run(main())


def test_every_planned_time_is_a_run_whose_id_is_its_time_and_workers_drive_it() -> None:
    async def main() -> None:
        office = Office()
        await office.store.save_schedule(schedule())
        await office.work(at_once, 3.5 * HOUR)
        assert await office.runs() == ids(1, 2, 3) == ["s@2026-03-01T01:00:00Z", *ids(2, 3)]
        assert {r.status for r in await office.store.list_runs()} == {"completed"}
        found = await office.schedule()
        assert (found.started, found.skipped, found.backlog, found.last_run_id) == (3, 0, (), ids(3)[0])

    play(main)


def test_three_workers_start_each_time_once() -> None:
    async def main() -> None:
        office = Office()
        await office.store.save_schedule(schedule())
        await office.work(at_once, 5.5 * HOUR, workers=3)
        assert await office.runs() == ids(1, 2, 3, 4, 5)
        assert (await office.schedule()).started == 5

    play(main)


@pytest.mark.parametrize(
    ("overlap", "started", "skipped"),
    [("skip", (1, 4, 7), 5), ("queue", (1, 2, 3), 0), ("allow", (1, 2, 3, 4, 5, 6, 7, 8), 0)],
)
def test_a_time_that_comes_while_the_last_run_is_under_way_is_dealt_with_by_the_policy(
    overlap: Any, started: tuple[int, ...], skipped: int
) -> None:
    async def main() -> None:
        office = Office()
        await office.store.save_schedule(schedule(overlap=overlap))
        await office.work(long, 8.4 * HOUR)
        assert await office.runs() == ids(*started)
        found = await office.schedule()
        assert (found.skipped, found.started) == (skipped, len(started))
        assert len(found.backlog) == 8 - len(started) - skipped

    play(main)


def test_nothing_is_written_while_nothing_is_due() -> None:
    async def main() -> None:
        office = Office()
        await office.store.save_schedule(schedule())
        await office.work(at_once, 0.9 * HOUR)
        assert await office.schedule() == schedule()

    play(main)


class Dying:
    """A store whose process dies before or after its n-th write of a schedule."""

    def __init__(self, store: MemoryStore, die_at: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, die_at, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def save_schedule(self, record: ScheduleRecord) -> bool:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise SystemExit
        saved = await self._store.save_schedule(record)
        if self._left == 0:
            raise SystemExit
        return saved


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("die_at", [1, 2, 3, 4])
def test_a_time_is_started_once_whatever_write_its_worker_dies_at(die_at: int, after: bool) -> None:
    async def main() -> None:
        office = Office()
        await office.store.save_schedule(schedule(overlap="allow", catch_up="all"))
        office.clock.advance(2.5 * HOUR)
        _, dying = office.ticker(at_once, Dying(office.store, die_at, after=after))
        with contextlib.suppress(SystemExit):
            await dying.fire()
        _, ticker = office.ticker(at_once)
        await ticker.fire()
        assert await office.runs() == ids(1, 2)
        found = await office.schedule()
        assert (found.started, found.skipped, found.backlog) == (2, 0, ())

    play(main)


def test_a_schedule_that_cannot_be_fired_is_told_once_and_keeps_no_other_from_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        office = Office()
        await office.store.save_schedule(schedule(input='"no number"'))
        await office.store.save_schedule(attrs.evolve(schedule(), name="t"))
        office.clock.advance(1.5 * HOUR)
        runner = AgentRunner(
            step=at_once, name="agent", store=office.store.reopen(), world=office.clock.world(), state_type=int
        )
        ticker = Ticker(office.store, {"agent": Startable(runner, lambda: 0)}, wall=office.clock.wall)
        await ticker.fire()
        await ticker.fire()
        assert await office.runs() == ["t@2026-03-01T01:00:00Z"]

    play(main)
    assert caplog.text.count('schedule "s" cannot be fired') == 1


def test_schedules_of_other_agents_are_left_alone() -> None:
    async def main() -> None:
        office = Office()
        await office.store.save_schedule(schedule(agent_name="another"))
        await office.work(at_once, 2 * HOUR)
        assert await office.runs() == []
        with pytest.raises(RunNotFound):
            await office.store.get_run(ids(1)[0])

    play(main)


# -- commands -----------------------------------------------------------------------------------------------------


def test_a_schedule_is_added_listed_and_removed(shell: Shell) -> None:
    done = shell("schedule", "add", "agent.py", "--name", "nightly", "--cron", "0 3 * * *", "--timezone",
                 "Europe/Berlin", "--input", '{"target": 3}', "--db", "r")  # fmt: skip
    assert done.status == 0
    assert "schedule `nightly` starts runs of `tester`, next 2" in done.err
    assert "next: loom-runner worker agent.py --db r" in done.err
    (listed,) = shell("schedule", "list", "--db", "r", "--json").data["schedules"]
    assert (listed["rule"], listed["zone"], listed["input"]) == ("cron 0 3 * * *", "Europe/Berlin", {"target": 3})
    assert (listed["overlap"], listed["catch_up"], listed["started"]) == ("skip", "one", 0)
    assert listed["next_at"] > listed["created_at"]
    assert "0 3 * * * (Europe/Berlin)" in shell("schedule", "list", "--db", "r").out
    again = shell("schedule", "add", "agent.py", "--name", "nightly", "--every", "1h", "--db", "r")
    assert (again.status, "there is a schedule `nightly` already" in again.err) == (2, True)
    removed = shell("schedule", "remove", "nightly", "--db", "r", "--json")
    assert (removed.status, removed.data["removed"]) == (0, "nightly")
    assert shell("schedule", "list", "--db", "r", "--json").data["schedules"] == []
    assert shell("schedule", "remove", "nightly", "--db", "r").status == 2


@pytest.mark.parametrize(
    "argv",
    [
        ("--name", "n"),
        ("--name", "n", "--cron", "0 3 * * *", "--every", "1h"),
        ("--name", "n", "--cron", "nightly"),
        ("--name", "n", "--every", "soon"),
        ("--name", "n", "--every", "1h", "--timezone", "Mars/Base"),
        ("--name", " n", "--every", "1h"),
        ("--name", "x" * 190, "--every", "1h"),
        ("--name", "n", "--every", "1h", "--input", "{"),
        ("--name", "n", "--every", "1h", "--input", '{"target": "many"}'),
        ("--name", "n", "--every", "1h", "--overlap", "sometimes"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_and_no_database_is_made(shell: Shell, argv: tuple[str, ...]) -> None:
    done = shell("schedule", "add", "agent.py", *argv, "--db", "r")
    assert done.status == 2
    assert done.err.startswith("error: ")
    assert not Path("r").exists()


def test_a_worker_of_the_command_line_fires_a_schedule(shell: Shell) -> None:
    from tests.apps.runner.test_time import stop, work

    shell.write("quick.py", QUICK)
    assert shell("schedule", "add", "quick.py", "--name", "often", "--every", "1s", "--db", "r").status == 0
    process = work(shell, "quick.py")
    try:
        while sum(r["status"] == "completed" for r in shell("list", "--db", "r", "--json").data["runs"]) < 2:
            assert process.poll() is None
    finally:
        assert stop(process) == 0
    runs = shell("list", "--db", "r", "--json").data["runs"]
    assert all(r["run_id"].startswith("often@20") for r in runs)
    assert json.loads(shell("get", "--run-id", runs[-1]["run_id"], "--db", "r", "--json").out)["result"] == "done"


QUICK = """
from loom_core import AgentRunner, Complete

async def step(state: str, ctx):
    return Complete(state)

def initial_state():
    return "done"

def build_runner(db):
    return AgentRunner(step=step, name="quick", store=db)
"""
