"""The writer of one claim of one run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import apsw

from loom_core.contracts.retention import CheckpointPolicy, PayloadPolicy
from loom_core.contracts.stores import (
    AttemptRecord,
    CallEnd,
    CallIntent,
    CallRecord,
    EncodedState,
    Settlement,
    SignalRecord,
)
from loom_core.errors import LeaseLost, LoomError
from loom_core.history import HistoryEncoder
from loom_store_sqlite import approvals, inbox, journal, payloads, settling, timers
from loom_store_sqlite.beats import Beats, StoreClosed
from loom_store_sqlite.claims import Claim
from loom_store_sqlite.database import Database
from loom_store_sqlite.faults import damaged, is_busy
from loom_store_sqlite.gaps import Thinning
from loom_store_sqlite.messages import Conversation
from loom_store_sqlite.payloads import INLINE_CHARS
from loom_store_sqlite.pipeline import SECONDS_S, Pipeline, Waiting
from loom_store_sqlite.rows import encode_error
from loom_store_sqlite.schema import COMMIT_STATEMENT

_FENCED: Final = apsw.SQLITE_CONSTRAINT_TRIGGER


class SQLiteWriter:
    """Writes a run under the fence of one claim. See ``RunWriter`` for what each method promises."""

    __slots__ = (
        "_base",
        "_beats",
        "_boot",
        "_calls",
        "_clocks",
        "_conversation",
        "_database",
        "_ended",
        "_enter",
        "_epoch",
        "_execute",
        "_failure",
        "_fence",
        "_flushing",
        "_inline",
        "_inline_chars",
        "_lease_s",
        "_leave",
        "_pipeline",
        "_push",
        "_renewed_s",
        "_run_no",
        "_signal_id",
        "_step_index",
        "_thinning",
        "_thins_at",
        "_timer",
        "_wall",
        "_woken",
    )

    def __init__(self, claim: Claim, database: Database, beats: Beats, encoder: HistoryEncoder) -> None:
        fence = claim.fence
        self._fence = fence
        self._database = database
        self._ended = False
        self._pipeline = Pipeline()
        self._timer: asyncio.TimerHandle | None = None
        self._failure: LoomError | None = None
        self._flushing = asyncio.Lock()
        database.writers += 1
        self._beats = beats
        self._push = encoder.push
        self._calls = {(c.step_index, c.key, c.try_index): row_id for row_id, c in claim.calls}
        self._conversation = Conversation(fence.run_no)
        self._signal_id = None if claim.signal is None else claim.signal.signal_id
        self._step_index = claim.record.step_index
        self._thinning: Thinning | None = None
        self._thins_at = -1
        self._inline: int | None = None
        self._inline_chars = INLINE_CHARS
        woken = claim.record.wake_signal is not None or claim.record.wake_at is not None
        # What the next commit has to do beside its one statement: consume what woke the step, withdraw its questions.
        self._woken = woken or claim.asks
        # Copies, because the hot path reads them at every step.
        self._execute = database.execute
        self._enter, self._leave = database.turnstile.enter, database.turnstile.leave
        self._run_no, self._epoch, self._base, self._lease_s = fence.run_no, fence.epoch, fence.base, fence.lease_s
        self._wall, self._boot = fence.clocks.wall, fence.clocks.boot
        self._clocks = fence.clocks
        self._renewed_s = self._clocks.steady_s()

    @property
    def run_id(self) -> str:
        """The run."""
        return self._fence.run_id

    @property
    def epoch(self) -> int:
        """The epoch of the claim."""
        return self._epoch

    def keep_to(self, checkpoints: CheckpointPolicy, payloads: PayloadPolicy) -> None:
        """Thin the history and store large texts as these say; to be called before the first write."""
        if checkpoints.period:
            self._thinning = Thinning(checkpoints, self._step_index)
            self._thins_at = self._thinning.at
        self._inline = payloads.max_inline_bytes
        if self._inline is not None:
            # No character takes more than four bytes, so that what is longer than this is looked at closely.
            self._inline_chars = self._inline // 4

    async def commit(
        self,
        step_index: int,
        state: EncodedState,
        attempt_index: int = 0,
        notes: str | None = None,
        sync: bool = False,
        later: bool = False,
    ) -> None:
        """Record that a step ended in ``Continue(state)``: one statement, and so one transaction."""
        is_plain = (
            not self._woken and step_index != self._thins_at and (notes is None or len(notes) <= self._inline_chars)
        )
        if later and is_plain:
            form, body = self._push(state)
            waiting = Waiting(
                self._base + step_index + 2, attempt_index, self._epoch, self._wall(), state[1], form, body, notes
            )
            if self._pipeline.add(step_index, waiting) or self._failure is not None:
                try:
                    await self.flush()
                except BaseException:
                    # What is raised here has not been committed, and is not to be written later either.
                    self._pipeline.take_back(waiting)
                    self._forget_history()
                    raise
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(SECONDS_S, self._flush_behind)
            return
        if self._pipeline.rows or self._failure is not None:
            await self.flush()
        if not is_plain:
            await self._commit_more(step_index, state, attempt_index, notes, sync)
            return
        form, body = self._push(state)
        at = self._wall()
        boot_s = self._boot()
        lease_s = self._lease_s
        database = self._database
        row = (
            self._run_no,
            self._epoch,
            step_index,
            at + lease_s,
            None if boot_s is None else boot_s + lease_s,
            self._base + step_index + 2,
            attempt_index,
            at,
            state[1],
            form,
            body,
            notes,
        )
        try:
            if database.writers > 1:
                await self._commit_with_others(row, sync)
            else:
                self._enter()
                try:
                    if sync is not database.full:
                        database.set_sync(sync)
                    self._execute(COMMIT_STATEMENT, row)
                finally:
                    self._leave()
        except apsw.Error as error:
            await self._commit_again(error, step_index, state, attempt_index, notes, sync, form, body)
        self._renewed_s = at if boot_s is None else boot_s

    async def flush(self) -> None:
        """Write the steps that wait; they are on disk with the next synced write, whoever's it is."""
        if not self._pipeline.rows and self._failure is None and not self._flushing.locked():
            return
        # Two branches may come at the same time, and neither may write its intent before what it rests on.
        async with self._flushing:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        rows = self._pipeline.rows
        if not rows:
            return
        now_s = self._clocks.steady_s()
        try:
            await self._database.write(lambda c: self._pipeline.write(c, self._fence, rows), sync=False)
        except BaseException:
            self._forget_history()
            raise
        self._renewed_s = now_s
        self._pipeline.rows = []

    async def settle(self, settlement: Settlement) -> None:
        """End, park or pause the run and release the lease."""
        try:
            await self._settle(settlement)
        finally:
            # Also of a run that was lost: nothing but another attempt at this is written for it any more.
            self._end()

    async def _settle(self, settlement: Settlement) -> None:
        await self.flush()
        part = None
        thins = settlement.step_index == self._thins_at and settlement.outcome is not None
        if settlement.outcome is not None and settlement.state is not None and not thins:
            part = self._push(settlement.state)
        prepared = settling.prepare(settlement, part, self._inline)
        signal_id = self._signal_id if self._woken else None

        def work(connection: apsw.Connection) -> None:
            thinned = prepared
            if thins and settlement.state is not None and self._thinning is not None:
                _, form, body = self._thinning.encode(connection, self._run_no, settlement.step_index, settlement.state)
                thinned = settling.with_state(prepared, form, body)
            settling.settle(connection, self._fence, thinned, signal_id)

        try:
            await self._database.write(work)
        except BaseException:
            self._forget_history()
            raise

    async def begin_call(self, intent: CallIntent) -> None:
        """Record the intent of a managed call."""
        await self.flush()
        prepared = journal.prepare_intent(intent, self._inline)
        row_id, nodes = await self._write(lambda c: journal.begin(c, self._fence, prepared, self._conversation))
        self._calls[intent.step_index, intent.key, intent.try_index] = row_id
        if nodes:
            self._conversation.remember(intent.messages, nodes)

    async def end_call(self, end: CallEnd) -> None:
        """Record how a managed call ended."""
        await self.flush()
        prepared = journal.prepare_end(end, self._inline)
        row_id = self._calls.get((end.step_index, end.key, end.try_index))
        await self._write(lambda c: journal.finish(c, self._fence, prepared, row_id))

    async def fail_attempt(self, attempt: AttemptRecord) -> None:
        """Record a failed attempt that will be followed by another one."""
        await self.flush()
        error = payloads.prepare(encode_error(attempt.error), self._inline)

        def work(connection: apsw.Connection) -> None:
            self._fence.renew(connection, "attempt_index = attempt_index + 1, failed_attempts = failed_attempts + 1")
            settling.insert_attempt(connection, self._fence, attempt, error)

        await self._write(work)

    async def read_call(self, idempotency_key: str) -> CallRecord | None:
        """Return the newest call of the run with this key of the user's."""
        run_no = self._run_no
        return await self._database.read(lambda c: journal.with_idempotency_key(c, run_no, idempotency_key))

    async def pending_controls(self) -> Sequence[SignalRecord]:
        """Return the wishes of people that nothing has taken up."""
        run_no = self._run_no
        return await self._database.read(lambda c: inbox.pending_controls(c, run_no))

    def lease_age_s(self) -> float:
        """Return the seconds since the last successful write."""
        return self._clocks.steady_s() - self._renewed_s

    def beat(self) -> bool:
        """Renew the lease from another thread."""
        now_s = self._clocks.steady_s()
        try:
            self._beats.renew(self._fence)
        except (LeaseLost, StoreClosed):
            return False
        except LoomError:
            # Not renewed, but not lost: the next beat tries again, and the run's own next write says what is wrong.
            return True
        self._renewed_s = now_s
        return True

    async def _write(self, work: Any) -> Any:
        now_s = self._clocks.steady_s()
        result = await self._database.write(work)
        self._renewed_s = now_s
        return result

    async def _commit_with_others(self, row: tuple[Any, ...], sync: bool) -> None:
        try:
            await self._database.group.write(lambda c: c.execute(COMMIT_STATEMENT, row), sync=sync, atomic=True)
        except (LoomError, asyncio.CancelledError):
            self._forget_history()
            raise

    async def _commit_again(
        self,
        error: apsw.Error,
        step_index: int,
        state: EncodedState,
        attempt_index: int,
        notes: str | None,
        sync: bool,
        form: int,
        body: bytes,
    ) -> None:
        """Find out why the commit failed: raise, or commit with patience if somebody held the lock."""
        step = settling.StepRow(step_index, "continue", attempt_index, state.digest, form, body, notes)
        try:
            if getattr(error, "extendedresult", None) == _FENCED:
                raise self._fence.lost() from None
            if isinstance(error, apsw.ConstraintError):
                raise damaged(
                    self._database.name, f"step {step_index} of run `{self.run_id}` is there already"
                ) from error
            if not is_busy(error):
                raise self._database.error(error) from error
            await self._insert(step, sync=sync)
        except BaseException:
            self._forget_history()
            raise

    async def _commit_more(
        self,
        step_index: int,
        state: EncodedState,
        attempt_index: int,
        notes: str | None,
        sync: bool,
    ) -> None:
        """Commit a step that also consumes what woke it, thins the history, or has longer notes."""
        thinning = self._thinning if step_index == self._thins_at else None
        form, body = (0, b"") if thinning is not None else self._push(state)
        prepared = payloads.prepare(notes, self._inline)
        step = settling.StepRow(step_index, "continue", attempt_index, state.digest, form, body, prepared)
        try:
            await self._insert(step, sync=sync, thinned=state if thinning is not None else None)
        except BaseException:
            self._forget_history()
            raise
        self._woken = False
        if thinning is not None:
            thinning.move_on()
            self._thins_at = thinning.at

    async def _insert(self, step: settling.StepRow, *, sync: bool, thinned: EncodedState | None = None) -> None:
        """Insert a step; ``thinned`` is its state where this is a step that thins the history."""
        woken = self._woken

        def work(connection: apsw.Connection) -> HistoryEncoder | None:
            lease = self._fence.lease()
            self._fence.guarded(
                connection,
                "step_index = step_index + 1, attempt_index = 0, wake_signal = NULL, wake_at = NULL,"
                " lease_wall_s = ?, lease_boot_s = ?, updated_at = ?",
                (lease.wall_s, lease.boot_s, self._wall()),
                step_index=step.step_index,
            )
            row, encoder = step, None
            if thinned is not None and self._thinning is not None:
                encoder, form, body = self._thinning.encode(connection, self._run_no, step.step_index, thinned)
                row = step._replace(form=form, body=body)
            settling.insert_step(connection, self._fence, row)
            if woken:
                timers.forget(connection, self._run_no)
                settling.consume(connection, self._fence, self._signal_id, step.step_index)
                approvals.withdraw(connection, self._run_no, self._wall())
            return encoder

        now_s = self._clocks.steady_s()
        encoder = await self._database.write(work, sync=sync)
        self._renewed_s = now_s
        if encoder is not None:
            self._push = encoder.push

    def _flush_behind(self) -> None:
        """Write the steps that wait although the run is in the middle of a longer one."""
        self._timer = None
        rows = self._pipeline.rows
        if not rows or self._flushing.locked():
            return
        try:
            self._database.transact(lambda c: self._pipeline.write(c, self._fence, rows), sync=False)
        except apsw.Error as error:
            if is_busy(error):
                self._timer = asyncio.get_running_loop().call_later(SECONDS_S, self._flush_behind)
                return
            self._failure = self._database.error(error)
        except LoomError as error:
            self._failure = error
        else:
            self._pipeline.rows = []

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._database.writers -= 1

    def _forget_history(self) -> None:
        # What was pushed is not stored, so the next state must not be a difference to it.
        self._push = HistoryEncoder().push
