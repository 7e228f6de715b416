"""Clocks that stand still until a test moves them."""

from __future__ import annotations


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
