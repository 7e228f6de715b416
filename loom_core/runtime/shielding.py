"""Writes that a cancellation must not cut in two, and how long they may hold it up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

from loom_core.errors import StoreBusy

T = TypeVar("T")

LAST_WORD_LIMIT_S = 2.0
"""How long a write may go on after a cancellation.

Somebody else's lock on the database is otherwise waited for, for up to a minute; who pressed Ctrl-C twice does not wait
that long. What is not written is found out by whoever claims the run next.
"""


async def to_its_end(work: Coroutine[Any, Any, T], *, last_word: bool = False) -> T:
    """Await ``work``, which is given two seconds more after a cancellation; the cancellation is raised then.

    ``last_word`` starts with those two seconds: the cancellation has come already. Raises ``StoreBusy`` when they are
    over, unless there is a cancellation to raise.
    """
    clock = asyncio.get_running_loop().time
    task = asyncio.ensure_future(work)
    deadline = clock() + LAST_WORD_LIMIT_S if last_word else math.inf
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task], timeout=None if deadline == math.inf else max(0.0, deadline - clock()))
        except asyncio.CancelledError as error:
            cancellation = error
            deadline = min(deadline, clock() + LAST_WORD_LIMIT_S)
        if clock() >= deadline:
            task.cancel()
            deadline = math.inf
    if cancellation is not None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            cancellation.add_note(f"what it waited for failed: {type(failure).__name__}: {failure}")
        raise cancellation
    if task.cancelled():
        raise StoreBusy(f"a last write was given up after {LAST_WORD_LIMIT_S:g} s: the database is locked")
    return task.result()


def is_requested(cancellation: BaseException) -> bool:
    """Return False for a ``CancelledError`` that nobody asked this task for: what it awaited was cancelled."""
    if not isinstance(cancellation, asyncio.CancelledError):
        return True
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
