"""A request to stop after the step under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

Sleep = Callable[[float], Awaitable[None]]


class StopRequest:
    """Set once, from a signal handler or another task; read between steps and during waits.

    ``leaves`` and ``reason`` say how a run is left that was stopped: ``paused`` by a person's Ctrl-C, ``queued`` by a
    worker that ends, for the next one.
    """

    def __init__(self, leaves: Literal["paused", "queued"] = "paused") -> None:
        self.requested = False
        self.leaves: Literal["paused", "queued"] = leaves
        self.reason = "interrupt" if leaves == "paused" else "drained"
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def request(self) -> None:
        """Ask to stop; callable from a signal handler and from any thread."""
        self.requested = True
        for loop, event in tuple(self._waiting):
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def wait(self, seconds: float, sleep: Sleep = asyncio.sleep, *, or_set: asyncio.Event | None = None) -> None:
        """Return after ``seconds``, as soon as a stop is requested, or when the event is set."""
        waiting = (asyncio.get_running_loop(), asyncio.Event())
        self._waiting.add(waiting)
        try:
            # After it is known, so that a request that comes between the two is not missed.
            if self.requested or seconds <= 0:
                return
            others = () if or_set is None else (or_set.wait(),)
            await first_of(waiting[1].wait(), sleep(seconds), *others)
        finally:
            self._waiting.discard(waiting)


async def first_of(*awaitables: Awaitable[object]) -> None:
    """Return when the first of them is done; the others are cancelled, and have ended when this returns."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
