"""A worker goes on with what has to be gone on with, leaves the rest alone, and gives back what it has."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from loom_core import AgentRunner, Complete, Continue, Person, RetryPolicy, Sleep, Wait
from loom_core.contracts.stores import AgentRecord, CallEnd, NewRun, Owner, Settlement
from loom_core.errors import BadInput
from loom_core.runtime.controlling import cancel_run
from loom_core.runtime.owners import this_owner
from loom_core.runtime.quarantine import MAX_DEATHS
from loom_core.runtime.worker import Worker, WorkEvent
from loom_core.testing import MemoryStore, VirtualClock
from loom_core.testing.store_values import admit, encode, intent
from tests.core.runtime.support import play

HOUR = 3600.0
DEAD = attrs.evolve(this_owner(), pid=2**22 + 1, nonce="dead", started="1")
"""An owner of this boot and namespace whose pid cannot exist."""


class Shop:
    """A store, a clock, and workers that stop when what a test waits for has happened."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(wall=self.clock.wall, boot=self.clock.boot)
        self.events: list[WorkEvent] = []

    def runner(self, step: Any, name: str = "agent", **options: Any) -> AgentRunner:
        options.setdefault("retry_policy", RetryPolicy(max_attempts=1))
        return AgentRunner(step=step, name=name, store=self.store.reopen(), world=self.clock.world(), **options)

    def worker(self, *runners: AgentRunner, until: Callable[[], bool], **options: Any) -> Worker:
        def report(event: WorkEvent) -> None:
            self.events.append(event)
            if until():
                made.request_stop()

        made = Worker(runners, self.store, world=self.clock.world(), report=report, **options)
        return made

    def left(self) -> list[str]:
        return [e.run_id for e in self.events if e.kind == "left"]

    async def status(self, run_id: str) -> str:
        return (await self.store.get_run(run_id)).status


async def count(state: int, ctx: Any) -> Any:
    return Complete(state) if state == 3 else Continue(state + 1)


def test_queued_due_and_orphaned_runs_are_gone_on_with_and_others_are_left_alone() -> None:
    async def step(state: Any, ctx: Any) -> Any:
        if state == "nap":
            return Sleep("end", seconds=HOUR)
        return Wait("end", signal="go") if state == "wait" else Complete(ctx.signal and ctx.signal.payload)

    async def main() -> None:
        shop = Shop()
        r = shop.runner(step)
        await r.submit(run_id="queued", initial_state="end")
        await r.start(run_id="sleeping", initial_state="nap")
        await r.start(run_id="signalled", initial_state="wait")
        await shop.store.send_signal("signalled", "go", '"went"')
        await r.start(run_id="not signalled", initial_state="wait")
        await shop.store.create_run(
            NewRun(run_id="orphaned", agent=r.agent.record(None), state=encode("end")), DEAD, 30
        )
        await shop.store.create_run(
            NewRun(run_id="owned", agent=r.agent.record(None), state=encode("end")), this_owner(), 1e9
        )
        paused = await shop.store.create_run(
            NewRun(run_id="paused", agent=r.agent.record(None), state=encode("end")), DEAD, 30
        )
        await paused.writer.settle(Settlement(step_index=0, status="paused", reason="slice:steps"))
        await shop.runner(step, "other").submit(run_id="another agent's", initial_state="end")

        began = shop.clock.wall()
        await shop.worker(r, until=lambda: len(shop.left()) == 4, poll_s=4.0).run()
        assert set(shop.left()[:3]) == {"queued", "signalled", "orphaned"}
        assert shop.left()[3] == "sleeping"
        assert HOUR <= shop.clock.wall() - began < HOUR + 5
        statuses = {r.run_id: r.status for r in await shop.store.list_runs()}
        assert statuses == {
            **dict.fromkeys(("queued", "sleeping", "signalled", "orphaned"), "completed"),
            "not signalled": "waiting",
            "owned": "running",
            "paused": "paused",
            "another agent's": "queued",
        }

    play(main)


def test_a_timer_of_its_own_is_met_to_the_moment_and_not_at_the_next_look() -> None:
    times: list[float] = []

    async def main() -> None:
        shop = Shop()

        async def tick(state: int, ctx: Any) -> Any:
            times.append(shop.clock.wall())
            return Complete(state) if state == 5 else Sleep(state + 1, seconds=7.0)

        r = shop.runner(tick)
        await r.submit(run_id="a", initial_state=0)
        await shop.worker(
            r, until=lambda: any(e.record and e.record.status == "completed" for e in shop.events), poll_s=1000.0
        ).run()
        assert [round(b - a, 1) for a, b in itertools.pairwise(times)] == [7.0] * 5

    play(main)


