"""The loop that drives a run: a tail-recursive transition, and the attempt that it awaits.

The ``try`` is in ``ActiveRun.perform``, outside the tail call, so that the loop itself is the plain recursion which
``@tailrec`` turns into constant stack. It is transformed on first use, so that importing the runtime costs nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from loom_core.runtime.outcomes import Continue

if TYPE_CHECKING:
    from loom_core.runtime.active import ActiveRun, Left

Drive = Callable[["ActiveRun", Any, int], Awaitable["Left"]]


async def drive(run: ActiveRun, state: Any, step_index: int) -> Left:
    """Perform step ``step_index`` and all that follow, until the run is left."""
    outcome = await run.perform(state, step_index)
    if outcome.__class__ is Continue:
        return await drive(run, outcome.state, step_index + 1)
    left: Left = outcome
    return left


@functools.cache
def driver() -> Drive:
    """Return ``drive`` as a loop."""
    from loom_core.tailcalls import tailrec

    return tailrec(drive)
