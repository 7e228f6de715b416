"""The clocks of a store: wall time for people, boot time for deadlines on one machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs


def boot_clock() -> float | None:
    """Return seconds since boot, suspended time included; None where the system has no such clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return None if clock is None else time.clock_gettime(clock)


@attrs.frozen(kw_only=True)
class Clocks:
    """Injected, so that tests move time instead of waiting."""

    wall: Callable[[], float] = time.time
    boot: Callable[[], float | None] = boot_clock

    def steady_s(self) -> float:
        """Return the best clock for measuring how long ago something was."""
        boot_s = self.boot()
        return self.wall() if boot_s is None else boot_s
