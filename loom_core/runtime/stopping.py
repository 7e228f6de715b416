"""A request to stop after the step under way."""

from __future__ import annotations

import asyncio


class StopRequest:
    """Set once, from a signal handler or another task; read between steps and during the wait before a retry."""

    def __init__(self) -> None:
        self.requested = False
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def request(self) -> None:
        """Ask to stop; callable from a signal handler and from any thread."""
        self.requested = True
        for loop, event in tuple(self._waiting):
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def wait(self, seconds: float) -> None:
        """Return after ``seconds``, or as soon as a stop is requested."""
        waiting = (asyncio.get_running_loop(), asyncio.Event())
        self._waiting.add(waiting)
        try:
            # After it is known, so that a request that comes between the two is not missed.
            if self.requested or seconds <= 0:
                return
            async with asyncio.timeout(seconds):
                await waiting[1].wait()
        except TimeoutError:
            return
        finally:
            self._waiting.discard(waiting)
