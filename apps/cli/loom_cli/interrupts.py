"""Ctrl-C once: stop after the step under way. Ctrl-C twice: stop now."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from loom_cli.output import Output

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
NOTICE = "stopping after the step under way; press Ctrl-C again to stop now"


class Stopper:
    """Passes the first request to stop on to whoever is to be stopped; one for each ``run_interruptible``."""

    def __init__(self) -> None:
        self.requested = False
        self._callback: Callable[[], None] | None = None

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when a stop is requested, at once if it was already. The newest callback replaces others.

        It is called from a signal handler: it may set flags and wake the event loop, and nothing else.
        """
        self._callback = callback
        if self.requested:
            callback()

    def request(self) -> None:
        """Request the stop."""
        self.requested = True
        if self._callback is not None:
            self._callback()


def run_interruptible(main: Callable[[Stopper], Coroutine[Any, Any, T]], *, output: Output) -> T:
    """Run a coroutine in a new event loop and return its result; blocks.

    The first SIGINT or SIGTERM reaches the callback that ``main`` gave to ``Stopper.on_stop``, and a notice is written
    to stderr. Each further one raises ``KeyboardInterrupt`` wherever the main thread is; the coroutine is then left or
    cancelled, so that it can clean up, and the ``KeyboardInterrupt`` reaches the caller. Outside of the main thread,
    where Python delivers no signals, none are caught.
    """
    stopper = Stopper()
    with _caught(_Handler(stopper, output)):
        return asyncio.run(main(stopper))


@contextmanager
def _caught(handler: _Handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Not ``loop.add_signal_handler``: a step that blocks the loop would keep that from being called at all.
    # A signal that is ignored stays ignored: `nohup` and shells without job control mean it.
    previous = {each: signal.getsignal(each) for each in SIGNALS}
    caught = [each for each, was in previous.items() if was is not signal.SIG_IGN and was is not None]
    for each in caught:
        signal.signal(each, handler)
    try:
        yield
    finally:
        for each in caught:
            signal.signal(each, previous[each])


class _Handler:
    def __init__(self, stopper: Stopper, output: Output) -> None:
        self._stopper = stopper
        self._output = output

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopper.requested:
            raise KeyboardInterrupt
        self._stopper.request()
        # Past the stream's buffer, which may be in the middle of a write that this signal interrupted.
        with suppress(OSError, ValueError):
            os.write(self._output.stderr.fileno(), f"{NOTICE}\n".encode())
