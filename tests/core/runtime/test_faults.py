"""Clocks that are set, tools that block, stores that are locked: leases hold and the event loop stays free."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest
from loom_store_sqlite.clocks import Clocks
from loom_store_sqlite.store import SQLiteStore

from loom_core import AgentRunner, Complete, Continue, RunBusy, ToolFailed, tool
from loom_core.runtime.admission import Admission
from loom_core.runtime.owners import this_owner
from loom_core.runtime.services import World
from loom_core.testing import FakeClocks
from loom_core.testing.store_values import new_run
from tests.core.runtime.support import play, runner

LEASE_S = 30.0
DAY_S = 86_400.0


def clocked(place: Path, clocks: FakeClocks) -> SQLiteStore:
    return SQLiteStore.open(str(place / "runs.sqlite"), "create", clocks=Clocks(wall=clocks.wall, boot=clocks.boot))


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S, LEASE_S * 2])
def test_a_wall_clock_that_is_set_takes_no_run_from_its_living_owner(tmp_path: Path, jump_s: float) -> None:
    async def main() -> None:
        clocks = FakeClocks()
        store = clocked(tmp_path, clocks)
        writer = (await store.create_run(new_run("r"), this_owner(), LEASE_S)).writer
        clocks.wall_s += jump_s
        with pytest.raises(RunBusy):
            await store.claim("r", this_owner(), LEASE_S, Admission(wall=clocks.wall, boot=clocks.boot))
        assert writer.lease_age_s() == 0, "the age of a lease is not measured by the wall clock"
        assert await asyncio.to_thread(writer.beat) is True
        await store.aclose()

    play(main)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
def test_a_wall_clock_that_is_set_keeps_no_silent_owner_alive(tmp_path: Path, jump_s: float) -> None:
    async def main() -> None:
        clocks = FakeClocks()
        store = clocked(tmp_path, clocks)
        await store.create_run(new_run("r"), this_owner(), LEASE_S)
        clocks.advance(LEASE_S + 1)
        clocks.wall_s += jump_s
        claimed = await store.claim("r", this_owner(), LEASE_S, Admission(wall=clocks.wall, boot=clocks.boot))
        assert claimed.record.epoch == 2
        await store.aclose()

    play(main)


def test_an_owner_of_an_earlier_boot_is_judged_by_the_wall_clock(tmp_path: Path) -> None:
    async def main() -> None:
        clocks = FakeClocks()
        store = clocked(tmp_path, clocks)
        earlier = attrs.evolve(this_owner(), boot_id="an earlier boot")
        await store.create_run(new_run("r"), earlier, LEASE_S)
        clocks.boot_s = 1.0
        with pytest.raises(RunBusy):
            await store.claim("r", this_owner(), LEASE_S, Admission(wall=clocks.wall, boot=clocks.boot))
        clocks.wall_s += LEASE_S + 1
        claimed = await store.claim("r", this_owner(), LEASE_S, Admission(wall=clocks.wall, boot=clocks.boot))
        assert claimed.record.epoch == 2
        await store.aclose()

    play(main)


def test_a_run_goes_on_while_the_wall_clock_jumps_at_every_step(tmp_path: Path) -> None:
    async def main() -> None:
        clocks = FakeClocks()
        store = clocked(tmp_path, clocks)
        jumps = [DAY_S, -DAY_S, 2 * DAY_S, -3 * DAY_S]

        @tool
        async def pay(n: int) -> int:
            clocks.wall_s += jumps[n % len(jumps)]
            return n

        async def step(state: dict[str, int], ctx: Any) -> Any:
            n = await ctx.call_tool("pay", state["n"])
            return Complete(n) if n == 8 else Continue({"n": n + 1})

        world = World(wall=clocks.wall)
        async with AgentRunner(step=step, store=store, tools=(pay,), world=world) as one:
            assert (await one.start(run_id="r", initial_state={"n": 0})).result == 8
            assert (await one.verify_run("r")).ok
        await store.aclose()

    play(main)


async def _longest_gap_s(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    gaps: list[float] = [0.0]

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    ticking = asyncio.ensure_future(tick())
    try:
        return await work, max(gaps)
    finally:
        ticking.cancel()


def test_the_event_loop_runs_on_while_a_blocking_tool_is_given_up_and_while_the_database_is_locked(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        holder: list[apsw.Connection] = []

        @tool(effect="read", timeout_s=0.1)
        def block() -> None:
            time.sleep(1.0)

        async def step(state: dict[str, int], ctx: Any) -> Any:
            if state["n"] == 0:
                with pytest.raises(ToolFailed, match="did not end within"):
                    await ctx.call_tool("block")
            if state["n"] == 1:
                holder.append(apsw.Connection(str(tmp_path / "runs.sqlite")))
                holder[0].execute("BEGIN IMMEDIATE")
                asyncio.get_running_loop().call_later(0.5, holder[0].close)
            return Complete(1) if state["n"] == 3 else Continue({"n": state["n"] + 1})

        async with runner(tmp_path, step, block) as one:
            result, gap_s = await _longest_gap_s(one.start(run_id="r", initial_state={"n": 0}))
        assert result.status == "completed"
        assert gap_s < 0.5

    play(main)


@pytest.mark.parametrize("during", ["a step", "a call"])
def test_a_cancelled_run_does_not_wait_for_a_lock_to_say_its_last_word(
    tmp_path: Path, during: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loom_core.runtime.shielding.LAST_WORD_LIMIT_S", 0.05)

    async def main() -> None:
        reached = asyncio.Event()

        @tool
        async def pay() -> int:
            reached.set()
            await asyncio.Event().wait()
            return 1

        async def step(_state: int, ctx: Any) -> Any:
            if during == "a call":
                return Complete(await ctx.call_tool("pay"))
            reached.set()
            await asyncio.Event().wait()
            return Complete(1)

        async with runner(tmp_path, step, pay) as one:
            driving = asyncio.ensure_future(one.start(run_id="r", initial_state=0))
            await reached.wait()
            lock = apsw.Connection(str(tmp_path / "runs.sqlite"))
            lock.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            driving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await driving
            assert time.monotonic() - began < 5
            lock.close()
            # What could not be written is left for whoever claims the run next.
            record = await one.get_run("r")
            assert (record.status, record.step_index) == ("running", 0)
            calls = await one.get_tool_calls("r")
            assert [c.status for c in calls] == (["started"] if during == "a call" else [])

    play(main)
