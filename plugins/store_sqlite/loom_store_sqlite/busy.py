"""Patience with a locked database: the event loop stays free, and nothing is ever half done while it waits."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import apsw

from loom_core.errors import StoreBusy
from loom_store_sqlite.faults import as_loom_error, is_busy

LIMIT_S = 60.0

T = TypeVar("T")


async def patiently(attempt: Callable[[], T], location: str, limit_s: float = LIMIT_S) -> T:
    """Return what ``attempt`` returns, called again with growing pauses while somebody else holds the lock.

    ``attempt`` leaves nothing open when it raises, so cancelling a pause leaves nothing behind. Raises ``StoreBusy``
    after ``limit_s``, and what ``as_loom_error`` says for other errors of SQLite.
    """
    for pause_s in _limited(limit_s):
        try:
            return attempt()
        except apsw.Error as error:
            if not is_busy(error):
                raise as_loom_error(error, location) from error
        await asyncio.sleep(pause_s)
    raise too_long(location, limit_s)


def patiently_blocking(attempt: Callable[[], T], location: str, limit_s: float = LIMIT_S) -> T:
    """Do the same where there is no event loop: when a store is opened, and in the thread that keeps leases."""
    for pause_s in _limited(limit_s):
        try:
            return attempt()
        except apsw.Error as error:
            if not is_busy(error):
                raise as_loom_error(error, location) from error
        time.sleep(pause_s)
    raise too_long(location, limit_s)


def pauses() -> Iterator[float]:
    """Yield how long to wait before the next attempt, seconds, without end."""
    # 1 ms doubles to 50 ms; the jitter keeps two waiting processes from meeting again and again.
    pause_s = 0.001
    while True:
        yield pause_s * random.uniform(0.5, 1.0)
        pause_s = min(pause_s * 2, 0.05)


def _limited(limit_s: float) -> Iterator[float]:
    until = time.monotonic() + limit_s
    for pause_s in pauses():
        yield pause_s
        if time.monotonic() >= until:
            return


def too_long(location: str, limit_s: float) -> StoreBusy:
    """Return the error for a lock of somebody else's that was waited for in vain."""
    return StoreBusy(
        f"{location} stayed locked by another process for {limit_s:g} s; nothing was written",
        hint=f"find who holds it: fuser -v '{location}'",
    )
