"""Group commit: the writes of several runs that are ready in one turn of the event loop share one transaction.

A sync costs the same for one step as for a hundred, and so does taking the locks. A member that fails (a lost lease,
a refused end) fails alone: then the transaction is rolled back and done again with a savepoint for each. (Savepoints
from the start are two of six statements of a managed call.) A transaction that fails as a whole is done again member
by member. While somebody else holds the database, the group waits and grows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import apsw
import attrs

from loom_store_sqlite.busy import pauses, too_long
from loom_store_sqlite.faults import is_busy

if TYPE_CHECKING:
    from loom_store_sqlite.database import Database

Work = Callable[[apsw.Connection], Any]


@attrs.define(eq=False)
class Member:
    """One write that waits for its transaction. ``atomic`` works are one statement, which
    leaves nothing behind when it fails."""

    work: Work
    sync: bool
    atomic: bool
    until_s: float
    done: asyncio.Future[Any]


@attrs.frozen
class _Outcome:
    value: Any = None
    error: Exception | None = None


class CommitGroup:
    """The writes that wait, for one event loop at a time: what waited in one that was closed is withdrawn."""

    __slots__ = ("_database", "_loop", "_members", "_pauses", "_waiting")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._members: list[Member] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Handle | None = None
        self._pauses: Iterator[float] | None = None

    @property
    def is_empty(self) -> bool:
        """Return True if nothing waits to be written."""
        return not self._members

    async def write(self, work: Work, *, sync: bool, atomic: bool = False) -> Any:
        """Return what ``work`` returned in a transaction that is committed, and on disk if ``sync``.

        A cancellation that comes before the transaction withdraws the write; one that comes with it is delivered at
        the next ``await`` of the caller, who learns that it was written. Raises SQLite's own errors, and ``StoreBusy``.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # Nobody is left who waits for those of the other one, and its handle never calls anything again.
            self._loop, self._members, self._waiting, self._pauses = loop, [], None, None
        done: asyncio.Future[Any] = loop.create_future()
        self._members.append(Member(work, sync, atomic, time.monotonic() + self._database.limit_s, done))
        if self._waiting is None:
            self._waiting = loop.call_soon(self._flush)
        try:
            return await done
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if done.cancelled() or task is None:
                raise
            task.uncancel()
            task.cancel()
            return done.result()

    def _flush(self) -> None:
        self._waiting = None
        members = [member for member in self._members if not member.done.done()]
        self._members = []
        if not members:
            return
        try:
            outcomes = self._together(members)
        except apsw.Error as error:
            if is_busy(error):
                self._wait(members)
                return
            outcomes = [self._alone(member) for member in members]
        except BaseException:
            # Ctrl-C: nothing was written, and those who wait are cancelled by whoever handles it.
            self._wait(members)
            raise
        self._pauses = None
        for member, outcome in zip(members, outcomes, strict=True):
            if outcome.error is None:
                member.done.set_result(outcome.value)
            else:
                member.done.set_exception(outcome.error)

    def _together(self, members: list[Member]) -> list[_Outcome]:
        if len(members) == 1:
            return [self._alone(members[0])]
        sync = any(member.sync for member in members)
        try:
            return self._database.transact(lambda connection: _all(connection, members), sync=sync)
        except _MemberFailed:
            return self._database.transact(lambda connection: _each(connection, members), sync=sync)

    def _alone(self, member: Member) -> _Outcome:
        try:
            return _Outcome(self._database.transact(member.work, sync=member.sync))
        except apsw.Error as error:
            if is_busy(error):
                raise
            return _Outcome(error=error)
        except Exception as error:  # noqa: BLE001 - it is raised where the write is awaited
            return _Outcome(error=error)

    def _wait(self, members: list[Member]) -> None:
        """Put ``members`` back in front, and try again later; those that have waited for too long are told."""
        now = time.monotonic()
        for member in members:
            if now >= member.until_s:
                member.done.set_exception(too_long(self._database.name, self._database.limit_s))
        self._members[:0] = [member for member in members if not member.done.done()]
        if self._pauses is None:
            self._pauses = pauses()
        if self._members and self._waiting is None:
            self._waiting = asyncio.get_running_loop().call_later(next(self._pauses), self._flush)


class _MemberFailed(Exception):
    """A member raised something of its own, and may have written before it did."""


def _all(connection: apsw.Connection, members: list[Member]) -> list[_Outcome]:
    outcomes = []
    for member in members:
        outcome = _caught(connection, member.work)
        if outcome.error is not None and not member.atomic:
            raise _MemberFailed
        outcomes.append(outcome)
    return outcomes


def _each(connection: apsw.Connection, members: list[Member]) -> list[_Outcome]:
    outcomes = []
    for member in members:
        connection.execute("SAVEPOINT member")
        outcome = _caught(connection, member.work)
        if outcome.error is not None:
            connection.execute("ROLLBACK TO member")
        connection.execute("RELEASE member")
        outcomes.append(outcome)
    return outcomes


def _caught(connection: apsw.Connection, work: Work) -> _Outcome:
    try:
        return _Outcome(work(connection))
    except Exception as error:
        if connection.getautocommit():
            # A full disk or an I/O error has rolled the whole transaction back.
            raise
        return _Outcome(error=error)
