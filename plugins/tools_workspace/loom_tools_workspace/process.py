"""Runs a command to its end within bounds: time, output, and what it leaves behind."""

from __future__ import annotations

import atexit
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import attrs

_TURN_S = 0.05
_PIECE = 1 << 16
_PIECES_A_TURN = 16


@attrs.frozen(kw_only=True)
class Ended:
    """How a command ended. ``status`` is its exit status, negative for the signal that ended it.

    ``head`` and ``tail`` are the beginning and the end of what it printed; ``dropped`` bytes between them are lost.
    """

    status: int
    timed_out: bool
    seconds: float
    head: bytes
    tail: bytes
    dropped: int


class _Output:
    """Keeps the first and the last bytes of a stream; a quarter of the room is for the first."""

    def __init__(self, most: int) -> None:
        self.head = bytearray()
        self.tail = bytearray()
        self.dropped = 0
        self._most_head = most // 4
        self._most_tail = most - most // 4

    def add(self, piece: bytes) -> None:
        room = self._most_head - len(self.head)
        self.head += piece[:room]
        self.tail += piece[room:]
        if len(self.tail) > 2 * self._most_tail:
            self.trim()

    def trim(self) -> None:
        over = max(0, len(self.tail) - self._most_tail)
        self.dropped += over
        del self.tail[:over]


def run_bounded(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    timeout_s: float,
    grace_s: float = 5.0,
    most_output: int,
) -> Ended:
    """Run ``command`` without a shell and return how it ended; blocks.

    It reads from ``/dev/null`` and leads a session of its own. When ``timeout_s`` is over, its process group is asked
    to end (TERM) and after ``grace_s`` made to (KILL). When the command has ended, whatever it left in its group is
    killed, and a process that still holds its output is not waited for. The group ends with this process, too, unless
    this process is killed. Raises ``OSError`` if the command cannot be started.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    group = _Group(process, _Output(most_output))
    atexit.register(group.signal, signal.SIGKILL)
    try:
        timed_out = not group.wait_until(started + timeout_s)
        if timed_out:
            group.signal(signal.SIGTERM)
            group.wait_until(time.monotonic() + grace_s)
    finally:
        status = group.end()
        atexit.unregister(group.signal)
    output = group.output
    output.trim()
    return Ended(
        status=status,
        timed_out=timed_out,
        seconds=time.monotonic() - started,
        head=bytes(output.head),
        tail=bytes(output.tail),
        dropped=output.dropped,
    )


class _Group:
    """A process that leads a group, and the pipe it prints to.

    The leader is reaped last: until then its number, which is the group's, cannot be given to anybody else, so that
    no signal can reach a stranger.
    """

    def __init__(self, leader: subprocess.Popen[bytes], output: _Output) -> None:
        assert leader.stdout is not None
        self.output = output
        self._leader = leader
        self._pipe = leader.stdout
        self._open = True
        os.set_blocking(self._pipe.fileno(), False)

    def wait_until(self, deadline: float) -> bool:
        """Collect output until the leader has ended (True) or it is ``deadline`` (False)."""
        while not self._has_ended():
            if time.monotonic() >= deadline:
                return False
            self._collect(min(_TURN_S, max(0.0, deadline - time.monotonic())))
        return True

    def signal(self, number: int) -> None:
        if self._leader.returncode is not None:
            return
        # PermissionError is what macOS says of a group in which only zombies are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader.pid, number)

    def end(self) -> int:
        """Kill what is left, take what was printed last, reap the leader and return its status."""
        self.signal(signal.SIGKILL)
        # One bounded turn: a process that left the group may hold the pipe and print for ever.
        self._collect(0.0)
        self._pipe.close()
        return self._leader.wait()

    def _has_ended(self) -> bool:
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._leader.poll() is not None
        try:
            return os.waitid(os.P_PID, self._leader.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody in this process waits for every child, and has taken this one
            return True

    def _collect(self, wait_s: float) -> None:
        if not self._open:
            time.sleep(wait_s)
            return
        poll = select.poll()  # not select(), which knows no descriptor above 1023
        poll.register(self._pipe, select.POLLIN)
        poll.poll(wait_s * 1_000)
        for _ in range(_PIECES_A_TURN):
            try:
                piece = os.read(self._pipe.fileno(), _PIECE)
            except BlockingIOError:
                return
            if not piece:
                self._open = False
                return
            self.output.add(piece)
