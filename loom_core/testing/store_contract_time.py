"""Laws of timers, and of finding runs that somebody may go on with."""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from loom_core.contracts.stores import AgentRecord, RunRecord, Settlement, SignalRecord, Store
from loom_core.contracts.timers import BootTime, Moment
from loom_core.testing.store_laws import StoreLaws
from loom_core.testing.store_values import (
    AGENT,
    LEASE_S,
    OWNER,
    RIVAL,
    admit,
    encode,
    failed_attempt,
    new_run,
    schedule_record,
)

BOOT = BootTime(boot_id="boot", at_s=1_100.0)
ALL = ("counter", "other")


class TimerLaws(StoreLaws):
    """A timer is kept on both clocks, cleared by the claim that it causes, and a time-out is for good."""

    def test_a_timer_is_kept_on_both_clocks_until_the_claim_that_it_causes(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await self._park(store, "run", wake_at=50.0, wake_boot=BOOT)
            record = await store.get_run("run")
            assert (record.status, record.wake_at, record.wake_boot) == ("waiting", 50.0, BOOT)
            claimed = await store.claim("run", RIVAL, LEASE_S, lambda _r, _s: "timer")
            assert (claimed.record.wake_at, claimed.record.wake_boot, claimed.record.timed_out) == (None, None, False)
            assert claimed.record == await store.get_run("run")

        self.try_law(tmp_path, law)

    def test_a_claim_that_no_timer_causes_leaves_it_until_the_step_is_committed(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await self._park(store, "run", wake_at=50.0, wake_boot=BOOT)
            claimed = await store.claim("run", RIVAL, LEASE_S, admit)
            assert (claimed.record.wake_at, claimed.record.wake_boot) == (50.0, BOOT)
            await claimed.writer.commit(1, encode(2))
            record = await store.get_run("run")
            assert (record.wake_at, record.wake_boot) == (None, None)

        self.try_law(tmp_path, law)

    def test_a_time_out_outlives_crashes_and_later_signals_until_the_step_is_committed(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await self._park(store, "run", wake_at=50.0, wake_boot=BOOT, wake_signal="go")
            first = await store.claim("run", RIVAL, LEASE_S, lambda _r, _s: "timeout")
            assert (first.record.timed_out, first.record.wake_signal, first.signal) == (True, "go", None)
            await store.send_signal("run", "go", '"late"')
            seen: list[SignalRecord | None] = []

            def look(record: RunRecord, signal: SignalRecord | None) -> None:
                assert record.timed_out
                seen.append(signal)

            second = await store.claim("run", OWNER, LEASE_S, look)
            assert (seen, second.signal, second.record.timed_out) == ([None], None, True)
            await second.writer.settle(
                Settlement(step_index=1, status="waiting", reason="retry", wake_at=70.0, attempt=failed_attempt(1))
            )
            assert (await store.get_run("run")).timed_out
            third = await store.claim("run", OWNER, LEASE_S, lambda _r, _s: "timer")
            assert (third.record.timed_out, third.record.wake_at, third.record.attempt_index) == (True, None, 1)
            await third.writer.commit(1, encode(3), 1)
            record = await store.get_run("run")
            assert (record.timed_out, record.wake_signal) == (False, None)
            assert [s.consumed_by for s in await store.get_signals("run")] == [None]

        self.try_law(tmp_path, law)

    def test_the_next_wait_knows_nothing_of_a_time_out(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await self._park(store, "run", wake_at=50.0, wake_signal="go")
            claimed = await store.claim("run", RIVAL, LEASE_S, lambda _r, _s: "timeout")
            wait = Settlement(
                step_index=1, status="waiting", outcome="wait", state=encode(5), wake_signal="go", reason="signal:go"
            )
            await claimed.writer.settle(wait)
            record = await store.get_run("run")
            assert (record.timed_out, record.wake_at, record.wake_signal) == (False, None, "go")

        self.try_law(tmp_path, law)

    async def _park(self, store: Store, run_id: str, **wait: object) -> None:
        writer = (await store.create_run(new_run(run_id), OWNER, LEASE_S)).writer
        kind = "wait" if "wake_signal" in wait else "sleep"
        parked = Settlement(step_index=0, status="waiting", outcome=kind, state=encode(1), **wait)  # type: ignore[arg-type]
        await writer.settle(parked)


class ClaimableLaws(TimerLaws):
    """Who looks for work finds what can be gone on with, and is not shown anything else."""

    def test_runs_under_way_come_before_queued_ones_each_in_the_order_of_creation(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await self._settled(store, "queued 1", "queued")
            await self._park(store, "due", wake_at=self.clocks.wall_s)
            await self._settled(store, "queued 2", "queued")
            await store.create_run(new_run("running"), OWNER, LEASE_S)
            assert await self._found(store) == ["due", "running", "queued 1", "queued 2"]
            assert await self._found(store, limit=3) == ["due", "running", "queued 1"]

        self.try_law(tmp_path, law)

    def test_what_has_ended_is_paused_or_waits_for_what_has_not_come_is_not_shown(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            for status in ("paused", "completed", "failed", "cancelled"):
                await self._settled(store, status, status)
            await self._park(store, "later", wake_at=self.clocks.wall_s + 1)
            await self._park(store, "waits", wake_signal="go")
            await store.send_signal("waits", "stop", "1")
            await store.send_signal("paused", "go", "1")
            assert await self._found(store) == []
            await store.send_signal("waits", "go", "1")
            assert await self._found(store) == ["waits"]

        self.try_law(tmp_path, law)

    def test_a_timer_is_found_by_whichever_clock_is_ahead_and_ready_is_asked_of_each(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            now = self.clocks.wall_s
            await self._park(store, "boot is due", wake_at=now + 3600, wake_boot=BootTime(boot_id="boot", at_s=999.0))
            await self._park(store, "wall is due", wake_at=now - 1, wake_boot=BootTime(boot_id="boot", at_s=1_001.0))
            await self._park(store, "another boot", wake_at=now + 3600, wake_boot=BootTime(boot_id="x", at_s=1.0))
            assert await self._found(store) == ["boot is due", "wall is due"]
            moment = Moment(wall_s=now, boot=BootTime(boot_id="boot", at_s=1_000.0))

            def ready(record: RunRecord, _signal: SignalRecord | None) -> bool:
                return moment.until(record.wake_at or 0.0, record.wake_boot) <= 0

            assert [r.run_id for r in await store.find_claimable(ALL, moment, ready)] == ["boot is due"]

        self.try_law(tmp_path, law)

    def test_only_runs_of_the_agents_that_were_named_are_shown(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            other = attrs.evolve(AGENT, name="other")
            await self._settled(store, "a", "queued")
            await self._settled(store, "b", "queued", other)
            assert await self._found(store, agents=("other",)) == ["b"]
            assert await self._found(store, agents=("it's", '"')) == []
            assert await self._found(store, agents=()) == []

        self.try_law(tmp_path, law)

    def test_ready_is_shown_the_signal_that_the_step_would_be_woken_by(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await self._park(store, "run", wake_signal="go")
            sent = await store.send_signal("run", "go", '"first"')
            await store.send_signal("run", "go", '"second"')
            seen: list[SignalRecord | None] = []

            def ready(_record: RunRecord, signal: SignalRecord | None) -> bool:
                seen.append(signal)
                return False

            assert list(await store.find_claimable(ALL, self._now(), ready)) == []
            assert seen == [sent]

        self.try_law(tmp_path, law)

    def test_more_queued_runs_than_any_page_has_are_gone_through(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            for number in range(150):
                await self._settled(store, f"{number:03}", "queued")

            def ready(record: RunRecord, _signal: SignalRecord | None) -> bool:
                return record.run_id >= "140"

            found = await store.find_claimable(ALL, self._now(), ready, limit=4)
            assert [r.run_id for r in found] == ["140", "141", "142", "143"]

        self.try_law(tmp_path, law)

    def _now(self) -> Moment:
        boot_s = self.clocks.boot_s
        boot = None if boot_s is None else BootTime(boot_id="boot", at_s=boot_s)
        return Moment(wall_s=self.clocks.wall_s, boot=boot)

    async def _found(self, store: Store, agents: Sequence[str] = ALL, limit: int = 16) -> list[str]:
        found = await store.find_claimable(agents, self._now(), lambda _r, _s: True, limit=limit)
        return [record.run_id for record in found]

    async def _settled(self, store: Store, run_id: str, status: str, agent: AgentRecord = AGENT) -> None:
        writer = (await store.create_run(new_run(run_id, agent=agent), OWNER, LEASE_S)).writer
        outcome = "complete" if status == "completed" else None
        result = "1" if outcome else None
        await writer.settle(Settlement(step_index=0, status=status, outcome=outcome, result=result))  # type: ignore[arg-type]


class ScheduleLaws(ClaimableLaws):
    """A schedule is replaced only by who has seen its newest version, so that two workers decide it once."""

    def test_a_schedule_comes_back_whole_and_sorted_by_name(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            assert list(await store.list_schedules()) == []
            later, first = schedule_record("z", backlog=(1.5, 2.25)), schedule_record("a", last_run_id="a@1")
            assert [await store.save_schedule(each) for each in (later, first)] == [True, True]
            assert list(await store.list_schedules()) == [first, later]

        self.try_law(tmp_path, law)

    def test_of_two_who_have_read_the_same_version_one_saves(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await store.save_schedule(schedule_record())
            mine = schedule_record(version=2, last_run_id="mine")
            assert await store.save_schedule(mine)
            assert not await store.save_schedule(schedule_record(version=2, last_run_id="theirs"))
            assert not await store.save_schedule(schedule_record())
            assert not await store.save_schedule(schedule_record(version=4))
            assert list(await store.list_schedules()) == [mine]

        self.try_law(tmp_path, law)

    def test_a_schedule_that_was_removed_is_not_brought_back_by_who_was_deciding_it(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await store.save_schedule(schedule_record())
            assert await store.remove_schedule("daily")
            assert not await store.remove_schedule("daily")
            assert not await store.save_schedule(schedule_record(version=2))
            assert list(await store.list_schedules()) == []
            another = attrs.evolve(schedule_record(), created_at=1_750_000_009.75)
            assert await store.save_schedule(another)
            assert not await store.save_schedule(schedule_record(version=2))
            assert list(await store.list_schedules()) == [another]

        self.try_law(tmp_path, law)
