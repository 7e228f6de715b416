"""``explain``: what happened to a run, what is in doubt, what failed, and what resuming would do.

    store ─► reading (bounded) ─► standing, timeline, resuming ─► RunExplanation ─► to_data() · lines()

It needs nothing of the agent's code and imports neither the runner nor cattrs, so that it starts fast.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from loom_core.contracts.stores import Store
from loom_core.runtime.explain.facts import RunExplanation, explanation_of
from loom_core.runtime.explain.reading import read
from loom_core.runtime.owners import boot_clock

__all__ = ["RunExplanation", "explain"]


async def explain(
    store: Store,
    run_id: str,
    *,
    everything: bool = False,
    wall: Callable[[], float] = time.time,
    boot: Callable[[], float | None] = boot_clock,
) -> RunExplanation:
    """Explain a run. Raises ``RunNotFound``.

    Reads both ends of a long run only, whatever its length; ``everything`` reads all claims, calls, failed attempts
    and signals (and only those steps that have some).
    """
    material = await read(store, run_id, everything=everything)
    return explanation_of(material, wall_s=wall(), boot_s=boot())
