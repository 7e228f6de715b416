"""Run blocking work without blocking the event loop and without holding up the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def on_thread(work: Callable[[], T]) -> T:
    """Run ``work`` on a daemon thread of its own and return its result.

    Not the loop's default executor: the interpreter waits for its threads at exit, however long a load or a download
    takes. When the awaiter is cancelled the thread goes on and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - carried to the awaiter, who raises it
            _report(loop, future, lambda caught=error: future.set_exception(caught))  # type: ignore[misc]
        else:
            _report(loop, future, lambda: future.set_result(result))

    threading.Thread(target=run, name="loom-llm-local", daemon=True).start()
    return await future


def _report(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], settle: Callable[[], None]) -> None:
    def in_loop() -> None:
        if not future.done():
            settle()

    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody is waiting
        loop.call_soon_threadsafe(in_loop)
