"""One writer at a time among the processes that use Loom, whatever happens to SQLite's own lock meanwhile.

A tool on a thread that closes ``-shm`` drops SQLite's write lock in the middle of a transaction of the loop's thread;
another process then writes into the same place of the log, and both files are damaged (``tests/torture/test_faults.py``
does it). ``flock`` belongs to the open file and not to the process, so that closing another descriptor leaves it alone.
It is taken on the descriptor that SQLite has open anyway, around each write; the two kinds of lock do not see each
other on Linux. Elsewhere they do, and there is no turnstile.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
from typing import Final

import apsw

from loom_store_sqlite.files import DatabaseFile, stat_of

_DESCRIPTORS: Final = "/proc/self/fd"


class Turnstile:
    """Lets one write through at a time; shared by the writing connection of a store and its beats."""

    __slots__ = ("_descriptor", "_file", "_inside")

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        # flock knows no threads: a beat that leaves would open the way that the loop's thread is on. Reentrant, because
        # a second Ctrl-C may strike between `enter` and the `try` behind it, and the run must still be released then.
        self._inside = threading.RLock()
        self._descriptor = self._find()

    def enter(self) -> None:
        """Take the lock, to be followed by ``leave``; raises ``apsw.BusyError`` while somebody else has it."""
        if not self._inside.acquire(blocking=False):
            raise apsw.BusyError(f"{self._file.name} is locked")
        try:
            if self._descriptor is not None:
                self._lock(self._descriptor)
        except BaseException:
            self._inside.release()
            raise

    def leave(self) -> None:
        """Give the lock back."""
        try:
            if self._descriptor is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
        finally:
            self._inside.release()

    def forget(self) -> None:
        """Let go of the descriptor, which was closed: its number is somebody else's next."""
        self._descriptor = None

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise apsw.BusyError(f"{self._file.name} is locked") from error
        except OSError as error:
            # A file system without flock, or a descriptor that is gone: SQLite's own locks are what there is.
            if error.errno not in (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            self._descriptor = self._find() if error.errno == errno.EBADF else None

    def _find(self) -> int | None:
        """Return the descriptor that SQLite writes the file through; looked up, never opened (see ``guard``)."""
        wanted = stat_of(self._file.path)
        if sys.platform != "linux" or wanted is None:
            return None
        try:
            numbers = sorted(map(int, os.listdir(_DESCRIPTORS)))  # noqa: PTH208 - numbers, not paths
        except OSError:
            return None
        for number in numbers:
            try:
                found = os.fstat(number)
                writes = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
            except OSError:
                continue
            if writes and (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return number
        return None
