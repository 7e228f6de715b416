"""Progress: on a terminal, a few times a second, and gone at the end."""

from __future__ import annotations

import io

from loom_app.progress import ProgressLine
from loom_cli import Output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(stderr: io.StringIO, verbosity: int = 0) -> str:
    times = iter([0.0, 0.1, 1.0, 1.01, 2.0])
    output = Output(stdout=io.StringIO(), stderr=stderr, verbosity=verbosity)
    with ProgressLine(output, clock=lambda: next(times)) as progress:
        progress("weights\x1b[2J", 0, 4_000_000)
        progress("weights\x1b[2J", 1_000_000, 4_000_000)
        progress("weights\x1b[2J", 2_000_000, 4_000_000)
        progress("weights\x1b[2J", 4_000_000, 4_000_000)
        progress("unknown", 7, None)
    return stderr.getvalue()


def test_progress_is_redrawn_in_place_and_not_too_often() -> None:
    lines = drawn(Terminal()).split("\r\x1b[K")
    assert lines == [
        "",
        "weights\\x1b[2J: 0 B of 4.0 MB (0%)",
        "weights\\x1b[2J: 2.0 MB of 4.0 MB (50%) at 2.0 MB/s – 1.0s left",
        "weights\\x1b[2J: 4.0 MB of 4.0 MB (100%) at 4.0 MB/s",
        "unknown: 7 B",
        "",
    ]


def test_progress_is_for_a_terminal_that_wants_it() -> None:
    assert drawn(io.StringIO()) == ""
    assert drawn(Terminal(), verbosity=-1) == ""
