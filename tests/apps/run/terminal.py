"""A program on a pseudo-terminal, read until it has said something; the standard library is enough for that."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
from pathlib import Path
from types import TracebackType
from typing import Self

LONGEST_S = 30.0


class Terminal:
    """Runs a program whose standard input and output, and error, are one terminal."""

    def __init__(self, argv: tuple[str, ...], place: Path, environ: dict[str, str]) -> None:
        self.master, terminal = pty.openpty()
        attributes = termios.tcgetattr(terminal)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(terminal, termios.TCSANOW, attributes)
        self.process = subprocess.Popen(
            argv,
            cwd=place,
            env={**environ, "TERM": "xterm", "NO_COLOR": "1"},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: os.tcsetpgrp(0, os.getpgrp()) if _take(0) else None,
        )
        os.close(terminal)
        self.said = ""

    def wait_for(self, text: str) -> str:
        """Read until ``text`` was said since the last call; return what was said up to it."""
        while text not in self.said:
            assert self._read(), f"ended without saying {text!r}, but: {self.said!r}"
        before, _, self.said = self.said.partition(text)
        return before + text

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def press_ctrl_c(self) -> None:
        os.write(self.master, b"\x03")

    def end(self) -> tuple[int, str]:
        """Read to the end; return the exit status and what was said since the last ``wait_for``."""
        while self._read():
            pass
        return self.process.wait(LONGEST_S), self.said

    def _read(self) -> bool:
        ready, _, _ = select.select([self.master], [], [], LONGEST_S)
        assert ready, f"nothing more was said after {self.said!r}"
        try:
            piece = os.read(self.master, 65536)
        except OSError:  # Linux says so when the last writer has gone.
            return False
        self.said += piece.decode(errors="replace").replace("\r\n", "\n")
        return bool(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


def _take(descriptor: int) -> bool:
    import fcntl

    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
    return True
