"""What a plugin prints while it is loaded: held back, so that it can be said who printed it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import IO, Any

_MAX_CHARS = 200


class Overheard:
    """A standard output that keeps what is written to it; afterwards it is standard error.

    A plugin may keep it (``logging.StreamHandler(sys.stdout)``): whatever comes later must neither be lost nor be
    mixed with a command's result.
    """

    def __init__(self, afterwards: IO[str]) -> None:
        self._afterwards = afterwards
        self._listening = True
        self._kept = ""

    @property
    def text(self) -> str:
        """What was printed, on one line, cut where it is long."""
        line = " ".join(self._kept.split())
        return line if len(line) <= _MAX_CHARS else line[: _MAX_CHARS - 1] + "…"

    def write(self, text: str) -> int:
        """Keep a text, or hand it on if nobody listens any more."""
        if not self._listening:
            return self._afterwards.write(text)
        # Enough to cut from, whatever a plugin prints in a loop.
        self._kept = (self._kept + text)[: 4 * _MAX_CHARS]
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def stop(self) -> None:
        """Hand on what is written from now on."""
        self._listening = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._afterwards, name)


@contextlib.contextmanager
def overheard() -> Iterator[Overheard]:
    """Let what is printed to ``sys.stdout`` inside be kept."""
    ears = Overheard(sys.stderr)
    with contextlib.redirect_stdout(ears):
        try:
            yield ears
        finally:
            ears.stop()
