"""Clocks that stand still until a test moves them, and one on which hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from loom_core.runtime.services import World

_QUIET_TURNS = 40
"""After so many turns of the event loop everything that could go on without time has gone on: a callback that another
one made ready runs in the next turn, and no chain in the runtime is half as long as this. asyncio does not tell when it
has nothing to do."""


class FakeClocks:
    """Wall time and boot time; ``boot_s`` None plays a system without a boot clock."""

    def __init__(self, wall_s: float = 1_750_000_000.0, boot_s: float | None = 1_000.0) -> None:
        self.wall_s = wall_s
        self.boot_s = boot_s

    def wall(self) -> float:
        """Return Unix seconds."""
        return self.wall_s

    def boot(self) -> float | None:
        """Return seconds since boot."""
        return self.boot_s

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall_s += seconds
        if self.boot_s is not None:
            self.boot_s += seconds

    def set_wall(self, wall_s: float) -> None:
        """Set the wall clock, as a person or a time server does; the time since boot goes on as it was."""
        self.wall_s = wall_s


class VirtualClock(FakeClocks):
    """Clocks that jump to the next moment that somebody sleeps for, as soon as nobody has anything else to do.

    Give ``world()`` to an ``AgentRunner`` and the clock's ``wall`` and ``boot`` to the store: a run that sleeps for a
    week is then over at once, with every timer, retry and time-out in its order. Threads are not waited for: while a
    tool works on one, time may pass.
    """

    def __init__(self, wall_s: float = 1_750_000_000.0, boot_s: float | None = 1_000.0, boot_id: str = "boot") -> None:
        super().__init__(wall_s, boot_s)
        self.boot_id = boot_id
        self.slept_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._jumper: asyncio.Task[None] | None = None
        self._passed_s = 0.0

    def world(self) -> World:
        """Return the world of a runner that lives by this clock."""
        return World(wall=self.wall, boot=self.boot, boot_id=self.boot_id, sleep=self.sleep)

    def reboot(self) -> None:
        """Start a new boot: its clock begins again, the wall clock goes on."""
        self.boot_id += "+"
        self.boot_s = 0.0 if self.boot_s is not None else None

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks; whoever slept for less is woken."""
        super().advance(seconds)
        self._passed_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._passed_s:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Sleep until the clock has moved by so much; it moves by itself when everybody sleeps."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self._passed_s + seconds, next(self._numbers), sleeper))
        if self._jumper is None or self._jumper.done():
            self._jumper = loop.create_task(self._jump())
        await sleeper

    async def _jump(self) -> None:
        while True:
            for _ in range(_QUIET_TURNS):
                await asyncio.sleep(0)
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)
            if not self._sleepers:
                return
            step_s = max(0.0, self._sleepers[0][0] - self._passed_s)
            self.slept_s += step_s
            self.advance(step_s)
