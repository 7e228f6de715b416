"""The store: one SQLite file, opened for writing or for reading only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw

from loom_core.contracts.budgets import Budget, BudgetRecord
from loom_core.contracts.people import ApprovalAnswer, ApprovalRecord, Person
from loom_core.contracts.schedules import ScheduleRecord
from loom_core.contracts.stores import (
    Admit,
    AttemptRecord,
    CallRecord,
    CallStatus,
    ClaimedRun,
    ClaimRecord,
    Finding,
    NewRun,
    Owner,
    Ready,
    RunRecord,
    RunStatus,
    SignalRecord,
    StepRecord,
)
from loom_core.contracts.timers import Moment
from loom_core.errors import BadInput, StoreBusy, StoreUnusable
from loom_core.history import HistoryEncoder
from loom_store_sqlite import approvals, budgets, claimable, claims, inbox, journal, payloads, schedules
from loom_store_sqlite.beats import Beats
from loom_store_sqlite.busy import LIMIT_S, patiently, patiently_blocking
from loom_store_sqlite.clocks import Clocks
from loom_store_sqlite.database import Database
from loom_store_sqlite.files import DatabaseFile, locate
from loom_store_sqlite.identity import check_created, check_readable, identify
from loom_store_sqlite.opening import open_for_writing
from loom_store_sqlite.reader import Reader
from loom_store_sqlite.snapshot import Snapshot
from loom_store_sqlite.turnstile import Turnstile
from loom_store_sqlite.verification import Checks, check_file, check_run, check_runs, damage
from loom_store_sqlite.writer import SQLiteWriter

T = TypeVar("T")

_YIELD_EVERY_S = 0.005


class SQLiteStore:
    """Durable runs in one file. See ``Store`` for what each method promises.

    ``database`` is None in a store that was opened for reading: then every question opens the file anew, because a
    connection that stays would keep the last writer from folding its log into the file.
    """

    def __init__(self, file: DatabaseFile, database: Database | None, clocks: Clocks, limit_s: float) -> None:
        self._file = file
        self._database = database
        self._clocks = clocks
        self._limit_s = limit_s
        self._beats = Beats(file, Turnstile(file) if database is None else database.turnstile)
        self._closed = False

    @classmethod
    def open(
        cls, location: str, mode: str, *, clocks: Clocks | None = None, busy_limit_s: float = LIMIT_S
    ) -> SQLiteStore:
        """Open the database at a path; ``mode`` is ``read``, ``write`` or ``create``.

        Raises ``StoreUnusable`` for what is missing, not ours, damaged, newer or not writable, with nothing changed,
        and ``StoreBusy``. Blocks only while another process creates or migrates the file.
        """
        if mode not in ("read", "write", "create"):
            raise BadInput(f"a store is opened to read, write or create, not to `{mode}`")
        file = locate(location)
        clocks = clocks or Clocks()
        if mode == "read":
            store = cls(file, None, clocks, busy_limit_s)
            patiently_blocking(lambda: store._look(lambda _: None), file.name, busy_limit_s)
            return store
        connection = open_for_writing(file, may_create=mode == "create", limit_s=busy_limit_s)
        return cls(file, Database(connection, file, busy_limit_s), clocks, busy_limit_s)

    @property
    def location(self) -> str:
        """The path as it was given."""
        return self._file.name

    async def create_run(self, new: NewRun, owner: Owner, lease_s: float) -> ClaimedRun:
        """Create a run, claimed by ``owner``."""
        encoder = HistoryEncoder()
        first = encoder.push(new.state)
        clocks, name = self._clocks, self._file.name
        claim = await self._writing().write(lambda c: claims.create(c, new, first, owner, lease_s, clocks, name))
        return self._claimed(claim, encoder)

    async def claim(self, run_id: str, owner: Owner, lease_s: float, admit: Admit) -> ClaimedRun:
        """Claim a run if ``admit`` agrees."""
        clocks, name = self._clocks, self._file.name
        claim = await self._writing().write(lambda c: claims.claim(c, run_id, owner, lease_s, admit, clocks, name))
        return self._claimed(claim, HistoryEncoder.resume(claim.state.text, claim.state.distance))

    async def send_signal(self, run_id: str, name: str, payload: str, *, sender: Person | None = None) -> SignalRecord:
        """Append to the run's inbox."""
        prepared = payloads.prepare(payload)
        return await self._writing().write(
            lambda c: inbox.append(c, self._reader(c).run_no(run_id), name, prepared, self._clocks.wall(), sender)
        )

    async def answer_approval(self, run_id: str, approval_id: str, answer: ApprovalAnswer) -> ApprovalRecord:
        """Record a person's answer."""
        return await self._writing().write(
            lambda c: approvals.answer(
                c, self._reader(c).run_no(run_id), run_id, approval_id, answer, self._clocks.wall()
            )
        )

    async def keep_late_result(self, run_id: str, step_index: int, key: str, try_index: int, text: str) -> None:
        """Keep what a call returned after its end was recorded."""
        prepared = payloads.prepare(text)
        await self._writing().write(
            lambda c: journal.keep_late(c, self._reader(c).run_no(run_id), run_id, step_index, key, try_index, prepared)
        )

    async def find_claimable(
        self, agents: Sequence[str], now: Moment, ready: Ready, *, limit: int = 16
    ) -> Sequence[RunRecord]:
        """Return runs of these agents that ``ready`` says can be claimed."""
        return await self._ask(lambda c: claimable.find(c, self._reader(c), agents, now, ready, limit))

    async def save_schedule(self, schedule: ScheduleRecord) -> bool:
        """Store a schedule if nobody has changed it in the meantime."""
        return await self._writing().write(lambda c: schedules.save(c, schedule))

    async def remove_schedule(self, name: str) -> bool:
        """Remove a schedule."""
        return await self._writing().write(lambda c: schedules.remove(c, name))

    async def list_schedules(self) -> Sequence[ScheduleRecord]:
        """Return all schedules, by name."""
        return await self._ask(schedules.listed)

    async def get_run(self, run_id: str) -> RunRecord:
        """Return the run's own row."""
        return await self._read(lambda r: r.run(run_id))

    async def list_runs(
        self, *, limit: int = 50, offset: int = 0, status: RunStatus | None = None, agent: str | None = None
    ) -> Sequence[RunRecord]:
        """Return runs, the newest first."""
        return await self._read(lambda r: r.runs(limit=limit, offset=offset, status=status, agent=agent))

    async def get_steps(
        self, run_id: str, *, first: int = -1, limit: int = 100, states: bool = False
    ) -> Sequence[StepRecord]:
        """Return committed steps from step ``first`` on."""
        return await self._read(lambda r: r.steps(run_id, first=first, limit=limit, with_states=states))

    async def get_state(self, run_id: str, step_index: int | None = None) -> str:
        """Return the state that a step starts with; None: the last one that there is."""
        return await self._read(lambda r: r.state(run_id, step_index))

    async def get_attempts(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[AttemptRecord]:
        """Return failed attempts in their order."""
        return await self._read(lambda r: r.attempts(run_id, limit=limit, offset=offset))

    async def get_calls(
        self, run_id: str, *, limit: int = 100, offset: int = 0, status: CallStatus | None = None, newest: bool = False
    ) -> Sequence[CallRecord]:
        """Return managed calls in the order of their intents, or the newest first."""
        return await self._read(lambda r: r.calls(run_id, limit=limit, offset=offset, status=status, newest=newest))

    async def get_messages(self, run_id: str, call: CallRecord) -> Sequence[str]:
        """Return the messages that a model call was made with."""
        return await self._read(lambda r: r.messages(run_id, call))

    async def get_signals(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[SignalRecord]:
        """Return the inbox in its order."""
        return await self._read(lambda r: r.signals(run_id, limit=limit, offset=offset))

    async def add_budget(self, run_id: str, more: Budget) -> BudgetRecord:
        """Raise limits of a run's budget."""

        def work(connection: apsw.Connection) -> BudgetRecord:
            reader = self._reader(connection)
            run_no = reader.run_no(run_id)
            return budgets.add(connection, reader.run_numbered(run_no), run_no, more, self._clocks.wall())

        return await self._writing().write(work)

    async def get_budget(self, run_id: str) -> BudgetRecord | None:
        """Return the budget that a run draws from."""
        return await self._read(lambda r: r.budget(run_id))

    async def get_approvals(
        self, run_id: str | None = None, *, pending: bool = False, limit: int = 100, offset: int = 0
    ) -> Sequence[ApprovalRecord]:
        """Return questions in the order in which they were asked."""
        now = self._clocks.wall()
        return await self._read(lambda r: r.approvals(run_id, pending=pending, now=now, limit=limit, offset=offset))

    async def get_claims(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[ClaimRecord]:
        """Return claims in their order."""
        return await self._read(lambda r: r.claims(run_id, limit=limit, offset=offset))

    async def verify(self, run_id: str | None = None) -> Sequence[Finding]:
        """Check what is stored against itself, in a snapshot that keeps no run from going on."""
        self._check_open()

        async def attempt() -> list[Finding]:
            check_created(self._file)
            with Snapshot(self._file) as snapshot:
                check_readable(identify(snapshot.connection), self._file.name)
                return await _drained(self._checks(snapshot.connection, run_id))

        for _ in range(10):
            try:
                return await attempt()
            except apsw.BusyError:
                await asyncio.sleep(0.05)
            except apsw.Error as error:
                return [_unreadable(run_id, error)]
        raise StoreBusy(f"{self._file.name} changed each time it was read", hint="verify it again when it is less busy")

    def protected_files(self) -> frozenset[tuple[int, int]]:
        """Return (device, inode) of the file and of those that SQLite keeps beside it."""
        return frozenset() if self._closed else self._file.identities()

    async def aclose(self) -> None:
        """Close every connection; may be called again."""
        self._closed = True
        self._beats.close()
        if self._database is not None:
            self._database.close()

    def _claimed(self, claim: claims.Claim, encoder: HistoryEncoder) -> ClaimedRun:
        return ClaimedRun(
            record=claim.record,
            state=claim.state.text,
            calls=tuple(call for _, call in claim.calls),
            signal=claim.signal,
            approvals=claim.approvals,
            controls=claim.controls,
            budget=claim.budget,
            writer=SQLiteWriter(claim, self._writing(), self._beats, encoder),
        )

    def _reader(self, connection: apsw.Connection) -> Reader:
        return Reader(connection, self._file.name)

    async def _read(self, question: Callable[[Reader], T]) -> T:
        return await self._ask(lambda c: question(self._reader(c)))

    async def _ask(self, question: Callable[[apsw.Connection], T]) -> T:
        self._check_open()
        if self._database is not None:
            return await self._database.read(question)
        return await patiently(lambda: self._look(question), self._file.name, self._limit_s)

    def _look(self, question: Callable[[apsw.Connection], T]) -> T:
        check_created(self._file)
        with Snapshot(self._file) as snapshot:
            check_readable(identify(snapshot.connection), self._file.name)
            return question(snapshot.connection)

    def _checks(self, connection: apsw.Connection, run_id: str | None) -> Checks:
        if run_id is not None:
            yield from check_run(connection, self._file.name, self._reader(connection).run_no(run_id))
            return
        yield from check_file(connection)
        yield from check_runs(connection, self._file.name)

    def _writing(self) -> Database:
        self._check_open()
        if self._database is None:
            raise StoreUnusable(f"{self._file.name} was opened for reading only")
        return self._database

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnusable(f"{self._file.name} was closed by this program and cannot be used any more")


async def _drained(checks: Checks) -> list[Finding]:
    found: list[Finding] = []
    yield_at = time.monotonic() + _YIELD_EVERY_S
    for finding in checks:
        if finding is not None:
            found.append(finding)
        if time.monotonic() > yield_at:
            await asyncio.sleep(0)
            yield_at = time.monotonic() + _YIELD_EVERY_S
    return found


def _unreadable(run_id: str | None, error: apsw.Error) -> Finding:
    if isinstance(error, apsw.CorruptError):
        return damage(run_id, str(error))
    return Finding(
        run_id=run_id,
        where="file",
        what=f"it cannot be read to its end: {error}",
        meaning="nothing of it could be verified; check the disk (dmesg), and keep a copy of the file",
    )
