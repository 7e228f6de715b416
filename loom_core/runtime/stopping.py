"""A request to stop after the step under way, and how long stopping at once may take."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

LAST_WORD_LIMIT_S = 2.0


async def last_word(write: Coroutine[Any, Any, object]) -> bool:
    """Make a last write of a run that is being interrupted; return False if it was given up after two seconds.

    Somebody else's lock on the database is otherwise waited for, for up to a minute; who pressed Ctrl-C twice does not
    wait that long. What is not written is found out by whoever claims the run next. What ``write`` raises is raised.
    """
    task = asyncio.ensure_future(write)
    try:
        await asyncio.wait({task}, timeout=LAST_WORD_LIMIT_S)
    finally:
        in_time = task.done()
        task.cancel()
    if not in_time:
        await asyncio.wait({task})
    if task.cancelled():
        return False
    task.result()
    return True


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
