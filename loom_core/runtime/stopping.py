"""A request to stop after the step under way."""

from __future__ import annotations

import asyncio


class StopRequest:
    """Set once, from a signal handler or another task; read between steps and during the wait before a retry."""

    def __init__(self) -> None:
        self.requested = False
        self._event: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def request(self) -> None:
        """Ask to stop; callable from a signal handler and from any thread."""
        self.requested = True
        if self._loop is not None and self._event is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> None:
        """Return after ``seconds``, or as soon as a stop is requested."""
        if self.requested or seconds <= 0:
            return
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        if self.requested:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