def test_no_more_runs_are_under_way_than_it_has_places() -> None:
    under_way: set[str] = set()
    most: list[int] = []

    async def main() -> None:
        shop = Shop()

        async def step(state: int, ctx: Any) -> Any:
            under_way.add(ctx.run_id)
            most.append(len(under_way))
            await shop.clock.sleep(10)
            under_way.discard(ctx.run_id)
            return Complete(state)

        r = shop.runner(step)
        for number in range(7):
            await r.submit(run_id=str(number), initial_state=0)
        await shop.worker(r, until=lambda: len(shop.left()) == 7, concurrency=3).run()
        assert max(most) == 3
        assert [await shop.status(str(n)) for n in range(7)] == ["completed"] * 7

    play(main)


def test_a_stop_leaves_runs_queued_after_the_step_under_way_for_the_next_worker() -> None:
    async def main() -> None:
        shop = Shop()
        reached = asyncio.Event()

        async def step(state: int, ctx: Any) -> Any:
            if state == 1:
                reached.set()
            await shop.clock.sleep(10)
            return Complete(state) if state == 3 else Continue(state + 1)

        r = shop.runner(step)
        await r.submit(run_id="a", initial_state=0)
        worker = shop.worker(r, until=lambda: False)
        going = asyncio.ensure_future(worker.run())
        await reached.wait()
        worker.request_stop()
        await going
        record = await shop.store.get_run("a")
        assert (record.status, record.reason, record.step_index, record.lease) == ("queued", "drained", 2, None)
        await shop.worker(shop.runner(step), until=lambda: len(shop.left()) == 2).run()
        assert await shop.status("a") == "completed"
        assert [c.found for c in await shop.store.get_claims("a")] == ["new", "queued", "queued"]

    play(main)


def test_a_worker_that_is_cancelled_gives_its_runs_back_in_the_middle_of_their_steps() -> None:
    async def main() -> None:
        shop = Shop()
        reached = asyncio.Event()

        async def step(state: int, ctx: Any) -> Any:
            reached.set()
            await asyncio.Event().wait()

        r = shop.runner(step)
        await r.submit(run_id="a", initial_state=0)
        going = asyncio.ensure_future(shop.worker(r, until=lambda: False).run())
        await reached.wait()
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        record = await shop.store.get_run("a")
        assert (record.status, record.reason, record.step_index) == ("queued", "drained", 0)

    play(main)


def test_two_workers_share_the_work_and_no_step_is_executed_twice() -> None:
    executed: list[tuple[str, int]] = []

    async def step(state: int, ctx: Any) -> Any:
        executed.append((ctx.run_id, state))
        await asyncio.sleep(0)
        return Complete(state) if state == 4 else Sleep(state + 1, seconds=0.5)

    async def main() -> None:
        shop = Shop()
        runs = [f"run {n}" for n in range(20)]
        for run_id in runs:
            await shop.runner(step).submit(run_id=run_id, initial_state=0)
        done = lambda: sum(e.record is not None and e.record.status == "completed" for e in shop.events) == 20  # noqa: E731
        workers = [shop.worker(shop.runner(step), until=done) for _ in range(2)]
        tasks = [asyncio.ensure_future(w.run()) for w in workers]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            worker.request_stop()
        await asyncio.gather(*tasks)
        assert sorted(executed) == sorted((run_id, n) for run_id in runs for n in range(5))

    play(main)


def test_a_run_whose_step_fails_is_failed_and_the_worker_goes_on() -> None:
    async def step(state: int, ctx: Any) -> Any:
        if state == 0:
            raise ValueError("no")
        return Complete(state)

    async def main() -> None:
        shop = Shop()
        r = shop.runner(step)
        await r.submit(run_id="bad", initial_state=0)
        await r.submit(run_id="good", initial_state=1)
        worker = shop.worker(r, until=lambda: len(shop.left()) == 2)
        await worker.run()
        assert (await shop.status("bad"), await shop.status("good")) == ("failed", "completed")
        assert dict(worker.taken) == {"failed": 1, "completed": 1}
        assert {e.run_id: str(e.error) for e in shop.events if e.error} == {"bad": "no"}

    play(main)


def test_a_run_that_cannot_be_begun_is_told_let_rest_and_changed_by_nothing() -> None:
    async def step(state: Any, ctx: Any) -> Any:
        return Complete(state)

    async def main() -> None:
        shop = Shop()
        await shop.runner(step).submit(run_id="a", initial_state="no number")
        before = await shop.store.get_run("a")
        typed = shop.runner(step, state_type=int)
        await shop.worker(typed, until=lambda: len(shop.events) == 6).run()
        assert [e.kind for e in shop.events] == ["took", "trouble"] * 3
        assert await shop.store.get_run("a") == before
        # 10 s, then 20 s: not a run that is tried again with every look.
        assert 30 <= shop.clock.slept_s < 40

    play(main)


# -- quarantine ---------------------------------------------------------------------------------------------------


