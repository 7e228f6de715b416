"""Keeping the locks of an open database, although code in this process may drop them without knowing.

POSIX drops all of a process's locks on a file when *any* descriptor of it is closed. A tool that merely reads the
files of the database so makes SQLite's connection look closed to other processes, and the next one to close its own
removes the log under us: what is committed afterwards is lost. SQLite from 3.51 on notices if only the main file was
opened, but not if ``-shm`` was. So the two locks that an open connection always holds are taken again before each
synced write, the first of which follows every tool call, and a log that was removed before that is noticed.

Descriptors are looked up, never opened. ``tests/plugins/store_sqlite/test_locks.py`` shows the loss and its prevention.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Final, NamedTuple

import apsw

from loom_core.errors import StoreUnusable
from loom_store_sqlite.files import DatabaseFile, stat_of

_DESCRIPTORS: Final = "/dev/fd"

_MAIN_LOCK: Final = (0x40000002, 510)
"""SHARED in SQLite's file format: the range behind the pending byte."""

_INDEX_LOCK: Final = (128, 1)
"""The dead man's switch in ``-shm`` (``UNIX_SHM_DMS`` in SQLite's os_unix.c)."""

Identity = tuple[int, int]


class _Lock(NamedTuple):
    identity: Identity
    offset: int
    length: int


class FileGuard:
    """Guards the files of one connection in WAL mode that has read something, so that all three files are there."""

    __slots__ = ("_descriptors", "_file", "_locks", "_log")

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._log = _identity(file.wal)
        kept = ((file.path, _MAIN_LOCK), (file.shm, _INDEX_LOCK))
        found = ((_identity(path), lock) for path, lock in kept)
        self._locks = tuple(_Lock(identity, *lock) for identity, lock in found if identity is not None)
        self._descriptors: dict[Identity, int] = {}

    def hold(self) -> None:
        """Take the locks again, and make sure that the log is still the one that is being written.

        Raises ``StoreUnusable`` if it is not, ``apsw.BusyError`` while another process has a lock of its own.
        """
        for lock in self._locks:
            self._take(lock)
        # After the locks: from now on nobody removes it.
        if self._log is not None and _identity(self._file.wal) != self._log:
            raise StoreUnusable(
                f"the log of {self._file.name} was removed while this program used it; nothing was written to it since",
                hint="some code in this program opens the database's own files, which drops its locks on them;"
                " keep it from doing that, then resume the run",
            )

    def _take(self, lock: _Lock) -> None:
        descriptor = self._descriptors.get(lock.identity)
        if descriptor is None or _identity_of(descriptor) != lock.identity:
            descriptor = _find(lock.identity)
            if descriptor is None:
                return
            self._descriptors[lock.identity] = descriptor
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, lock.length, lock.offset)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise apsw.BusyError(f"{self._file.name} is locked") from error
            raise


def _find(identity: Identity) -> int | None:
    try:
        names = os.listdir(_DESCRIPTORS)  # noqa: PTH208 - numbers, not paths
    except OSError:
        return None
    for name in names:
        descriptor = int(name)
        if _identity_of(descriptor) == identity and _can_read(descriptor):
            return descriptor
    return None


def _can_read(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY


def _identity_of(descriptor: int) -> Identity | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _identity(path: str) -> Identity | None:
    found = stat_of(path)
    return None if found is None else (found.st_dev, found.st_ino)
