"""A run that this process owns: one step after another, each attempt tried, classified, recorded.

``perform`` is the hot path. What a plain step costs beyond its own work is one context, one encoded state and one
commit; everything else (journal, retries, slices) is reached only when it is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import attrs

from loom_core.contracts.budgets import BUDGET_REASON
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.retries import Classification, RetryPolicy
from loom_core.contracts.stores import (
    AttemptRecord,
    CallRecord,
    ClaimedRun,
    ErrorRecord,
    RunStatus,
    RunWriter,
    Settlement,
    SignalRecord,
    Store,
)
from loom_core.errors import (
    BudgetExhausted,
    ErrorCategory,
    LeaseLost,
    StepExecutionError,
    StoreBusy,
    StoreUnusable,
    ValueNotEncodable,
)
from loom_core.runtime.context import RunContext
from loom_core.runtime.failures import to_record
from loom_core.runtime.journal import StepJournal
from loom_core.runtime.outcomes import Complete, Continue, Parked, RunCancelled, Sleep, Wait
from loom_core.runtime.shielding import is_requested, to_its_end
from loom_core.runtime.spending import Purse
from loom_core.runtime.stopping import StopRequest
from loom_core.runtime.waking import DURABLE_BACKOFF_S, Waiting, outcome_settlement, retry_settlement
from loom_core.runtime.wishes import Wishes

if TYPE_CHECKING:
    from loom_core.runtime.agent import Step
    from loom_core.runtime.services import Services
    from loom_core.values import Codec

Durability = Literal["standard", "strict", "pipelined"]
YIELD_EVERY_S = 0.005
_STORE_FAILED = (LeaseLost, StoreBusy, StoreUnusable)
_log = logging.getLogger("loom.runtime")


@attrs.frozen(kw_only=True)
class Left:
    """How a run was left: what its row says now."""

    status: RunStatus
    step_index: int
    state: Any = None
    result: Any = None
    reason: str | None = None
    error: ErrorRecord | None = None
    wake_at: float | None = None


@attrs.frozen(kw_only=True)
class Slice:
    """The limits of this invocation, as absolute values; None is no limit."""

    last_step: int | None = None
    until_s: float | None = None

    def allows(self, step_index: int) -> bool:
        """Return True if the step may still be executed."""
        return self.last_step is None or step_index <= self.last_step

    def seconds_left(self) -> float:
        """Return the seconds until the time is over, infinite without a limit."""
        return math.inf if self.until_s is None else max(0.0, self.until_s - time.monotonic())


class ActiveRun:
    """A claimed run being driven by one task. Not for sharing between tasks.

    ``broken`` is set when something of the run could not be written: it is then left as soon as possible, and nothing
    more is begun, retried or committed, because what is stored no longer says what happened.
    """

    def __init__(
        self,
        *,
        claimed: ClaimedRun,
        step: Step,
        store: Store,
        services: Services,
        state_codec: Codec,
        result_codec: Codec,
        retry_policy: RetryPolicy,
        stop: StopRequest,
        bounds: Slice,
        durability: Durability = "standard",
        attempts_spent: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run_id = claimed.record.run_id
        self.writer: RunWriter = claimed.writer
        self.store = store
        self.services = services
        self.signal: SignalRecord | None = claimed.signal
        self.timed_out = claimed.record.wake_signal if claimed.record.timed_out else None
        self.task = asyncio.current_task()
        self.broken: Exception | None = None
        self.input_text = claimed.state
        self.wishes = Wishes(claimed.writer.pending_controls, self.task, services.wall, self._look_up)
        self._calls: tuple[CallRecord, ...] = claimed.calls
        self._approvals: tuple[ApprovalRecord, ...] = claimed.approvals
        self._journal: StepJournal | None = None
        self._step_index = self._found_at = claimed.record.step_index
        self._attempt_index = claimed.record.attempt_index
        if claimed.calls or claimed.approvals:
            self._journal = StepJournal(self, self._step_index, claimed.calls, claimed.approvals)
        self._step = step
        self._encode = state_codec.encode
        self._decode = state_codec.decode
        self._result_codec = result_codec
        self._policy = retry_policy
        self._attempts_spent = attempts_spent
        self._stop = stop
        self.purse = Purse(self.run_id, store, claimed.budget, services.prices)
        # Where the budget ends; whatever ends first, this or the slice, is where the hot path looks up.
        self._budget_last_step, self._budget_until_s = self.purse.ends(self._step_index, monotonic())
        self._last_step = min(self._budget_last_step, sys.maxsize if bounds.last_step is None else bounds.last_step)
        self._until_s = min(self._budget_until_s, math.inf if bounds.until_s is None else bounds.until_s)
        self._strict = durability == "strict"
        self._later = durability == "pipelined"
        self._commit = claimed.writer.commit
        self._monotonic = monotonic
        self._left = False
        self._beside: set[asyncio.Task[None]] = set()
        self._pause_at = monotonic() + YIELD_EVERY_S

    # -- for the driver -------------------------------------------------------------------------------------------

    async def perform(self, state: Any, step_index: int) -> Any:
        """Execute a step until an attempt succeeds, and commit it.

        Returns its ``Continue`` if the run goes on, else a ``Left``. Raises the step's own exception when it failed
        for good, after that is recorded.
        """
        if self._journal is not None or self._attempt_index:
            outcome = await self._perform_again(state, step_index)
        else:
            context = RunContext(self, step_index, 0)
            try:
                outcome = await self._attempt(state, context)
            except BaseException as error:  # noqa: BLE001 - sorted out there, and raised again where it has to be
                outcome = await self._after_failure(error, context)
        if outcome.__class__ is Continue:
            now = self._monotonic()
            if now >= self._pause_at or step_index >= self._last_step or self._stop.requested:
                return await self._between_steps(step_index, outcome)
        return outcome

    async def before_first_step(self, state: Any) -> Left | None:
        """Return how the run was left if what was in its inbox allows no step; None if it goes on."""
        if self.wishes.cancellation is not None:
            return await self._cancel(None, self._step_index)
        if self.wishes.paused_by is not None:
            return await self._pause(self._step_index, state, f"person:{self.wishes.paused_by}")
        used_up = self.purse.used_up()
        if used_up is not None:
            return await self._pause(self._step_index, state, f"{BUDGET_REASON}{used_up}")
        return None

    async def abandon(self) -> None:
        """Give the run up where it stands: cancelled, Ctrl-C, or an error that is not the step's.

        The step under way is executed again by whoever resumes the run. Does nothing if the row was already left. A
        cancellation is delivered when that is written.
        """
        if not self._left:
            settlement = Settlement(step_index=self._step_index, status=self._stop.leaves, reason=self._stop.reason)
            await to_its_end(self._leave(settlement), last_word=True)

    # -- for the context and the journal --------------------------------------------------------------------------

    def open_journal(self, step_index: int) -> StepJournal:
        """Return the journal of the step under way."""
        if self._journal is None:
            self._journal = StepJournal(self, step_index)
        return self._journal

    @contextlib.contextmanager
    def breaking(self) -> Iterator[None]:
        """Note that the run is broken if a write of its journal fails."""
        try:
            yield
        except BudgetExhausted:
            # Nothing was written, and nothing is wrong: the run is paused.
            raise
        except Exception as error:
            self.broken = error
            raise

    def call_key(self, call: CallRecord) -> str:
        """Return the idempotency key that a tool or a model is given: unique over runs, the same for every try."""
        own = call.key if call.idempotency_key is not None else f"{call.step_index}/{call.key}"
        # A slash in a run id must not make two keys alike.
        return f"{quote(self.run_id, safe='')}/{own}"

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside the run; it is held here so that it is not collected in its middle."""
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._finished_beside)

    def _finished_beside(self, task: asyncio.Task[None]) -> None:
        self._beside.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("late evidence of run %s could not be kept: %s", self.run_id, error)

    # -- one attempt ----------------------------------------------------------------------------------------------

    async def _attempt(self, state: Any, context: RunContext) -> Any:
        """Execute the step once and commit its outcome."""
        outcome = await self._step(state, context)
        context.close()
        if self._journal is not None:
            await self._settle_calls(context)
        if outcome.__class__ is not Continue:
            return await self._conclude(outcome, context)
        encoded = self._encode(outcome.state)
        await self._commit(
            context.step_index, encoded, context.attempt_index, context.notes(), self._strict, self._later
        )
        self.input_text = encoded.text
        self._step_index = context.step_index + 1
        self._attempt_index = self._attempts_spent = 0
        self._journal = self.signal = self.timed_out = None
        return outcome

    async def _settle_calls(self, context: RunContext) -> None:
        """Let no outcome be committed over a call that is under way, in doubt, or not written."""
        assert self._journal is not None
        await self._journal.drain()
        if self.broken is not None:
            raise self.broken
        if context.parked is not None:
            # The step caught what should have left it; its outcome rests on a call that nobody knows the end of.
            raise context.parked

    async def _conclude(self, outcome: Any, context: RunContext) -> Left:
        """Commit an outcome that does not go on."""
        step_index = context.step_index
        if isinstance(outcome, Complete):
            result = self._result_codec.encode(outcome.result)
            await self._leave(
                Settlement(
                    step_index=step_index,
                    status="completed",
                    outcome="complete",
                    attempt_index=context.attempt_index,
                    result=result.text,
                    notes=context.notes(),
                )
            )
            return Left(
                status="completed",
                step_index=step_index + 1,
                state=self._decode(self.input_text),
                result=self._result_codec.decode(result.text),
            )
        if isinstance(outcome, (Sleep, Wait)):
            waiting, settlement = outcome_settlement(
                outcome,
                self._encode(outcome.state),
                self.services.world.now(),
                step_index=step_index,
                attempt_index=context.attempt_index,
                notes=context.notes(),
            )
            await self._leave(settlement)
            return _left_waiting(waiting, step_index + 1, outcome.state)
        raise StepExecutionError(
            f"step {step_index} returned {type(outcome).__name__}, which is no outcome",
            error_category=ErrorCategory.VALIDATION,
            hint="return Continue(state), Complete(result), Sleep(state, seconds=…) or Wait(state, signal=…)",
        )

    # -- further attempts -----------------------------------------------------------------------------------------

    async def _perform_again(self, state: Any, step_index: int, previous: RunContext | None = None) -> Any:
        """Execute a step that has calls or a failed attempt already."""
        # A failed attempt may have changed the state object, and an attempt must not see what another one did.
        fresh = state if previous is None else self._decode(self.input_text)
        # What was found with the run is of the step that it was found at, and of no later one.
        found = (self._calls, self._approvals) if step_index == self._found_at else ((), ())
        context = RunContext.again(self, step_index, self._attempt_index, found[0], previous, found[1])
        try:
            return await self._attempt(fresh, context)
        except BaseException as error:  # noqa: BLE001 - sorted out there, and raised again where it has to be
            return await self._after_failure(error, context)

    async def _after_failure(self, raised: BaseException, context: RunContext) -> Any:
        """Return what another attempt returns, or how the run was left; raise if it is left with the error."""
        if isinstance(raised, GeneratorExit):
            # The coroutine is being closed: nothing can be awaited any more.
            raise raised
        context.close()
        if self.broken is not None or isinstance(raised, _STORE_FAILED):
            raise raised
        if self.wishes.cancellation is not None and self._is_over(raised):
            return await self._cancel(raised, context.step_index)
        parked = context.parked or (raised if isinstance(raised, Parked) else None)
        if parked is not None:
            return await self._park(parked, raised, context.step_index)
        error = _as_failure(raised)
        if self._journal is not None:
            await self._journal.drain()
            if self.broken is not None:
                raise self.broken from error
            if context.parked is not None:
                return await self._park(context.parked, raised, context.step_index)
        delay_s = await self._record_failure(error, context)
        if delay_s is None:
            raise error
        if isinstance(delay_s, Left):
            return delay_s
        span_s = min(delay_s, self._until_s - self._monotonic())
        await self.wishes.nap(self._stop, span_s, self.services.world.sleep)
        if self.wishes.cancellation is not None:
            return await self._cancel(None, context.step_index)
        reason = self._reason_to_pause(context.step_index - 1)
        if reason is not None:
            return await self._pause(context.step_index, self._decode(self.input_text), reason)
        return await self._perform_again(None, context.step_index, context)

    async def _park(self, parked: Parked, raised: BaseException, step_index: int) -> Left:
        cancelled = isinstance(raised, asyncio.CancelledError) and is_requested(raised)
        interrupted = cancelled or isinstance(raised, KeyboardInterrupt)
        settlement = Settlement(
            step_index=step_index,
            status=parked.status,
            reason=parked.reason,
            wake_at=parked.wake_at,
            questions=parked.questions,
        )
        await to_its_end(self._leave(settlement), last_word=interrupted)
        if interrupted:
            raise raised
        return await self._left_now()

    async def _left_now(self) -> Left:
        """Return how the run stands now that it was parked; an answer may have come in that moment."""
        record = await self.store.get_run(self.run_id)
        state = self._decode(self.input_text)
        return Left(status=record.status, step_index=record.step_index, state=state, reason=record.reason)

    def _is_over(self, raised: BaseException) -> bool:
        """Return True if a cancelled run ends with this; Ctrl-C and a cancelled caller are raised all the same."""
        if isinstance(raised, (KeyboardInterrupt, asyncio.CancelledError)):
            return self.wishes.is_cut(raised) or not is_requested(raised)
        return True

    async def _cancel(self, raised: BaseException | None, step_index: int) -> Left:
        """End a run that somebody cancelled; what its step raised in cleaning up is kept with it."""
        self.wishes.close()
        if self._journal is not None:
            await self._journal.drain()
            if self.broken is not None:
                raise self.broken
        assert self.wishes.cancellation is not None
        reason = f"cancelled:{self.wishes.cancellation.by}"
        expected = raised is None or isinstance(raised, (RunCancelled, Parked, asyncio.CancelledError))
        error = None if expected or raised is None else to_record(raised, ErrorCategory.UNKNOWN)
        await self._leave(Settlement(step_index=step_index, status="cancelled", reason=reason, error=error))
        state = self._decode(self.input_text)
        return Left(status="cancelled", step_index=step_index, state=state, reason=reason, error=error)

    async def _record_failure(self, error: Exception, context: RunContext) -> Left | float | None:
        """Record a failed attempt; return the seconds until the next one, None if the run has failed with it.

        If the next one is further away than a process should wait, the run is left until then.
        """
        failure = self.services.classify(error)
        if isinstance(error, ValueNotEncodable):
            failure = Classification(category=ErrorCategory.VALIDATION, is_retryable=False)
        attempts = self._attempt_index - self._attempts_spent
        delay_s = self._policy.delay_s(attempts, failure, self.services.random())
        moment = self.services.world.now()
        now = moment.wall_s
        record = to_record(error, failure.category)
        attempt = AttemptRecord(
            step_index=context.step_index,
            attempt_index=self._attempt_index,
            epoch=self.writer.epoch,
            started_at=context.started_at if context.started_at is not None else now,
            ended_at=now,
            error=record,
            retry_at=None if delay_s is None else now + delay_s,
        )
        if delay_s is None:
            await self._leave(
                Settlement(
                    step_index=context.step_index,
                    status="failed",
                    attempt_index=self._attempt_index,
                    error=record,
                    attempt=attempt,
                )
            )
        elif delay_s > DURABLE_BACKOFF_S:
            waiting, settlement = retry_settlement(attempt, delay_s, moment)
            await self._leave(settlement)
            return _left_waiting(waiting, context.step_index, self._decode(self.input_text))
        else:
            await self.writer.fail_attempt(attempt)
            self._attempt_index += 1
        return delay_s

    # -- leaving --------------------------------------------------------------------------------------------------

    async def _between_steps(self, step_index: int, outcome: Continue[Any]) -> Any:
        """Let others have the event loop for a turn, and end the slice if it is used up or a stop was requested."""
        await asyncio.sleep(0)
        await self.wishes.look()
        if self.wishes.cancellation is not None:
            return await self._cancel(None, step_index + 1)
        self._pause_at = min(self._monotonic() + YIELD_EVERY_S, self._until_s)
        reason = self._reason_to_pause(step_index)
        return outcome if reason is None else await self._pause(step_index + 1, outcome.state, reason)

    def _reason_to_pause(self, last_step: int) -> str | None:
        if self.wishes.paused_by is not None:
            return f"person:{self.wishes.paused_by}"
        if self._stop.requested:
            return self._stop.reason
        if last_step >= self._last_step:
            return f"{BUDGET_REASON}steps" if last_step >= self._budget_last_step else "slice:steps"
        now = self._monotonic()
        if now < self._until_s:
            return None
        return f"{BUDGET_REASON}seconds" if now >= self._budget_until_s else "slice:seconds"

    async def _pause(self, step_index: int, state: Any, reason: str) -> Left:
        status: RunStatus = self._stop.leaves if reason == self._stop.reason else "paused"
        await self._leave(Settlement(step_index=step_index, status=status, reason=reason))
        return Left(status=status, step_index=step_index, state=state, reason=reason)

    async def _leave(self, settlement: Settlement) -> None:
        takes = self.wishes.fulfilled_by(settlement.status)
        if takes:
            settlement = attrs.evolve(settlement, takes=takes)
        await self.writer.settle(settlement)
        self._left = True

    def _look_up(self) -> None:
        """Have the next step that ends looked at: there is a wish."""
        self._pause_at = 0.0


def _left_waiting(waiting: Waiting, step_index: int, state: Any) -> Left:
    wake_at = None if waiting.wake is None else waiting.wake.wall_s
    return Left(status="waiting", step_index=step_index, state=state, reason=waiting.reason, wake_at=wake_at)


def _as_failure(raised: BaseException) -> Exception:
    """Return the failure of a step; raise what is none: a cancellation that was asked for, and Ctrl-C.

    ``sys.exit()`` in a step, and awaiting something that somebody else cancelled, are defects of the step: taken for a
    wish to stop, they would be met again by every resume.
    """
    if isinstance(raised, Exception):
        return raised
    if isinstance(raised, SystemExit):
        made = StepExecutionError(f"the step called sys.exit({raised.code!r})")
    elif isinstance(raised, asyncio.CancelledError) and not is_requested(raised):
        made = StepExecutionError("the step awaited something that was cancelled")
    else:
        raise raised
    made.__cause__ = raised
    return made
