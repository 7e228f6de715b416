"""Pipelined durability: pure steps may come a little later, and nothing else of the run comes before them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from loom_store_sqlite.pipeline import SECONDS_S, STEPS
from loom_store_sqlite.store import SQLiteStore

from loom_core.contracts.stores import RunWriter, Settlement
from loom_core.errors import LeaseLost
from loom_core.testing.store_values import LEASE_S, OWNER, RIVAL, admit, encode, failed_attempt, intent, new_run
from tests.plugins.store_sqlite.support import opened

OTHERS: dict[str, Callable[[RunWriter, int], Awaitable[object]]] = {
    "begin": lambda w, n: w.begin_call(intent(n)),
    "fail": lambda w, n: w.fail_attempt(failed_attempt(n)),
    "settle": lambda w, n: w.settle(Settlement(step_index=n, status="paused", reason="interrupt")),
    "commit now": lambda w, n: w.commit(n, encode(n)),
    "synced commit": lambda w, n: w.commit(n, encode(n), 0, None, True),
}


async def pipelined(store: SQLiteStore, steps: int) -> RunWriter:
    writer = (await store.create_run(new_run(value=0), OWNER, LEASE_S)).writer
    for n in range(steps):
        await writer.commit(n, encode({"n": n}), 0, None, False, True)
    return writer


async def step_of(path: Path) -> int:
    reader = opened(path, "read")
    try:
        return (await reader.get_run("run")).step_index
    finally:
        await reader.aclose()


def test_steps_wait_in_memory_and_are_written_together_when_there_are_enough(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        await pipelined(store, 3)
        assert await step_of(tmp_path / "r") == 0
        await store.aclose()

    async def many() -> None:
        store = opened(tmp_path / "m")
        await pipelined(store, 10 * STEPS)
        assert await step_of(tmp_path / "m") >= 9 * STEPS
        await store.aclose()

    asyncio.run(main())
    asyncio.run(many())


def test_steps_are_written_soon_although_the_run_is_in_the_middle_of_a_long_one(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        await pipelined(store, 3)
        async with asyncio.timeout(100 * SECONDS_S + 5):
            while await step_of(tmp_path / "r") < 3:
                await asyncio.sleep(SECONDS_S)
        assert not await store.verify("run")
        await store.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_write_of_the_run_comes_after_the_steps_that_wait(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writer = await pipelined(store, 3)
        await OTHERS[name](writer, 3)
        assert await step_of(tmp_path / "r") >= 3
        assert [step.step_index for step in await store.get_steps("run")][:4] == [-1, 0, 1, 2]
        assert not await store.verify("run")
        await store.aclose()

    asyncio.run(main())


def test_calls_of_branches_wait_for_one_flush_between_them(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        await store.create_run(new_run("beside"), OWNER, LEASE_S)
        writer = await pipelined(store, 3)
        await asyncio.gather(*(writer.begin_call(intent(3, f"g0.{n}/0")) for n in range(5)))
        assert len(await store.get_calls("run")) == 5
        assert await step_of(tmp_path / "r") == 3
        assert not await store.verify("run")
        await store.aclose()

    asyncio.run(main())


def test_a_lost_lease_is_told_by_the_next_write_and_nothing_that_waited_is_applied(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writer = await pipelined(store, 3)
        await store.claim("run", RIVAL, LEASE_S, admit)
        await asyncio.sleep(4 * SECONDS_S)
        with pytest.raises(LeaseLost):
            await writer.commit(3, encode(3), 0, None, False, True)
        assert await step_of(tmp_path / "r") == 0
        await store.aclose()

    asyncio.run(main())


def test_states_that_are_written_together_are_read_back_one_by_one(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writer = (await store.create_run(new_run(value={"text": "", "n": 0}), OWNER, LEASE_S)).writer
        values = [{"text": "some text " * n, "n": n} for n in range(150)]
        for n, value in enumerate(values):
            await writer.commit(n, encode(value), 0, None, False, True)
        await writer.settle(Settlement(step_index=150, status="paused", reason="interrupt"))
        for n, value in enumerate(values):
            assert await store.get_state("run", n + 1) == encode(value).text
        assert not await store.verify("run")
        await store.aclose()

    asyncio.run(main())


def test_a_step_whose_commit_was_cancelled_is_not_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that only the number of steps has them written, however slow the machine is.
    monkeypatch.setattr("loom_store_sqlite.pipeline.SECONDS_S", 3600.0)
    monkeypatch.setattr("loom_store_sqlite.writer.SECONDS_S", 3600.0)

    async def main() -> None:
        store = opened(tmp_path / "r")
        # A second run, so that the write waits for its group, and can be cancelled there.
        await store.create_run(new_run("other", value=0), OWNER, LEASE_S)
        writer = await pipelined(store, STEPS - 1)
        commit = asyncio.ensure_future(writer.commit(STEPS - 1, encode("cancelled"), 0, None, False, True))
        await asyncio.sleep(0)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        await writer.commit(STEPS - 1, encode("again"), 0, None, False, True)
        await writer.settle(Settlement(step_index=STEPS, status="paused", reason="interrupt"))
        assert await step_of(tmp_path / "r") == STEPS
        assert await store.get_state("run", STEPS) == '"again"'
        assert not await store.verify("run")
        await store.aclose()

    asyncio.run(main())
