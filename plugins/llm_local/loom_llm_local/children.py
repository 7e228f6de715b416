"""Run a child process to its end, or until somebody says stop."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence

import attrs

POLL_S = 0.2
GRACE_S = 2.0


class Stopped(Exception):
    """The work was cancelled; raised inside its thread and seen by nobody else."""


@attrs.frozen(kw_only=True)
class Ended:
    """How a child ended. ``output`` is what it wrote to stdout and stderr; ``timed_out`` if it had to be ended."""

    returncode: int
    output: str
    timed_out: bool = False


def run_child(
    command: Sequence[str], *, stop: threading.Event, environ: Mapping[str, str] | None = None, timeout_s: float
) -> Ended:
    """Run ``command`` and return how it ended; it never outlives this call. Raises ``Stopped`` when ``stop`` is set."""
    deadline = time.monotonic() + timeout_s
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal is for us to pass on
        )
        try:
            while not _ended(child) and time.monotonic() < deadline:
                if stop.is_set():
                    raise Stopped
            timed_out = child.returncode is None
        finally:
            _end(child)
        log.seek(0)
        return Ended(returncode=child.returncode, output=log.read().decode(errors="replace"), timed_out=timed_out)


def _ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
