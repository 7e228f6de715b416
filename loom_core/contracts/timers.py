"""Moments on two clocks: when a timer is due, whatever is done to the wall clock in the meantime."""

from __future__ import annotations

from typing import Literal

import attrs

Woken = Literal["timer", "timeout"]
"""What ended a wait that no signal ended: the timer it was for, or the time limit of a wait for a signal."""


@attrs.frozen(kw_only=True)
class BootTime:
    """A moment on the clock that nobody can set: seconds since the boot with this id, suspended time included."""

    boot_id: str
    at_s: float


@attrs.frozen(kw_only=True)
class Moment:
    """A moment on the wall clock (Unix time) and on this boot's own; ``boot`` is None where there is no such clock."""

    wall_s: float
    boot: BootTime | None = None

    def after(self, seconds: float) -> Moment:
        """Return the moment that many seconds later."""
        boot = None if self.boot is None else attrs.evolve(self.boot, at_s=self.boot.at_s + seconds)
        return Moment(wall_s=self.wall_s + seconds, boot=boot)

    def until(self, wake_at: float, wake_boot: BootTime | None) -> float:
        """Return the seconds from here until a timer is due, negative if it is overdue.

        On the boot that the timer was set in, its own clock counts; after another boot, and for a time of the
        calendar (``wake_boot`` None), the wall clock.
        """
        if wake_boot is not None and self.boot is not None and wake_boot.boot_id == self.boot.boot_id:
            return wake_boot.at_s - self.boot.at_s
        return wake_at - self.wall_s
