"""What a step is given: the managed calls, and the facts that stay the same when the step is executed again."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs

from loom_core.contracts.budgets import BudgetRecord
from loom_core.contracts.models import Message, ModelAnswer, ToolSpec
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.stores import CallRecord
from loom_core.errors import ManagedCallOutsideBranch
from loom_core.runtime.branches import Scope, current_scope, gather
from loom_core.runtime.outcomes import Parked

if TYPE_CHECKING:
    from loom_core.runtime.active import ActiveRun
    from loom_core.runtime.approving import Answer
    from loom_core.runtime.journal import StepJournal
    from loom_core.runtime.wishes import Cancellation

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Signal:
    """The signal that woke the step. ``payload`` is JSON data; None if it ``timed_out`` and so has not come."""

    name: str
    payload: Any
    timed_out: bool = False


class RunContext:
    """A step's view of its run. Valid until the step returns; used afterwards it raises.

    Managed calls (``call_tool``, ``call_model``, ``ask``) are journaled: executed again, the step gets their recorded
    results. They may be made from the step's own task and from the branches of ``gather``.
    """

    # Defaults on the class: one context is made at every step, and most steps need nothing but these three fields.
    parked: Parked | None = None
    started_at: float | None = None
    _closed = False
    _events: list[Any] | None = None
    _facts: dict[str, Any] | None = None
    _unwritten: dict[str, Any] | None = None
    _root: Scope | None = None

    def __init__(self, run: ActiveRun, step_index: int, attempt_index: int) -> None:
        self._run = run
        self._step_index = step_index
        self._attempt_index = attempt_index

    @classmethod
    def again(
        cls,
        run: ActiveRun,
        step_index: int,
        attempt_index: int,
        calls: tuple[CallRecord, ...],
        previous: RunContext | None,
        approvals: tuple[ApprovalRecord, ...] = (),
    ) -> RunContext:
        """Return the context of a step that has calls already, or a failed attempt (``previous``) in this process."""
        context = cls(run, step_index, attempt_index)
        context.started_at = run.services.wall()
        if previous is not None:
            context._facts, context._unwritten = previous._facts, previous._unwritten
        for facts in (*(call.facts for call in calls), *(asked.facts for asked in approvals)):
            if facts is not None:
                context._facts = {**(context._facts or {}), **json.loads(facts)}
        return context

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run.run_id

    @property
    def step_index(self) -> int:
        """The number of this step, from 0."""
        return self._step_index

    @property
    def attempt_index(self) -> int:
        """The number of this attempt, from 0; stable when an attempt is continued after a crash."""
        return self._attempt_index

    @property
    def input_hash(self) -> str:
        """32 hex digits that depend on nothing but the state this step started with."""
        from loom_core.values import digest

        return digest(self._run.input_text).hex()

    @property
    def idempotency_key(self) -> str:
        """A key for this step, the same for every attempt of it, unique over runs."""
        return f"{self._run.run_id}/{self._step_index}"

    @property
    def signal(self) -> Signal | None:
        """The signal that this step was woken by, or waited for in vain; None if it did not wait for one.

        The same whenever the step is executed again, whatever has come in the meantime.
        """
        if self._run.timed_out is not None:
            return Signal(name=self._run.timed_out, payload=None, timed_out=True)
        record = self._run.signal
        return None if record is None else Signal(name=record.name, payload=json.loads(record.payload))

    async def call_tool(self, name: str, /, *args: Any, idempotency_key: str | None = None, **kwargs: Any) -> Any:
        """Call a tool and return its result; the recorded one if this call was made before.

        ``idempotency_key`` is a key of your own, unique in the run: every call with it is the same call, whatever the
        step. Raises ``ToolFailed`` with what the tool raised (recorded, too), ``ToolNotFound`` and
        ``ToolArgumentsInvalid`` before anything happens, and ``ReplayMismatch`` if the recorded call was another one.
        A ``once`` call whose end nobody knows leaves the step; the run then waits for a person.
        """
        scope = self._scope(idempotency_key, "idempotency_key")
        return await self._open_journal().call_tool(self, scope, name, args, kwargs, idempotency_key)

    async def call_model(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        schema: Mapping[str, object] | None = None,
        key: str | None = None,
    ) -> ModelAnswer:
        """Ask a model (``PREFIX:NAME``) and return its whole answer; a recorded answer is never requested again.

        The events are told to the runner's observer as they arrive. Raises ``ModelNotFound`` and ``ModelFailed``.
        """
        scope = self._scope(key, "key")
        return await self._open_journal().call_model(self, scope, model, tuple(messages), tuple(tools), schema, key)

    async def gather(
        self,
        *coros: Coroutine[Any, Any, T],
        limit: int | None = None,
        on_error: Literal["fail", "collect"] = "fail",
    ) -> list[T | BaseException]:
        """Run coroutines concurrently, at most ``limit`` at once, and return their results in order.

        Each is a branch with keys of its own, so that managed calls in it find their records again. ``fail`` starts no
        further branch after the first error, lets those under way finish (a cancelled call would be in doubt), and
        raises that error; ``collect`` puts exceptions in the place of results.
        """
        return await gather(self, self._scope(None, None), coros, limit=limit, on_error=on_error)

    async def ask(
        self,
        question: str,
        *,
        approvers: Sequence[str] = (),
        expires: float | dt.timedelta | dt.datetime | None = None,
    ) -> Answer:
        """Ask people a question and return their answer, which is true if it was approved.

        The run is left and waits; the step is executed again when somebody has answered (``loom-runner approve``,
        ``deny``). ``approvers`` are the names that may answer, all if there are none; ``expires`` (seconds, or a point
        in time) is until when: without an answer by then it is no. Asked again, it gets the recorded answer; another
        question at the same place is asked anew.
        """
        scope = self._scope(None, None)
        return await self._open_journal().ask(self, scope, question, tuple(approvers), expires)

    @property
    def budget(self) -> BudgetRecord | None:
        """The run's budget and what is spent of it, as of the end of the last managed call; None if it has none."""
        return self._run.purse.record

    @property
    def cancellation(self) -> Cancellation | None:
        """Who has cancelled the run, and until when the step may clean up; None while nobody has."""
        return self._run.wishes.cancellation

    def now(self) -> dt.datetime:
        """Return the time (UTC); the same when the step is executed again after a managed call."""
        text = self._fact(lambda: dt.datetime.fromtimestamp(self._run.services.wall(), dt.UTC).isoformat())
        return dt.datetime.fromisoformat(text)

    def random(self) -> float:
        """Return a number in [0, 1); the same when the step is executed again after a managed call."""
        return float(self._fact(self._run.services.random))

    def uuid4(self) -> uuid.UUID:
        """Return a random UUID; the same when the step is executed again after a managed call."""
        return uuid.UUID(self._fact(lambda: str(self._run.services.uuid4())))

    def emit(self, event: Any) -> None:
        """Write a JSON value into the run's history with this step's checkpoint; lost if the step is not committed."""
        from loom_core.values import encode_json

        self.check_usable()
        text = encode_json(event, "event")
        if self._events is None:
            self._events = []
        # As it is now: what the step does to the object afterwards is no event.
        self._events.append(json.loads(text))

    # -- for the runtime ------------------------------------------------------------------------------------------

    def notes(self) -> str | None:
        """Return what is written with the checkpoint: facts that no intent has carried yet, events, a time-out."""
        timed_out = self._run.timed_out
        if self._events is None and not self._unwritten and timed_out is None:
            return None
        found = {"facts": self._unwritten, "events": self._events, "timed_out": timed_out}
        return json.dumps({name: value for name, value in found.items() if value}, separators=(",", ":"))

    def unwritten_facts(self) -> dict[str, Any]:
        """Return the facts that no intent on disk carries yet."""
        return dict(self._unwritten) if self._unwritten else {}

    def facts_are_written(self, facts: Mapping[str, Any]) -> None:
        """Note that an intent with these facts is on disk."""
        if self._unwritten:
            for name in facts:
                self._unwritten.pop(name, None)

    def check_usable(self) -> None:
        """Raise if the step may make no further call: it has ended, must be left, or its run was left."""
        if self._closed:
            raise ManagedCallOutsideBranch(
                f"step {self._step_index} of run `{self.run_id}` has ended; its context cannot be used any more",
                hint="await everything a step starts before it returns; ctx.gather does",
            )
        if self._run.broken is not None:
            raise self._run.broken
        if self.parked is not None:
            raise self.parked

    def check_may_call(self, scope: Scope) -> None:
        """Raise if no managed call may be begun now; in a cancelled run the first one in each task may not."""
        self.check_usable()
        told, scope.told_of_cancellation = scope.told_of_cancellation, self.cancellation is not None
        self._run.wishes.check_may_call(told)

    def close(self) -> None:
        """End the context: whoever kept it can make no further call under a finished step's keys."""
        self._closed = True

    def _scope(self, key: str | None, parameter: str | None) -> Scope:
        self.check_usable()
        return current_scope(self, key, parameter)

    @property
    def root(self) -> Scope:
        """The scope of the step's own task."""
        if self._root is None:
            self._root = Scope(context=self, path="", task=self._run.task)
        return self._root

    def _open_journal(self) -> StepJournal:
        if self.started_at is None:
            self.started_at = self._run.services.wall()
        return self._run.open_journal(self._step_index)

    def _fact(self, draw: Any) -> Any:
        self.check_usable()
        scope = current_scope(self, None, None)
        name = scope.next_fact()
        if self._facts is None:
            self._facts = {}
        if name not in self._facts:
            self._facts[name] = draw()
            if self._unwritten is None:
                self._unwritten = {}
            self._unwritten[name] = self._facts[name]
        return self._facts[name]
