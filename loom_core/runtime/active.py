"""A run that this process owns: one step after another, each attempt tried, classified, recorded.

``perform`` is the hot path. What a plain step costs beyond its own work is one context, one encoded state and one
commit; everything else (journal, retries, slices) is reached only when it is needed.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import attrs

from loom_core.contracts.retries import Classification, RetryPolicy
from loom_core.contracts.stores import (
    AttemptRecord,
    CallRecord,
    ClaimedRun,
    EncodedState,
    ErrorRecord,
    RunStatus,
    RunWriter,
    Settlement,
    SignalRecord,
    Store,
)
from loom_core.errors import ErrorCategory, LeaseLost, StepExecutionError, StoreBusy, ValueNotEncodable
from loom_core.runtime.context import RunContext
from loom_core.runtime.failures import to_record
from loom_core.runtime.outcomes import Complete, Continue, Parked, Wait
from loom_core.runtime.stopping import StopRequest

if TYPE_CHECKING:
    from loom_core.runtime.agent import Step
    from loom_core.runtime.services import Services
    from loom_core.values import Codec

YIELD_EVERY_S = 0.005


@attrs.frozen(kw_only=True)
class Left:
    """How a run was left: what its row says now."""

    status: RunStatus
    step_index: int
    state: Any = None
    result: Any = None
    reason: str | None = None
    error: ErrorRecord | None = None


@attrs.frozen(kw_only=True)
class Slice:
    """The limits of this invocation, as absolute values; None is no limit."""

    last_step: int | None = None
    until_s: float | None = None


class ActiveRun:
    """A claimed run being driven by one task. Not for sharing between tasks."""

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
        strict: bool = False,
        attempts_spent: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run_id = claimed.record.run_id
        self.writer: RunWriter = claimed.writer
        self.store = store
        self.services = services
        self.signal: SignalRecord | None = claimed.signal
        self.task = asyncio.current_task()
        self._input_text = claimed.state
        self._earlier_calls: tuple[CallRecord, ...] = claimed.calls
        self._attempt_index = claimed.record.attempt_index
        self._step = step
        self._encode = state_codec.encode
        self._decode = state_codec.decode
        self._result_codec = result_codec
        self._policy = retry_policy
        self._attempts_spent = attempts_spent
        self._stop = stop
        self._last_step = sys.maxsize if bounds.last_step is None else bounds.last_step
        self._until_s = math.inf if bounds.until_s is None else bounds.until_s
        self._strict = strict
        self._commit = claimed.writer.commit
        self._monotonic = monotonic
        self._left = False
        self._step_index = claimed.record.step_index
        self._beside: set[asyncio.Task[None]] = set()
        self._pause_at = monotonic() + YIELD_EVERY_S

    async def perform(self, state: Any, step_index: int) -> Any:
        """Execute a step until an attempt succeeds, and commit it.

        Returns its ``Continue`` if the run goes on, else a ``Left``. Raises the step's own exception when it failed
        for good, after that is recorded.
        """
        if self._earlier_calls or self._attempt_index:
            return await self._perform_again(state, step_index)
        context = RunContext(self, step_index, 0)
        try:
            outcome = await self._step(state, context)
            if outcome.__class__ is Continue and context.parked is None:
                encoded = self._encode(outcome.state)
                await self._commit(step_index, encoded, 0, context.notes(), self._strict)
                context.close()
            else:
                return await self._conclude(outcome, context)
        except BaseException as error:  # noqa: BLE001 - sorted out, and raised again, in _sort_out
            context.close()
            await self._sort_out(error, context)
            return await self._perform_again(None, step_index, context)
        self._input_text = encoded.text
        self._step_index = step_index + 1
        self.signal = None
        now = self._monotonic()
        if now >= self._pause_at or step_index >= self._last_step or self._stop.requested:
            return await self._between_steps(step_index, outcome)
        return outcome

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside the run; it is held here so that it is not collected in its middle."""
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    @property
    def input_text(self) -> str:
        """The encoded state that the step under way started with."""
        return self._input_text

    async def abandon(self) -> None:
        """Give the run up where it stands: cancelled, Ctrl-C, or an error that is not the step's.

        The step under way is executed again by whoever resumes the run. Does nothing if the row was already left.
        """
        if not self._left:
            await self._leave(Settlement(step_index=self._step_index, status="paused", reason="interrupt"))

    async def _leave(self, settlement: Settlement) -> None:
        await self.writer.settle(settlement)
        self._left = True

    async def _perform_again(self, state: Any, step_index: int, previous: RunContext | None = None) -> Any:
        """Execute a step that has calls or failed attempts already; the same as ``perform``, at leisure."""
        calls = self._earlier_calls
        self._earlier_calls = ()
        while True:
            if previous is not None:
                if self._stop.requested:
                    return await self._pause(step_index, self._decode(self._input_text), "interrupt")
                calls = previous.all_calls()
            # A failed attempt may have changed the state object, and an attempt must not see what another one did.
            fresh = self._decode(self._input_text) if previous is not None else state
            context = RunContext.again(self, step_index, self._attempt_index, calls, previous)
            try:
                outcome = await self._step(fresh, context)
                if outcome.__class__ is not Continue or context.parked is not None:
                    return await self._conclude(outcome, context)
                encoded = self._encode(outcome.state)
                await self._commit(step_index, encoded, self._attempt_index, context.notes(), self._strict)
            except BaseException as error:  # noqa: BLE001 - sorted out, and raised again, in _sort_out
                context.close()
                await self._sort_out(error, context)
                previous = context
                continue
            context.close()
            self._attempt_index = self._attempts_spent = 0
            self._input_text = encoded.text
            self._step_index = step_index + 1
            self.signal = None
            return await self._between_steps(step_index, outcome)

    async def _between_steps(self, step_index: int, outcome: Continue[Any]) -> Any:
        """Let others have the event loop for a turn, and end the slice if it is used up or a stop was requested."""
        await asyncio.sleep(0)
        now = self._monotonic()
        self._pause_at = min(now + YIELD_EVERY_S, self._until_s)
        reason = None
        if self._stop.requested:
            reason = "interrupt"
        elif step_index >= self._last_step:
            reason = "slice:steps"
        elif now >= self._until_s:
            reason = "slice:seconds"
        return outcome if reason is None else await self._pause(step_index + 1, outcome.state, reason)

    async def _conclude(self, outcome: Any, context: RunContext) -> Left:
        """Commit an outcome that does not simply go on."""
        if context.parked is not None:
            # The step caught the signal that should have left it; its outcome rests on a call that nobody knows the
            # end of.
            raise context.parked
        context.close()
        step_index = context.step_index
        if isinstance(outcome, Complete):
            result = self._result_codec.encode(outcome.result)
            await self._settle(context, outcome="complete", status="completed", result=result.text)
            return Left(
                status="completed",
                step_index=step_index + 1,
                state=self._decode(self._input_text),
                result=self._result_codec.decode(result.text),
            )
        if isinstance(outcome, Wait):
            reason = f"signal:{outcome.signal}"
            encoded = self._encode(outcome.state)
            await self._settle(
                context, outcome="wait", status="waiting", reason=reason, state=encoded, wake_signal=outcome.signal
            )
            return Left(status="waiting", step_index=step_index + 1, state=outcome.state, reason=reason)
        raise StepExecutionError(
            f"step {step_index} returned {type(outcome).__name__}, which is no outcome",
            error_category=ErrorCategory.VALIDATION,
            hint="return Continue(state), Complete(result) or Wait(state, signal=…)",
        )

    async def _sort_out(self, error: BaseException, context: RunContext) -> None:
        """Return if another attempt follows (after its delay); raise otherwise, with the run's row saying why."""
        step_index = context.step_index
        parked = context.parked or (error if isinstance(error, Parked) else None)
        if parked is not None and not isinstance(error, (LeaseLost, StoreBusy)):
            await self._leave(Settlement(step_index=step_index, status="waiting", reason=parked.reason))
            state = self._decode(self._input_text)
            left = Left(status="waiting", step_index=step_index, state=state, reason=parked.reason)
            raise LeftByParking(left) from None
        if isinstance(error, (LeaseLost, StoreBusy)):
            raise error
        if not isinstance(error, Exception):
            raise error
        failure = self.services.classify(error)
        if isinstance(error, ValueNotEncodable):
            failure = Classification(category=ErrorCategory.VALIDATION, is_retryable=False)
        delay_s = self._policy.delay_s(self._attempt_index - self._attempts_spent, failure, self.services.random())
        await self._record_failure(error, failure, context, delay_s)
        if delay_s is None:
            raise error
        await self._stop.wait(delay_s)

    async def _record_failure(
        self, error: Exception, failure: Classification, context: RunContext, delay_s: float | None
    ) -> None:
        now = self.services.wall()
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
            return
        await self.writer.fail_attempt(attempt)
        self._attempt_index += 1

    async def _settle(
        self,
        context: RunContext,
        *,
        outcome: Any,
        status: RunStatus,
        reason: str | None = None,
        state: EncodedState | None = None,
        wake_signal: str | None = None,
        result: str | None = None,
    ) -> None:
        await self._leave(
            Settlement(
                step_index=context.step_index,
                status=status,
                reason=reason,
                outcome=outcome,
                attempt_index=self._attempt_index,
                state=state,
                wake_signal=wake_signal,
                result=result,
                notes=context.notes(),
            )
        )

    async def _pause(self, step_index: int, state: Any, reason: str) -> Left:
        await self._leave(Settlement(step_index=step_index, status="paused", reason=reason))
        return Left(status="paused", step_index=step_index, state=state, reason=reason)


class LeftByParking(Exception):
    """Carries a ``Left`` out of the driver; caught by the runner."""

    def __init__(self, left: Left) -> None:
        super().__init__(left.reason)
        self.left = left
