"""The connection that writes: transactions that are whole or nothing, synced as asked, patient with a locked file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import apsw

from loom_core.errors import LoomError, StoreBusy, StoreUnusable
from loom_store_sqlite.busy import LIMIT_S, patiently, patiently_blocking
from loom_store_sqlite.faults import as_loom_error
from loom_store_sqlite.files import DatabaseFile
from loom_store_sqlite.grouping import CommitGroup
from loom_store_sqlite.guard import FileGuard
from loom_store_sqlite.turnstile import Turnstile

T = TypeVar("T")

CLOSE_LIMIT_S = 2.0


class Database:
    """Owns the writing connection of a store. Belongs to one event loop, and to the process that opened it.

    ``execute`` is the kept cursor of the hot path; ``full`` says whether commits are synced at the moment. ``writers``
    counts the runs that are being driven: from two on, writes are committed in groups.
    """

    __slots__ = ("_guard", "_pid", "connection", "execute", "full", "group", "limit_s", "name", "turnstile", "writers")

    def __init__(self, connection: apsw.Connection, file: DatabaseFile, limit_s: float = LIMIT_S) -> None:
        self.connection = connection
        self.execute = connection.cursor().execute
        self.full = False
        self.limit_s = limit_s
        self.name = file.name
        self.turnstile = Turnstile(file)
        self.writers = 0
        self.group = CommitGroup(self)
        self._guard = FileGuard(file)
        self._pid = os.getpid()

    @property
    def in_groups(self) -> bool:
        """Return True if a write has others to share its transaction with, or has to come after one that waits."""
        return self.writers > 1 or not self.group.is_empty

    async def write(self, work: Callable[[apsw.Connection], T], *, sync: bool = True) -> T:
        """Run ``work`` in a transaction that is on disk when this returns, unless ``sync`` is False.

        What ``work`` raises rolls it back. ``work`` is called again after a lock of somebody else's, so it changes
        nothing but the database.
        """
        if self.in_groups:
            try:
                written: T = await self.group.write(work, sync=sync)
            except apsw.Error as error:
                raise self.error(error) from error
            return written
        return await patiently(lambda: self.transact(work, sync=sync), self.name, self.limit_s)

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` in one read transaction."""
        return await patiently(lambda: self.transact(work, sync=None), self.name, self.limit_s)

    def transact(self, work: Callable[[apsw.Connection], T], *, sync: bool | None) -> T:
        """Run ``work`` in one transaction, now; ``sync`` None is for reading. Raises SQLite's own errors."""
        self._check_process()
        if sync is None:
            return self._in_transaction("BEGIN", work)
        self.turnstile.enter()
        try:
            self._hold_files()
            if sync is not self.full:
                self.set_sync(sync)
            return self._in_transaction("BEGIN IMMEDIATE", work)
        finally:
            self.turnstile.leave()

    async def vacuum(self) -> None:
        """Write the file anew without its unused pages; blocks the event loop while it does."""

        def work() -> None:
            self._check_process()
            self.turnstile.enter()
            try:
                self._hold_files()
                self.connection.execute("VACUUM").fetchall()
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self.turnstile.leave()

        await patiently(work, self.name, self.limit_s)

    def set_sync(self, full: bool) -> None:
        """Let commits be synced from now on, or not; outside a transaction only."""
        self.execute("PRAGMA synchronous = FULL" if full else "PRAGMA synchronous = NORMAL")
        self.full = full

    def error(self, error: apsw.Error) -> LoomError:
        """Return what to raise from ``error``."""
        return as_loom_error(error, self.name)

    def close(self) -> None:
        """Close the connection; may be called again. The last one of all processes folds the log into the file.

        Blocks while another process writes, for at most two seconds; the log then stays for the next one.
        """
        if os.getpid() != self._pid:
            return
        try:
            patiently_blocking(self.turnstile.enter, self.name, CLOSE_LIMIT_S)
        except StoreBusy:
            self.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self.connection.close()
            self.turnstile.forget()
            return
        try:
            # The descriptor that is locked is the connection's own, so that closing it gives the lock back.
            self.connection.close()
            self.turnstile.forget()
        finally:
            self.turnstile.leave()

    def _in_transaction(self, begin: str, work: Callable[[apsw.Connection], T]) -> T:
        connection = self.connection
        try:
            connection.execute(begin)
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            # A locked database did not begin; a failed COMMIT, a full disk or an I/O error may have rolled back.
            if not connection.getautocommit():
                connection.execute("ROLLBACK")
            raise
        return result

    def _hold_files(self) -> None:
        try:
            self._guard.hold()
        except StoreUnusable:
            # Closing must not fold this log into a file that others have written since.
            self.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            raise

    def _check_process(self) -> None:
        # SQLite's locks do not survive a fork; a connection used on both sides of one destroys the file.
        if os.getpid() != self._pid:
            raise RuntimeError(f"{self.name} was opened by the parent of this process; open it again here")
