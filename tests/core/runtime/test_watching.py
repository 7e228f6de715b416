"""Following a run: everything that happens is told once, and nothing is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from loom_core.contracts.retention import CheckpointPolicy, PayloadPolicy
from loom_core.contracts.stores import Settlement
from loom_core.errors import RunNotFound
from loom_core.runtime.watching import News, follow
from loom_core.testing import FakeClocks, MemoryStore
from loom_core.testing.store_values import LEASE_S, OWNER, done, encode, intent, new_run
from tests.core.runtime.support import play


async def _followed(store: Any, acts: list[Callable[[], Awaitable[Any]]], since: int = 0) -> list[News]:
    waiting = iter(acts)
    over = False

    async def pause() -> None:
        nonlocal over
        act = next(waiting, None)
        if act is None:
            over = True
        else:
            await act()

    found: list[News] = []
    watching = follow(store, "run", since=since, pause=pause)
    while not over:
        try:
            found.append(await anext(watching))
        except StopAsyncIteration:
            break
        if found[-1].record.status == "completed":
            break
    await watching.aclose()
    return found


def test_steps_calls_and_the_standing_are_told_once_as_they_come() -> None:
    async def main() -> None:
        clocks = FakeClocks()
        store = MemoryStore(wall=clocks.wall, boot=clocks.boot)
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer

        async def two_steps() -> None:
            await writer.commit(0, encode(1))
            await writer.begin_call(intent(1))

        async def nothing() -> None:
            assert writer.beat()

        async def more() -> None:
            await writer.end_call(done(1))
            await writer.commit(1, encode(2))
            await writer.commit(2, encode(3))
            await writer.commit(3, encode(4))

        async def end() -> None:
            await writer.settle(Settlement(step_index=4, status="completed", outcome="complete", result="1"))

        news = await _followed(store, [two_steps, nothing, more, end])
        assert [[s.step_index for s in n.steps] for n in news] == [[], [0], [1, 2, 3], [4]]
        assert [[(c.call_id, c.status) for c in n.calls] for n in news] == [
            [],
            [("1/0", "started")],
            [("1/0", "done")],
            [],
        ]
        assert [n.record.status for n in news] == ["running", "running", "running", "completed"]
        assert {n.skipped for n in news} == {0}

    play(main)


def test_steps_that_the_history_no_longer_has_are_counted() -> None:
    async def main() -> None:
        store = MemoryStore()
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
        writer.keep_to(CheckpointPolicy(mode="interval", every=5), PayloadPolicy())

        async def ten() -> None:
            for number in range(10):
                await writer.commit(number, encode(number))
            await writer.settle(Settlement(step_index=10, status="completed", outcome="complete", result="1"))

        news = await _followed(store, [ten])
        assert ([s.step_index for s in news[1].steps], news[1].skipped) == ([4, 9, 10], 8)

    play(main)


def test_an_unknown_run_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(RunNotFound):
            await _followed(MemoryStore(), [])

    play(main)
