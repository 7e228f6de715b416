"""What an active run needs from outside: tools, models, time, chance, and somebody who watches."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from loom_core.contracts.models import ModelBackend
from loom_core.contracts.retries import Classification
from loom_core.contracts.timers import Moment
from loom_core.contracts.tools import Tool
from loom_core.runtime.failures import classify
from loom_core.runtime.owners import boot_clock, boot_id, moment
from loom_core.runtime.prices import PriceOf, price_finder


@attrs.frozen
class Observation:
    """Something that happens in a run, told to the observer as it happens and nowhere stored.

    ``kind`` is ``model_event`` (``data``: a ``ModelEvent``), or ``call_started``, ``call_ended``, ``call_replayed``
    (``data``: the ``CallRecord``). What an observer raises is logged and changes nothing.
    """

    kind: str
    step_index: int
    call_id: str | None
    name: str | None
    data: Any = None


Observer = Callable[[Observation], None]


def no_observer(_observation: Observation) -> None:
    """Watch nothing."""


@attrs.frozen(kw_only=True)
class World:
    """Time and chance, so that tests can have their own (``loom_core.testing.VirtualClock``).

    ``sleep`` is how the runtime waits: for a timer, before another attempt, between two looks for work. ``boot`` and
    ``boot_id`` are the clock that nobody can set, None where the system has none.
    """

    wall: Callable[[], float] = time.time
    boot: Callable[[], float | None] = boot_clock
    boot_id: str | None = attrs.field(factory=boot_id)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    uuid4: Callable[[], uuid.UUID] = uuid.uuid4

    def now(self) -> Moment:
        """Return this moment on both clocks."""
        return moment(self.wall(), self.boot(), self.boot_id)


@attrs.frozen(kw_only=True)
class Services:
    """Bound before a run is claimed; no plugin hook is called while it is under way."""

    tool: Callable[[str], Tool]
    model: Callable[[str], tuple[ModelBackend, str]]
    classify: Callable[[BaseException], Classification] = classify
    observe: Observer = no_observer
    world: World = attrs.field(factory=World)
    prices: Callable[[], PriceOf] = lambda: price_finder(None)

    def wall(self) -> float:
        """Return the time, Unix seconds."""
        return self.world.wall()

    def random(self) -> float:
        """Return a number in [0, 1)."""
        return self.world.random()

    def uuid4(self) -> uuid.UUID:
        """Return a random UUID."""
        return self.world.uuid4()
