"""Ways to die: a SQLite VFS that kills its process at one chosen write, and children forked to be killed.

Children are forked from a process that has imported everything and opened no database, so that one death costs some
ten milliseconds instead of an interpreter's start. SIGKILL comes from inside (`os.kill` in the VFS, before or after
the write
reaches the file) or from outside (a timer of the parent's).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import attrs

_INTERRUPTS = frozenset({signal.SIGINT, signal.SIGTERM})


@attrs.define
class Writes:
    """Counts what the process writes to database files; dies at number ``die_at`` (from 1), 0 never."""

    die_at: int = 0
    after: bool = False
    seen: int = 0

    def about_to(self) -> bool:
        """Count one write; return True if the process is to die after it."""
        self.seen += 1
        if self.seen != self.die_at:
            return False
        if not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        return True


class CrashingVFS(apsw.VFS):
    """The system's VFS, made the default of this process for as long as it is kept, with ``Writes`` in between."""

    registered = True

    def __init__(self, writes: Writes) -> None:
        self._writes = writes
        super().__init__("crashing", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _CrashingFile(name, flags, self._writes)


class _CrashingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], writes: Writes) -> None:
        self._writes = writes
        super().__init__("unix", name, flags)

    def xLock(self, level: int) -> None:
        try:
            super().xLock(level)
        except apsw.IOError as error:
            # Closing, SQLite tries for the exclusive lock on a file that is open for reading only, and takes a failure
            # for a no. APSW takes it for an exception, unless it is this one.
            raise apsw.BusyError(str(error)) from error

    def xWrite(self, data: bytes, offset: int) -> None:
        die = self._writes.about_to()
        super().xWrite(data, offset)
        if die:
            os.kill(os.getpid(), signal.SIGKILL)

    def xSync(self, flags: int) -> None:
        die = self._writes.about_to()
        super().xSync(flags)
        if die:
            os.kill(os.getpid(), signal.SIGKILL)


@attrs.frozen
class Ending:
    """How a forked child ended: ``signal`` if it was killed, else what its function returned, or what it raised."""

    signal: int | None
    value: Any = None
    raised: str | None = None
    seconds: float = 0.0


def in_child(
    work: Callable[[], Any],
    report: Path,
    *,
    kill_after_s: float | None = None,
    kill_with: int = signal.SIGKILL,
    again_after_s: float | None = None,
    patience_s: float = 90.0,
) -> Ending:
    """Fork, do ``work`` there (its result must be JSON), and return how the child ended; it is always reaped.

    After ``kill_after_s`` it gets the signal ``kill_with``, and once more ``again_after_s`` later.
    """
    report.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    pid = _fork()
    if pid == 0:
        _be_child(work, report)
    kills = [] if kill_after_s is None else [started + kill_after_s]
    if kills and again_after_s is not None:
        kills.append(kills[0] + again_after_s)
    status = _wait(pid, kills, kill_with, started + patience_s)
    return _ending(status, report, time.monotonic() - started)


def at_once(works: Sequence[Callable[[], Any]], folder: Path, *, patience_s: float = 90.0) -> list[Ending]:
    """Fork a child for each of ``works``, let all of them go at the same moment, and return how they ended."""
    reading, writing = os.pipe()
    reports = [folder / f"at-once-{number}" for number in range(len(works))]
    pids: list[int] = []
    sys.stdout.flush()
    sys.stderr.flush()
    for work, report in zip(works, reports, strict=True):
        report.unlink(missing_ok=True)
        pid = _fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)
            _be_child(work, report)
        pids.append(pid)
    started = time.monotonic()
    # The end of the pipe is what they wait for.
    os.close(writing)
    endings = [
        _ending(_wait(pid, [], signal.SIGKILL, started + patience_s), report, time.monotonic() - started)
        for pid, report in zip(pids, reports, strict=True)
    ]
    os.close(reading)
    return endings


def _ending(status: int, report: Path, seconds: float) -> Ending:
    if os.WIFSIGNALED(status):
        return Ending(os.WTERMSIG(status), seconds=seconds)
    written = json.loads(report.read_text()) if report.exists() else {"raised": "the child left no report"}
    return Ending(None, written.get("value"), written.get("raised"), seconds)


def _fork() -> int:
    """Fork with signals held back in the child until it is ready for them (``_be_child``).

    One that strikes while Python mends its locks after a fork is swallowed there, and leaves locks that nobody opens.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        pid = os.fork()
    except BaseException:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
    return pid


def _be_child(work: Callable[[], Any], report: Path) -> None:
    try:
        with open(os.devnull, "w") as devnull:
            os.dup2(devnull.fileno(), 1)
            os.dup2(devnull.fileno(), 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
            answer = {"value": work()}
        except BaseException:
            answer = {"raised": traceback.format_exc()}
        temporary = report.with_suffix(".part")
        temporary.write_text(json.dumps(answer))
        temporary.rename(report)
    finally:
        os._exit(0)


def _wait(pid: int, kills: list[float], kill_with: int, until: float) -> int:
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        now = time.monotonic()
        if kills and now >= kills[0]:
            kills.pop(0)
            os.kill(pid, kill_with)
        if now > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("a child did not end in time")
        time.sleep(0.0005)