async def orphan(shop: Shop, run_id: str, deaths: int, *, call_in: int | None = None) -> None:
    """Leave a run that so many owners have claimed at step 1, and died; one of them had the result of a call before."""
    agent = AgentRecord(name="agent")
    claimed = await shop.store.create_run(NewRun(run_id=run_id, agent=agent, state=encode(0)), DEAD, 30)
    await claimed.writer.commit(0, encode(1))
    for number in range(deaths):
        claimed = await shop.store.claim(run_id, DEAD, 30, admit)
        if number == call_in:
            await claimed.writer.begin_call(intent(1, f"k{number}"))
            await claimed.writer.end_call(
                CallEnd(step_index=1, key=f"k{number}", try_index=0, status="done", result="1")
            )


def test_promise_a_run_claimed_too_often_without_progress_is_failed_as_quarantined() -> None:
    """The stored statuses of docs/promises.md."""

    async def main() -> None:
        shop = Shop()
        executed: list[int] = []

        async def step(state: int, ctx: Any) -> Any:
            executed.append(state)
            return Complete(state)

        await orphan(shop, "poison", MAX_DEATHS)
        worker = shop.worker(shop.runner(step), until=lambda: len(shop.left()) == 1)
        await worker.run()
        record = await shop.store.get_run("poison")
        assert record.error is not None
        assert (record.status, record.error.category, record.step_index) == ("failed", "quarantined", 1)
        assert f"{MAX_DEATHS} owners in a row" in record.error.message
        assert (executed, dict(worker.taken)) == ([], {"quarantined": 1})
        explanation = await shop.runner(step).explain_run("poison")
        assert any("--retry-failed" in line for line in explanation.lines())
        assert (await shop.runner(step).resume(run_id="poison", retry_failed=True)).status == "completed"

    play(main)


def test_a_run_that_has_got_further_in_between_is_no_poison() -> None:
    async def main() -> None:
        shop = Shop()
        await orphan(shop, "once less", MAX_DEATHS - 1)
        await orphan(shop, "a call", MAX_DEATHS + 2, call_in=MAX_DEATHS)
        await shop.worker(shop.runner(count), until=lambda: len(shop.left()) == 2).run()
        assert (await shop.status("once less"), await shop.status("a call")) == ("completed", "completed")

    play(main)


def test_claims_that_were_given_back_in_good_order_are_no_deaths() -> None:
    async def main() -> None:
        shop = Shop()
        await orphan(shop, "a", 1)
        for _ in range(2 * MAX_DEATHS):
            claimed = await shop.store.claim("a", DEAD, 30, admit)
            await claimed.writer.settle(Settlement(step_index=1, status="queued", reason="drained"))
        await shop.worker(shop.runner(count), until=lambda: len(shop.left()) == 1).run()
        assert await shop.status("a") == "completed"

    play(main)


# -- what surrounds it --------------------------------------------------------------------------------------------


def test_two_agents_of_one_name_no_agent_and_no_place_are_refused() -> None:
    async def main() -> None:
        shop = Shop()
        for runners, options in (
            ((), {}),
            ((shop.runner(count), shop.runner(count)), {}),
            ((shop.runner(count),), {"concurrency": 0}),
        ):
            with pytest.raises(BadInput):
                Worker(runners, shop.store, **options)

    play(main)


def test_a_look_that_fails_is_no_end_of_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        shop = Shop()
        r = shop.runner(count)
        await r.submit(run_id="a", initial_state=0)
        troubles = iter([OSError("the disk sleeps"), OSError("still")])

        async def beside() -> None:
            for trouble in troubles:
                raise trouble

        await shop.worker(r, until=lambda: len(shop.left()) == 1, beside=beside).run()
        assert await shop.status("a") == "completed"

    play(main)
    assert "the disk sleeps" in caplog.text


def test_an_owner_on_another_machine_is_waited_for_until_its_lease_is_over() -> None:
    async def main() -> None:
        shop = Shop()
        far = Owner(host="far", pid=os.getpid(), nonce="x")
        await shop.store.create_run(NewRun(run_id="a", agent=AgentRecord(name="agent"), state=encode(0)), far, 30)
        began = shop.clock.wall()
        await shop.worker(shop.runner(count), until=lambda: len(shop.left()) == 1).run()
        assert 30 <= shop.clock.wall() - began < 35

    play(main)


def test_a_timer_whose_run_somebody_else_took_is_looked_for_once() -> None:
    async def step(state: str, ctx: Any) -> Any:
        return Sleep("end", seconds=60)

    async def main() -> None:
        shop = Shop()
        looks = itertools.count(1)

        async def beside() -> None:
            look = next(looks)
            if look == 5:
                await cancel_run(shop.store, "a", Person(name="ann"))
            if look == 1000 or shop.clock.wall() > started_s + 600:
                worker.request_stop()

        r = shop.runner(step)
        await r.submit(run_id="a", initial_state="nap")
        worker = shop.worker(r, until=lambda: False, beside=beside)
        started_s = shop.clock.wall()
        await worker.run()
        assert shop.clock.wall() > started_s + 600

    play(main)
