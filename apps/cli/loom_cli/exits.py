"""The exit statuses of every command, in one table (``docs/cli.md`` shows the same one; a test compares them)."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What a command ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INTERNAL = 3
    WAITING = 4
    BUDGET = 5
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """One line for people."""
        return MEANINGS[self]


MEANINGS = {
    ExitStatus.DONE: "done; also a slice (`--max-steps`, `--max-seconds`) that ended as asked",
    ExitStatus.FAILED: "the thing asked for failed",
    ExitStatus.USAGE: "usage, configuration or bad input; nothing was changed",
    ExitStatus.INTERNAL: "internal error or a plugin's defect",
    ExitStatus.WAITING: "the run waits for a person, a signal, a child or a timer",
    ExitStatus.BUDGET: "a budget of the run is used up",
    ExitStatus.INTERRUPTED: "interrupted; a run is left resumable",
}
