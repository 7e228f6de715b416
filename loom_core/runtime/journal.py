"""The journal of one step: every managed call is looked up, then perhaps executed, always recorded.

    look up the key ── done ──────────────► the recorded result
        │            ── failed ───────────► the recorded error (same attempt, or effect `once`); else a new try
        │            ── unknown ──────────► `read`, `idempotent`: a new try · `once`: reconcile, or a person
        ▼
    intent (on disk) ─► effect ─► end (on disk)

What this module never does: execute a `once` call whose last try may have happened. See docs/promises.md, 3 and 4.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from loom_core.contracts.models import Message, ModelAnswer, ToolSpec
from loom_core.contracts.stores import CallEnd, CallIntent, CallRecord, Effect, ErrorRecord, call_id
from loom_core.contracts.tools import Done, InterruptedCall, NotDone, Tool, ToolContext
from loom_core.errors import (
    CategorisedError,
    ErrorCategory,
    LeaseLost,
    ModelFailed,
    ModelNotFound,
    NotStarted,
    ReplayMismatch,
    ToolFailed,
)
from loom_core.runtime.branches import Scope
from loom_core.runtime.calls import (
    AskedCall,
    Turns,
    place_of,
    recorded_model_failure,
    recorded_result,
    result_text,
    short,
)
from loom_core.runtime.failures import to_record
from loom_core.runtime.outcomes import Parked
from loom_core.runtime.services import Observation
from loom_core.runtime.stopping import last_word

if TYPE_CHECKING:
    from loom_core.runtime.active import ActiveRun
    from loom_core.runtime.context import RunContext

MODEL_EFFECT: Effect = "idempotent"


class StepJournal:
    """The managed calls of one attempt of one step, those recorded before included."""

    def __init__(self, context: RunContext, run: ActiveRun, calls: tuple[CallRecord, ...]) -> None:
        self._context = context
        self._run = run
        self._tries: dict[str, list[CallRecord]] = {}
        self._turns = Turns()
        for call in calls:
            self._tries.setdefault(call.key, []).append(call)

    def records(self) -> tuple[CallRecord, ...]:
        """Return every call of the step known so far."""
        return tuple(call for tries in self._tries.values() for call in tries)

    async def call_tool(
        self, scope: Scope, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], idempotency_key: str | None
    ) -> Any:
        """See ``RunContext.call_tool``."""
        from loom_core.values import digest, encode_json

        tool = self._run.services.tool(name)
        arguments = tool.bind(args, kwargs)
        text = encode_json(tool.encode_arguments(arguments), f"arguments of tool `{name}`")
        asked = AskedCall("tool", tool.name, tool.effect, text, digest(text), idempotency_key)
        key = self._key(scope, idempotency_key)
        async with self._turns.of(key):
            last = await self._last_try(key, asked)
            if last is not None and last.status == "unknown" and tool.effect == "once":
                last = await self._reconcile(tool, arguments, last)
            if last is not None and self._is_final(last):
                return self._replay(last, tool)
            return await self._execute_tool(tool, arguments, self._intent(key, asked, last))

    async def call_model(
        self,
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
        key = self._key(scope, own_key)
        async with self._turns.of(key):
            last = await self._last_try(key, asked)
            if last is not None and self._is_final(last):
                if last.status == "done":
                    self._observe("call_replayed", last)
                    return call.decode(last.result)
                raise recorded_model_failure(last)
            backend, model_name = self._run.services.model(model)
            intent = self._intent(key, asked, last)
            return await self._execute_model(call, backend, model_name, intent)

    # -- before the effect ----------------------------------------------------------------------------------------

    @staticmethod
    def _key(scope: Scope, own_key: str | None) -> str:
        return scope.next_call() if own_key is None else f"={own_key}"

    async def _last_try(self, key: str, asked: AskedCall) -> CallRecord | None:
        """Return the newest record under this key (with a key of the user's: in the whole run), after checking it."""
        tries = self._tries.get(key)
        last = tries[-1] if tries else None
        if last is None and asked.idempotency_key is not None:
            last = await self._run.writer.read_call(asked.idempotency_key)
        if last is not None and (
            last.kind != asked.kind or last.name != asked.name or last.arguments_digest != asked.arguments_digest
        ):
            raise ReplayMismatch(
                f"call {last.call_id} of run `{self._run.run_id}` was `{last.name}` with {short(last.arguments)}, "
                f"and is now `{asked.name}` with {short(asked.arguments)}",
                hint="a step that is executed again must make the same calls: take what varies from ctx.now(), "
                "ctx.random(), ctx.uuid4() or the state"
                if asked.idempotency_key is None
                else "an idempotency key stands for one tool with one set of arguments; use another key",
            )
        return last

    def _is_final(self, last: CallRecord) -> bool:
        """Return True if the record is what the call returns now, False if the call is to be executed (again)."""
        if last.status == "done":
            return True
        if last.status != "failed" or last.not_started:
            return False
        same_attempt = last.step_index == self._context.step_index and last.attempt_index == self._context.attempt_index
        return same_attempt or last.effect == "once"

    async def _reconcile(self, tool: Tool, arguments: Mapping[str, object], last: CallRecord) -> CallRecord:
        """Ask the tool what became of a `once` call; park the run if it does not know."""
        answer: object = None
        if tool.reconcile is not None:
            question = InterruptedCall(context=self._tool_context(tool, last), name=tool.name, arguments=arguments)
            try:
                answer = tool.reconcile(question)
                if inspect.isawaitable(answer):
                    answer = await answer
            except Exception as error:  # noqa: BLE001 - a broken reconcile leaves the call in doubt, where a person sees it
                self._observe("call_ended", last, error)
        if isinstance(answer, Done):
            text = result_text(tool, answer.result)
            return await self._end(last, CallEnd(**place_of(last), status="done", result=text, decided_by="reconcile"))
        if isinstance(answer, NotDone):
            not_done = ErrorRecord(
                type="NotDone", message="reconcile: the effect did not happen", category=ErrorCategory.TRANSIENT.value
            )
            end = CallEnd(**place_of(last), status="failed", error=not_done, not_started=True, decided_by="reconcile")
            return await self._end(last, end)
        raise self._park(last)

    def _park(self, last: CallRecord) -> Parked:
        parked = Parked(f"doubt:{last.call_id}")
        self._context.parked = parked
        return parked

    def _replay(self, last: CallRecord, tool: Tool) -> Any:
        self._observe("call_replayed", last)
        if last.status == "done":
            return recorded_result(tool, last)
        error = last.error or ErrorRecord(type="Error", message="no error was recorded", category="unknown")
        raise ToolFailed(
            last.name, error.type, error.message, error_category=ErrorCategory(error.category), recorded=True
        )

    def _intent(self, key: str, asked: AskedCall, last: CallRecord | None) -> CallIntent:
        step_index = self._context.step_index
        return CallIntent(
            step_index=step_index,
            key=key,
            try_index=0 if last is None or last.step_index != step_index else last.try_index + 1,
            attempt_index=self._context.attempt_index,
            kind=asked.kind,
            name=asked.name,
            effect=asked.effect,
            arguments=asked.arguments,
            arguments_digest=asked.arguments_digest,
            idempotency_key=asked.idempotency_key,
            messages=asked.messages,
            facts=self._context.take_facts(),
        )

    # -- the effect, and its end ----------------------------------------------------------------------------------

    async def _execute_tool(self, tool: Tool, arguments: Mapping[str, object], intent: CallIntent) -> Any:
        from loom_core.tools.execution import execute

        record = await self._begin(intent)
        context = self._tool_context(tool, record)
        try:
            result = await execute(
                tool, arguments, context, timeout_s=tool.timeout_s, on_late=lambda r, e: self._late(tool, record, r, e)
            )
        except Exception as error:  # noqa: BLE001 - every failure of a tool is recorded and reaches the step as ToolFailed
            return await self._tool_raised(tool, arguments, record, error)
        except BaseException as interruption:
            # Cancelled in its middle: whether the effect happened, nobody here knows.
            cut = to_record(interruption, ErrorCategory.UNKNOWN)
            await last_word(self._end(record, CallEnd(**place_of(record), status="unknown", error=cut)))
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

    async def _tool_raised(
        self, tool: Tool, arguments: Mapping[str, object], record: CallRecord, error: Exception
    ) -> Any:
        """Record what a tool raised and raise what the step sees; a result if it could be reconciled after all."""
        failure = self._run.services.classify(error)
        written = to_record(error, failure.category)
        if isinstance(error, NotStarted):
            end = CallEnd(**place_of(record), status="failed", error=written, not_started=True)
        elif failure.category is ErrorCategory.TRANSIENT:
            end = CallEnd(**place_of(record), status="unknown", error=written)
        else:
            end = CallEnd(**place_of(record), status="failed", error=written)
        last = await self._end(record, end)
        if last.status == "unknown" and tool.effect == "once":
            last = await self._reconcile(tool, arguments, last)
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

    async def _execute_model(self, call: Any, backend: Any, model_name: str, intent: CallIntent) -> ModelAnswer:
        record = await self._begin(intent)
        key = f"{self._run.run_id}/{record.step_index}/{record.key}"
        try:
            answer: ModelAnswer = await call.ask(
                backend, model_name, key, lambda event: self._observe("model_event", record, event)
            )
        except Exception as error:
            failure = self._run.services.classify(error)
            written = to_record(error, failure.category)
            status: Literal["unknown", "failed"] = (
                "unknown" if failure.category is ErrorCategory.TRANSIENT else "failed"
            )
            await self._end(record, CallEnd(**place_of(record), status=status, error=written))
            if isinstance(error, (CategorisedError, ModelNotFound)):
                raise
            raise ModelFailed(
                f"model `{intent.name}` failed: {written.type}: {written.message}",
                error_category=failure.category,
                is_retryable=failure.is_retryable,
                retry_after_s=failure.retry_after_s,
            ) from error
        except BaseException as interruption:
            cut = to_record(interruption, ErrorCategory.UNKNOWN)
            await last_word(self._end(record, CallEnd(**place_of(record), status="unknown", error=cut)))
            raise
        usage = answer.usage
        await self._end(
            record,
            CallEnd(
                **place_of(record),
                status="done",
                result=call.encode(answer),
                tokens_in=usage.input_tokens if usage else 0,
                tokens_out=usage.output_tokens if usage else 0,
            ),
        )
        return answer

    async def _begin(self, intent: CallIntent) -> CallRecord:
        await self._run.writer.begin_call(intent)
        record = CallRecord(
            call_id=call_id(intent.step_index, intent.key, intent.try_index),
            step_index=intent.step_index,
            key=intent.key,
            try_index=intent.try_index,
            attempt_index=intent.attempt_index,
            epoch=self._run.writer.epoch,
            kind=intent.kind,
            name=intent.name,
            effect=intent.effect,
            arguments=intent.arguments,
            arguments_digest=intent.arguments_digest,
            idempotency_key=intent.idempotency_key,
            status="started",
            result=None,
            error=None,
            not_started=False,
            started_at=self._run.services.wall(),
            ended_at=None,
            decided_by=None,
            facts=intent.facts,
            late_result=None,
        )
        self._tries.setdefault(intent.key, []).append(record)
        self._observe("call_started", record)
        return record

    async def _end(self, record: CallRecord, end: CallEnd) -> CallRecord:
        await self._run.writer.end_call(end)
        ended = attrs.evolve(record, status=end.status, result=end.result, error=end.error, not_started=end.not_started)
        tries = self._tries.setdefault(record.key, [])
        if tries and tries[-1].call_id == record.call_id:
            tries[-1] = ended
        else:
            tries.append(ended)
        self._observe("call_ended", ended)
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
        key = record.idempotency_key or f"{record.step_index}/{record.key}"
        return ToolContext(
            run_id=self._run.run_id,
            call_id=record.call_id,
            key=f"{self._run.run_id}/{key}",
            epoch=self._run.writer.epoch,
            deadline=None if tool.timeout_s is None else self._run.services.wall() + tool.timeout_s,
        )

    def _observe(self, kind: str, record: CallRecord, data: object = None) -> None:
        self._run.services.observe(Observation(kind, record.step_index, record.call_id, record.name, data or record))
