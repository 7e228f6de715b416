"""The journal of one step: every managed call is looked up, then perhaps executed, always recorded.

    look up the key ── done ──────────────► the recorded result
        │            ── failed ───────────► the recorded error (same attempt, or effect `once`); else a new try
        │            ── unknown ──────────► `read`, `idempotent`: a new try · `once`: reconcile, or a person
        ▼
    intent (on disk) ─► effect ─► end (on disk)

What this module never does: execute a `once` call whose last try may have happened. See docs/promises.md, 3 and 4.
A journal belongs to a step, not to an attempt, so that an attempt sees what an earlier one has left under way. If an
end cannot be written, the run is left at once (``ActiveRun.broken``): a missing record decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from loom_core.contracts.budgets import Spending
from loom_core.contracts.models import Message, ModelAnswer, ModelBackend, ToolSpec
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.stores import CallEnd, CallIntent, CallRecord, Effect, ErrorRecord
from loom_core.contracts.tools import Done, NotDone, Tool, ToolContext
from loom_core.errors import (
    BudgetExhausted,
    CategorisedError,
    ErrorCategory,
    LeaseLost,
    ModelFailed,
    ModelNotFound,
    NotStarted,
    ReplayMismatch,
    StoreBusy,
    ToolFailed,
)
from loom_core.runtime.approving import Answer, Questions, asking_of
from loom_core.runtime.branches import Scope
from loom_core.runtime.calls import (
    AskedCall,
    Turns,
    begun_record,
    place_of,
    recorded_model_failure,
    recorded_result,
    result_text,
    short,
)
from loom_core.runtime.doubt import is_lost_connection
from loom_core.runtime.failures import to_record
from loom_core.runtime.outcomes import Parked
from loom_core.runtime.reconciling import ask_reconcile
from loom_core.runtime.services import Observation
from loom_core.runtime.shielding import is_requested, to_its_end
from loom_core.runtime.spending import ModelReservation, out_of

if TYPE_CHECKING:
    from loom_core.runtime.active import ActiveRun
    from loom_core.runtime.context import RunContext
    from loom_core.runtime.model_calls import ModelCall

MODEL_EFFECT: Effect = "idempotent"
_log = logging.getLogger("loom.runtime")


class StepJournal:
    """The managed calls of one step, those recorded before included. ``context`` is that of the attempt that asks."""

    def __init__(
        self,
        run: ActiveRun,
        step_index: int,
        calls: tuple[CallRecord, ...] = (),
        approvals: tuple[ApprovalRecord, ...] = (),
    ) -> None:
        self._run = run
        self._step_index = step_index
        self._tries: dict[str, list[CallRecord]] = {}
        self._turns = Turns()
        self._questions = Questions(run.run_id, step_index, approvals)
        self._under_way: set[asyncio.Future[None]] = set()
        for call in calls:
            self._tries.setdefault(call.key, []).append(call)

    async def drain(self) -> None:
        """Wait for calls that the step has left under way in tasks of its own: it may not be committed over them."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def call_tool(
        self,
        context: RunContext,
        scope: Scope,
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        idempotency_key: str | None,
    ) -> Any:
        """See ``RunContext.call_tool``."""
        from loom_core.values import digest, encode_json

        tool = self._run.services.tool(name)
        arguments = tool.bind(args, kwargs)
        text = encode_json(tool.encode_arguments(arguments), f"arguments of tool `{name}`")
        asked = AskedCall("tool", tool.name, tool.effect, text, digest(text), idempotency_key)
        async with self._turn(context, scope, idempotency_key) as key:
            last = await self._last_try(context, key, asked)
            if last is not None and last.status == "unknown" and tool.effect == "once":
                last = await self._reconcile(context, tool, arguments, last)
            if last is not None and self._is_final(context, last):
                return self._replay(last, tool)
            approval_id = self._questions.allow(context, tool, key, asked, arguments, self._run.services.wall())
            intent = attrs.evolve(
                self._intent(context, key, asked, last), approval_id=approval_id, reserves=self._run.purse.for_tool()
            )
            return await self._execute_tool(context, tool, arguments, intent)

    async def call_model(
        self,
        context: RunContext,
        scope: Scope,
        model: str,
        messages: tuple[Message, ...],
        tools: tuple[ToolSpec, ...],
        schema: Mapping[str, object] | None,
        own_key: str | None,
    ) -> ModelAnswer:
        """See ``RunContext.call_model``."""
        from loom_core.runtime.model_calls import ModelCall

        call = ModelCall(model, messages, tools, schema)
        asked = AskedCall(
            "model", model, MODEL_EFFECT, call.arguments, call.arguments_digest, own_key, call.message_texts
        )
        async with self._turn(context, scope, own_key) as key:
            last = await self._last_try(context, key, asked)
            if last is not None and self._is_final(context, last):
                if last.status == "done":
                    self._observe("call_replayed", last)
                    return call.decode(last.result)
                raise recorded_model_failure(last)
            backend, model_name = self._run.services.model(model)
            reservation = await self._run.purse.for_model(model, call.arguments, call.message_texts)
            intent = attrs.evolve(self._intent(context, key, asked, last), reserves=reservation.amount)
            return await self._execute_model(context, call, backend, model_name, intent, reservation)

    async def ask(
        self,
        context: RunContext,
        scope: Scope,
        question: str,
        approvers: tuple[str, ...],
        expires: float | dt.timedelta | dt.datetime | None,
    ) -> Answer:
        """See ``RunContext.ask``."""
        async with self._turn(context, scope, None) as key:
            if key in self._tries:
                last = self._tries[key][-1]
                raise ReplayMismatch(
                    f"call {last.call_id} of run `{self._run.run_id}` was `{last.name}`, not a question"
                )
            return self._questions.answer(
                context, asking_of(key, question, approvers, expires, self._run.services.wall())
            )

    # -- before the effect ----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _turn(self, context: RunContext, scope: Scope, own_key: str | None) -> AsyncIterator[str]:
        """Give the call its key, after every call under the same key that is still under way."""
        key = scope.next_call() if own_key is None else f"={own_key}"
        under_way = asyncio.get_running_loop().create_future()
        self._under_way.add(under_way)
        try:
            async with self._turns.of(key):
                # The attempt may have ended, or its run been left, while this call waited for its turn.
                context.check_may_call(scope)
                yield key
        finally:
            self._under_way.discard(under_way)
            under_way.set_result(None)

    async def _last_try(self, context: RunContext, key: str, asked: AskedCall) -> CallRecord | None:
        """Return the newest record under this key (with a key of the user's: in the whole run), after checking it."""
        tries = self._tries.get(key)
        last = tries[-1] if tries else None
        if asked.idempotency_key is not None:
            last = await self._run.writer.read_call(asked.idempotency_key) or last
        if last is None:
            return None
        if last.status == "started":
            # Not under way, for this is its turn: its end was never written, and so nobody knows it.
            last = attrs.evolve(last, status="unknown")
        same = last.kind == asked.kind and last.name == asked.name and last.arguments_digest == asked.arguments_digest
        if same or self._is_forgotten(context, last, asked):
            return last
        raise ReplayMismatch(
            f"call {last.call_id} of run `{self._run.run_id}` was `{last.name}` with {short(last.arguments)}, "
            f"and is now `{asked.name}` with {short(asked.arguments)}",
            hint="a step that is executed again must make the same calls: take what varies from ctx.now(), "
            "ctx.random(), ctx.uuid4() or the state"
            if asked.idempotency_key is None
            else "an idempotency key stands for one tool with one set of arguments; use another key",
        )

    def _is_forgotten(self, context: RunContext, last: CallRecord, asked: AskedCall) -> bool:
        """Return True if nothing rests on the record: corrected code may ask something else in its place."""
        if asked.idempotency_key is not None or self._is_final(context, last):
            return False
        return last.status == "failed" or last.effect == "read" or last.kind == "model"

    def _is_final(self, context: RunContext, last: CallRecord) -> bool:
        """Return True if the record is what the call returns now, False if the call is to be executed (again)."""
        if last.status == "done":
            return True
        if last.status != "failed" or last.not_started:
            return False
        same_attempt = last.step_index == self._step_index and last.attempt_index == context.attempt_index
        return same_attempt or last.effect == "once"

    async def _reconcile(
        self, context: RunContext, tool: Tool, arguments: Mapping[str, object], last: CallRecord
    ) -> CallRecord:
        """Ask the tool what became of a `once` call; park the run if it does not know."""
        answer = await ask_reconcile(tool, arguments, self._tool_context(tool, last))
        if isinstance(answer, Done):
            try:
                text = result_text(tool, answer.result)
            except Exception:  # noqa: BLE001 - a broken reconcile leaves the call in doubt, where a person sees it
                _log.exception("reconcile of tool %s found a result that cannot be stored", tool.name)
                raise self._park(context, last) from None
            return await self._end(last, CallEnd(**place_of(last), status="done", result=text, decided_by="reconcile"))
        if isinstance(answer, NotDone):
            not_done = ErrorRecord(
                type="NotDone", message="reconcile: the effect did not happen", category=ErrorCategory.TRANSIENT.value
            )
            end = CallEnd(**place_of(last), status="failed", error=not_done, not_started=True, decided_by="reconcile")
            return await self._end(last, end)
        raise self._park(context, last)

    def _park(self, context: RunContext, last: CallRecord, *, to_reconcile: bool = False) -> Parked:
        """Mark the attempt as one that must be left: its outcome would rest on a call that nobody knows the end of."""
        if context.parked is None:
            status: Literal["queued", "waiting"] = "queued" if to_reconcile else "waiting"
            context.parked = Parked(f"{'reconcile' if to_reconcile else 'doubt'}:{last.call_id}", status)
        return context.parked

    def _replay(self, last: CallRecord, tool: Tool) -> Any:
        self._observe("call_replayed", last)
        if last.status == "done":
            return recorded_result(tool, last)
        error = last.error or ErrorRecord(type="Error", message="no error was recorded", category="unknown")
        raise ToolFailed(
            last.name, error.type, error.message, error_category=ErrorCategory(error.category), recorded=True
        )

    def _intent(
        self,
        context: RunContext,
        key: str,
        asked: AskedCall,
        last: CallRecord | None,
    ) -> CallIntent:
        return CallIntent(
            step_index=self._step_index,
            key=key,
            try_index=0 if last is None or last.step_index != self._step_index else last.try_index + 1,
            attempt_index=context.attempt_index,
            kind=asked.kind,
            name=asked.name,
            effect=asked.effect,
            arguments=asked.arguments,
            arguments_digest=asked.arguments_digest,
            idempotency_key=asked.idempotency_key,
            messages=asked.messages,
        )

    # -- the effect, and its end ----------------------------------------------------------------------------------

    async def _execute_tool(
        self, context: RunContext, tool: Tool, arguments: Mapping[str, object], intent: CallIntent
    ) -> Any:
        from loom_core.tools.execution import execute

        record = await self._begin(context, intent)
        try:
            result = await execute(
                tool,
                arguments,
                self._tool_context(tool, record),
                timeout_s=tool.timeout_s,
                on_late=lambda late, error: self._late(tool, record, late, error),
            )
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            if is_requested(error) and isinstance(error, asyncio.CancelledError):
                await self._cut_off(context, tool, record, error)
                raise
            return await self._tool_raised(context, tool, arguments, record, _as_exception(error))
        except KeyboardInterrupt as interrupt:
            await self._cut_off(context, tool, record, interrupt)
            raise
        try:
            text = result_text(tool, result)
        except Exception as error:
            failure = to_record(error, ErrorCategory.VALIDATION)
            await self._end(record, CallEnd(**place_of(record), status="failed", error=failure))
            raise ToolFailed(
                tool.name, failure.type, failure.message, error_category=ErrorCategory.VALIDATION
            ) from error
        try:
            await self._end(record, CallEnd(**place_of(record), status="done", result=text))
        except LeaseLost:
            await self._run.store.keep_late_result(
                self._run.run_id, record.step_index, record.key, record.try_index, text
            )
            raise
        return result

    async def _cut_off(self, context: RunContext, tool: Tool, record: CallRecord, error: BaseException) -> None:
        """Record a call that was cancelled in its middle: whether the effect happened, nobody here knows."""
        await self._write_cut(record, error)
        if tool.effect == "once":
            self._park(context, record, to_reconcile=tool.reconcile is not None)

    async def _write_cut(self, record: CallRecord, error: BaseException) -> None:
        end = CallEnd(**place_of(record), status="unknown", error=to_record(error, ErrorCategory.UNKNOWN))
        # Not in time: then the run is broken, and the interruption is still what has to be raised.
        with contextlib.suppress(StoreBusy):
            await to_its_end(self._write_end(record, end), last_word=True)

    async def _tool_raised(
        self,
        context: RunContext,
        tool: Tool,
        arguments: Mapping[str, object],
        record: CallRecord,
        error: Exception,
    ) -> Any:
        """Record what a tool raised and raise what the step sees; a result if it could be reconciled after all."""
        failure = self._run.services.classify(error)
        written = to_record(error, failure.category)
        if isinstance(error, NotStarted):
            end = CallEnd(**place_of(record), status="failed", error=written, not_started=True)
        elif failure.category is ErrorCategory.TRANSIENT or is_lost_connection(error):
            end = CallEnd(**place_of(record), status="unknown", error=written)
        else:
            end = CallEnd(**place_of(record), status="failed", error=written)
        last = await self._end(record, end)
        if last.status == "unknown" and tool.effect == "once":
            last = await self._reconcile(context, tool, arguments, last)
            if last.status == "done":
                return recorded_result(tool, last)
        raise ToolFailed(
            tool.name,
            written.type,
            written.message,
            error_category=failure.category,
            is_retryable=failure.is_retryable,
            retry_after_s=failure.retry_after_s,
        ) from error

    async def _execute_model(
        self,
        context: RunContext,
        call: ModelCall,
        backend: ModelBackend,
        model_name: str,
        intent: CallIntent,
        reservation: ModelReservation,
    ) -> ModelAnswer:
        record = await self._begin(context, intent)
        key = self._run.call_key(record)
        try:
            answer = await call.ask(
                backend,
                model_name,
                key,
                lambda event: self._observe("model_event", record, event),
                reservation.max_tokens,
            )
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            if is_requested(error) and isinstance(error, asyncio.CancelledError):
                await self._write_cut(record, error)
                raise
            raise await self._model_raised(record, _as_exception(error)) from error
        usage = answer.usage
        await self._end(
            record,
            CallEnd(
                **place_of(record),
                status="done",
                result=call.encode(answer),
                tokens_in=usage.input_tokens if usage else 0,
                tokens_out=usage.output_tokens if usage else 0,
                spent=reservation.spent(usage),
            ),
        )
        return answer

    async def _model_raised(self, record: CallRecord, error: Exception) -> Exception:
        """Record what a backend raised and return what the step sees."""
        failure = self._run.services.classify(error)
        written = to_record(error, failure.category)
        lost = failure.category is ErrorCategory.TRANSIENT or is_lost_connection(error)
        status: Literal["unknown", "failed"] = "unknown" if lost else "failed"
        # A request that was refused was not answered; of any other it is not known what it has cost.
        refused = not lost and failure.category in (ErrorCategory.VALIDATION, ErrorCategory.PERMISSION)
        end = CallEnd(**place_of(record), status=status, error=written, spent=Spending() if refused else None)
        await self._end(record, end)
        if isinstance(error, (CategorisedError, ModelNotFound)):
            return error
        return ModelFailed(
            f"model `{record.name}` failed: {written.type}: {written.message}",
            error_category=failure.category,
            is_retryable=failure.is_retryable,
            retry_after_s=failure.retry_after_s,
        )

    async def _begin(self, context: RunContext, intent: CallIntent) -> CallRecord:
        # Every fact that is not on disk yet goes with every intent, until one of them is on disk: this call may rest
        # on a fact that a sibling's intent, still waiting for a lock, was to carry.
        facts = context.unwritten_facts()
        intent = attrs.evolve(intent, facts=json.dumps(facts, separators=(",", ":")) if facts else None)
        try:
            with self._run.breaking():
                await self._run.writer.begin_call(intent)
        except BudgetExhausted as exhausted:
            if context.parked is None:
                context.parked = out_of(exhausted)
            raise context.parked from None
        context.facts_are_written(facts)
        record = begun_record(intent, epoch=self._run.writer.epoch, at=self._run.services.wall())
        self._tries.setdefault(intent.key, []).append(record)
        self._observe("call_started", record)
        return record

    async def _end(self, record: CallRecord, end: CallEnd) -> CallRecord:
        return await to_its_end(self._write_end(record, end))

    async def _write_end(self, record: CallRecord, end: CallEnd) -> CallRecord:
        try:
            with self._run.breaking():
                await self._run.writer.end_call(end)
        except asyncio.CancelledError:
            self._run.broken = StoreBusy(f"how call {record.call_id} ended could not be written in time")
            raise
        ended = attrs.evolve(record, status=end.status, result=end.result, error=end.error, not_started=end.not_started)
        tries = self._tries.setdefault(record.key, [])
        if tries and tries[-1].call_id == record.call_id:
            tries[-1] = ended
        else:
            tries.append(ended)
        self._observe("call_ended", ended)
        with contextlib.suppress(StoreBusy):
            await self._run.purse.refresh()
        return ended

    def _late(self, tool: Tool, record: CallRecord, result: object, error: BaseException | None) -> None:
        """Keep what a timed-out tool returned after all, as evidence for whoever decides."""
        try:
            text = (
                result_text(tool, result)
                if error is None
                else json.dumps({"error": f"{type(error).__name__}: {error}"})
            )
        except Exception as broken:  # noqa: BLE001 - evidence of any quality is better than none
            text = json.dumps({"error": f"the late result cannot be encoded: {broken}"})
        self._run.spawn(
            self._run.store.keep_late_result(self._run.run_id, record.step_index, record.key, record.try_index, text)
        )

    def _tool_context(self, tool: Tool, record: CallRecord) -> ToolContext:
        return ToolContext(
            run_id=self._run.run_id,
            call_id=record.call_id,
            key=self._run.call_key(record),
            epoch=self._run.writer.epoch,
            deadline=None if tool.timeout_s is None else self._run.services.wall() + tool.timeout_s,
        )

    def _observe(self, kind: str, record: CallRecord, data: object = None) -> None:
        seen = Observation(kind, record.step_index, record.call_id, record.name, data or record)
        try:
            self._run.services.observe(seen)
        except Exception:  # noqa: BLE001 - the border between a run and who watches it
            # Whoever watches must not change what happens: an effect is not made or left out for a broken screen.
            _log.exception("an observer of run %s failed", self._run.run_id)


def _as_exception(error: BaseException) -> Exception:
    """Return what a step may see of it: a cancellation that nobody asked for, and ``sys.exit()``, end a call only."""
    if isinstance(error, Exception):
        return error
    if isinstance(error, asyncio.CancelledError):
        made: Exception = InterruptedError("something that it awaited was cancelled")
    else:
        made = RuntimeError(f"it raised {type(error).__name__}: {error}")
    made.__cause__ = error
    return made
