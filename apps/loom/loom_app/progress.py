"""A line of progress on a terminal, redrawn a few times a second; nothing elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from loom_cli import Output
from loom_cli.text import duration, safe, size

_REDRAW_S = 0.2


class ProgressLine:
    """A ``PullProgress`` that draws itself on stderr while it is open and leaves the line empty."""

    def __init__(self, output: Output, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._drawn_at = float("-inf")
        self._started: dict[str, float] = {}

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._output.live and self._started:
            self._draw("")

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Note how far something is; both counts are bytes."""
        now = self._clock()
        started = self._started.setdefault(what, now)
        if not self._output.live or (now - self._drawn_at < _REDRAW_S and done != total):
            return
        self._drawn_at = now
        self._draw(_line(what, done, total, now - started))

    def _draw(self, text: str) -> None:
        self._output.stderr.write(f"\r\x1b[K{safe(text)}")
        self._output.stderr.flush()


def _line(what: str, done: int, total: int | None, elapsed: float) -> str:
    rate = done / elapsed if elapsed > 0 else 0.0
    parts = [f"{what}: {size(done)}"]
    if total:
        parts.append(f"of {size(total)} ({100 * done // total}%)")
    if rate > 0:
        parts.append(f"at {size(round(rate))}/s")
        if total and total > done:
            parts.append(f"– {duration((total - done) / rate)} left")
    return " ".join(parts)
