"""``AgentRunner``: starts, resumes and resolves durable runs of one agent."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import attrs

from loom_core.contracts.budgets import Budget, merged
from loom_core.contracts.people import ANSWERED
from loom_core.contracts.retention import CheckpointPolicy, PayloadPolicy
from loom_core.contracts.retries import RetryPolicy
from loom_core.contracts.stores import (
    ENDED,
    AttemptRecord,
    CallRecord,
    ClaimedRun,
    EncodedState,
    NewRun,
    RunRecord,
    RunStatus,
    Settlement,
    SignalRecord,
    Store,
)
from loom_core.contracts.tools import Tool
from loom_core.errors import BadInput, LoomError, RunExists, ToolNotFound
from loom_core.runtime.active import ActiveRun, Durability, Left, Slice
from loom_core.runtime.admission import Admission, NothingToDo
from loom_core.runtime.agent import Agent, Step, state_type_of
from loom_core.runtime.attempts import attempts_spent
from loom_core.runtime.controlling import check_signal_name, fulfil_pending
from loom_core.runtime.driver import driver
from loom_core.runtime.failures import classify
from loom_core.runtime.keeper import LeaseKeeper
from loom_core.runtime.owners import this_owner
from loom_core.runtime.prices import PriceOf, price_finder
from loom_core.runtime.reader import RunReader
from loom_core.runtime.results import RunResult, RunStats, RunStep, RunVerification
from loom_core.runtime.run_ids import check_run_id
from loom_core.runtime.services import Observer, Services, World, no_observer
from loom_core.runtime.shielding import to_its_end
from loom_core.runtime.stopping import StopRequest
from loom_core.runtime.upgrading import upgraded
from loom_core.runtime.waking import WAIT_S, Found, claim_when_due, give_back_if_asleep
from loom_core.runtime.wishes import InboxWatch

if TYPE_CHECKING:
    from loom_core.runtime.assembly import Runtime
    from loom_core.runtime.explain import RunExplanation
    from loom_core.tools import ToolRegistry
    from loom_core.values import Codec

LEASE_S = 30.0
OWN_STATE: Any = object()
"""Stands for the agent's own initial state; None is a state like any other."""


class AgentRunner:
    """Runs one agent durably. Belongs to the event loop that it is first used in; close it, or use ``async with``.

    Give an ``agent``, or its parts (``step``, ``tools``, ``retry_policy``, …). ``store`` is a ``Store``, a path or a
    URL; a store that the runner opens itself is closed with it. ``encode_state`` and its kin turn values into JSON data
    and back for types that ``loom_core.values`` does not know. ``runtime`` supplies models, tools and stores of
    plugins; without one the default configuration is used when something of it is needed. ``durability`` ``strict``
    syncs every step to disk; ``pipelined`` writes pure steps up to 5 ms later, many at a time. ``checkpoint_policy``
    says which steps stay in the history, ``payload_policy`` how large texts are stored; without them, what the agent
    says.
    """

    def __init__(
        self,
        *,
        store: Store | str | os.PathLike[str],
        step: Step | None = None,
        agent: Agent | None = None,
        name: str | None = None,
        state_type: Any = None,
        result_type: Any = None,
        tools: ToolRegistry | Iterable[Tool] | None = None,
        retry_policy: RetryPolicy | None = None,
        checkpoint_policy: CheckpointPolicy | None = None,
        payload_policy: PayloadPolicy | None = None,
        encode_state: Callable[[Any], Any] | None = None,
        decode_state: Callable[[Any], Any] | None = None,
        encode_result: Callable[[Any], Any] | None = None,
        decode_result: Callable[[Any], Any] | None = None,
        runtime: Runtime | None = None,
        observer: Observer = no_observer,
        durability: Durability = "standard",
        lease_s: float = LEASE_S,
        world: World | None = None,
    ) -> None:
        self.agent = _agent_of(agent, step, name, state_type, result_type, retry_policy)
        self._checks_name = agent is not None or name is not None
        state_type = state_type_of(self.agent.step) if self.agent.state_type is None else self.agent.state_type
        self._state_codec = _codec(state_type, "state", encode_state, decode_state)
        result_type = object if self.agent.result_type is None else self.agent.result_type
        self._result_codec = _codec(result_type, "result", encode_result, decode_result)
        self._tools = _tools_by_name((*self.agent.tools, *_tools_of(tools)))
        self._store_given = _located(store)
        self._opened: dict[str, Store] = {}
        self._runtime = runtime
        self._own_runtime = runtime is None
        self._observer = observer
        self._durability: Durability = durability
        self._checkpoints = checkpoint_policy or self.agent.checkpoint_policy or CheckpointPolicy()
        self._payloads = payload_policy or self.agent.payload_policy or PayloadPolicy()
        self._lease_s = lease_s
        self._keeper = LeaseKeeper(lease_s)
        self._inboxes = InboxWatch()
        self._owner = this_owner()
        self._stop = StopRequest()
        self._world = world or World()
        self._driving = 0
        self._price_of: PriceOf | None = None

    # -- running --------------------------------------------------------------------------------------------------

    async def start(
        self,
        *,
        run_id: str,
        initial_state: Any = OWN_STATE,
        max_steps: int | None = None,
        max_seconds: float | None = None,
        wait_s: float = WAIT_S,
        budget: Budget | None = None,
    ) -> RunResult:
        """Create a run and drive it until it ends, waits, or the slice is used up.

        A timer that is due within ``wait_s`` seconds is waited for, without holding the run. ``initial_state`` defaults
        to the agent's own; limits of ``budget`` take the place of the agent's. Raises ``RunExists``,
        ``ValueNotEncodable`` and ``StoreUnusable``
        before anything is stored; a step's own exception after its failure is recorded.
        """
        check_run_id(run_id)
        _check_slice(max_steps, max_seconds)
        state = self.agent.first_state() if initial_state is OWN_STATE else initial_state
        encoded = self._state_codec.encode(state)
        bound = self._bind()
        store = self._store("create")
        claimed = await self._create(store, run_id, encoded, budget)
        return await self._drive_on(store, claimed, bound, _slice(0, max_steps, max_seconds), wait_s)

    async def submit(self, *, run_id: str, initial_state: Any = OWN_STATE, budget: Budget | None = None) -> None:
        """Create a run and leave it ``queued``, for a worker (or ``resume``) to begin. Raises like ``start``."""
        check_run_id(run_id)
        state = self.agent.first_state() if initial_state is OWN_STATE else initial_state
        claimed = await self._create(self._store("create"), run_id, self._state_codec.encode(state), budget)
        # Killed before this, the run is left to be taken over from a dead owner, which comes to the same.
        await to_its_end(claimed.writer.settle(Settlement(step_index=0, status="queued", reason="submitted")))

    async def resume(
        self,
        *,
        run_id: str,
        max_steps: int | None = None,
        max_seconds: float | None = None,
        retry_failed: bool = False,
        wait_s: float = WAIT_S,
        unasked: bool = False,
        more: Budget | None = None,
    ) -> RunResult:
        """Go on with a run from its last committed step; ``more`` is added to its budget first.

        Returns, with the status that is stored, if the run has ended or what it waits for has not come; a timer that is
        due within ``wait_s`` seconds is waited for. ``unasked`` leaves a paused run as it is. Raises ``RunNotFound``,
        ``RunBusy`` (a live owner has it), ``ValueNotDecodable`` (nothing changed) and, like ``start``, a step's own
        exception.
        """
        _check_slice(max_steps, max_seconds)
        if max_seconds is not None:
            wait_s = min(wait_s, max_seconds)
        with self._stoppable():
            store = self._store("write")
            record = await store.get_run(run_id)
            self._check_agent(record)
            # Before the claim, so that a state that no longer fits leaves the run as it was.
            self._state_codec.decode(await self._stored_state(store, record))
            bound = self._bind()
            if more is not None:
                await self._raise_budget(store, record, more)
            found = await self._claim_when_due(
                store, run_id, wait_s, retry_failed=retry_failed, unasked=unasked, asked=not unasked
            )
            if isinstance(found, RunRecord):
                return await self._stored_result(store, found)
            limits = _slice(found.claimed.record.step_index, max_steps, max_seconds)
            return await self._drive_on(store, found.claimed, bound, limits, wait_s, asked=found.asked)

    async def find_completed(self, run_id: str, initial_state: Any = OWN_STATE) -> RunResult | None:
        """Return the result of a completed run of this agent with this very input; None if there is no such run."""
        store = self._store("read")
        record = await store.get_run(run_id)
        state = self.agent.first_state() if initial_state is OWN_STATE else initial_state
        same = record.agent.name == self.agent.name and record.input_digest == self._state_codec.encode(state).digest
        return await self._stored_result(store, record) if same and record.status == "completed" else None

    def read_state(self, text: str) -> Any:
        """Return the state that a JSON text stands for; raises ``ValueNotDecodable``, which names the path."""
        return self._state_codec.decode(text)

    async def send_signal(self, run_id: str, name: str, payload: Any = None) -> SignalRecord:
        """Put a signal with a JSON payload into the run's inbox; it is on disk when this returns."""
        from loom_core.values import encode_json

        check_signal_name(name)
        return await self._store("write").send_signal(run_id, name, encode_json(payload, f"signal `{name}`"))

    def configure(
        self,
        *,
        reference: str | None = None,
        runtime: Runtime | None = None,
        observer: Observer | None = None,
        durability: Durability | None = None,
        stopped_runs: Literal["paused", "queued"] | None = None,
    ) -> None:
        """Change what a command line decides, before the first run; None leaves a setting as it is.

        ``stopped_runs`` says how ``request_stop`` leaves runs: ``paused`` for who stopped them (the default), or
        ``queued`` for the next worker.
        """
        if reference is not None:
            self.agent = attrs.evolve(self.agent, reference=reference)
        if runtime is not None and self._runtime is None:
            self._runtime, self._own_runtime = runtime, False
        if observer is not None:
            self._observer = observer
        if durability is not None:
            self._durability = durability
        if stopped_runs is not None:
            self._stop = StopRequest(stopped_runs)

    def request_stop(self) -> None:
        """Stop after the step under way and leave the run paused; callable from a signal handler."""
        self._stop.request()

    async def aclose(self) -> None:
        """Close what this runner opened itself."""
        opened, self._opened = list(self._opened.values()), {}
        if self._own_runtime and self._runtime is not None:
            # Closes the stores that it opened, too.
            await self._runtime.aclose()
            return
        for store in opened:
            await store.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- reading --------------------------------------------------------------------------------------------------

    async def get_run(self, run_id: str) -> RunRecord:
        """Return the run's own row."""
        return await self._reader().get_run(run_id)

    async def list_runs(
        self, *, limit: int = 50, offset: int = 0, status: RunStatus | None = None
    ) -> Sequence[RunRecord]:
        """Return runs of any agent, the newest first."""
        return await self._reader().list_runs(limit=limit, offset=offset, status=status)

    async def get_history(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[RunStep]:
        """Return committed steps with their states, the initial state first."""
        return await self._reader().get_history(run_id, limit=limit, offset=offset)

    async def get_attempts(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[AttemptRecord]:
        """Return failed attempts."""
        return await self._reader().get_attempts(run_id, limit=limit, offset=offset)

    async def get_tool_calls(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[CallRecord]:
        """Return managed calls, models included, in order."""
        return await self._reader().get_tool_calls(run_id, limit=limit, offset=offset)

    async def get_stats(self, run_id: str) -> RunStats:
        """Return totals of the run."""
        return await self._reader().get_stats(run_id)

    async def verify_run(self, run_id: str) -> RunVerification:
        """Check what is stored of the run against itself."""
        return await self._reader().verify_run(run_id)

    async def explain_run(self, run_id: str) -> RunExplanation:
        """Return what happened, in order, and what resuming would do."""
        return await self._reader().explain_run(run_id)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _reader(self) -> RunReader:
        return RunReader(self._opened.get("create") or self._opened.get("write") or self._store("read"))

    async def _create(self, store: Store, run_id: str, state: EncodedState, budget: Budget | None) -> ClaimedRun:
        agent = self.agent.record(self._state_codec.schema_hash)
        new = NewRun(run_id=run_id, agent=agent, state=state, budget=merged(self.agent.budget, budget))
        try:
            return await store.create_run(new, self._owner, self._lease_s)
        except RunExists as error:
            error.hint = error.hint or (
                f"go on with it: loom-runner resume --run-id {quote(run_id)}; "
                f"look: loom-runner explain --run-id {quote(run_id)}"
            )
            raise

    async def _claim_when_due(
        self,
        store: Store,
        run_id: str,
        wait_s: float,
        *,
        retry_failed: bool = False,
        unasked: bool = False,
        asked: bool = False,
    ) -> Found | RunRecord:
        world = self._world
        admission = Admission(
            retry_failed=retry_failed, unasked=unasked, wall=world.wall, boot=world.boot, boot_id=world.boot_id
        )

        own = self.agent.record(self._state_codec.schema_hash)

        async def claim() -> Found:
            claimed = await store.claim(run_id, self._owner, self._lease_s, admission, own)
            asleep = await give_back_if_asleep(claimed, admission.admitted_status, world.now())
            if asleep is not None:
                raise NothingToDo(asleep)
            return Found(claimed=claimed, asked=asked and admission.admitted_status != "running")

        return await claim_when_due(claim, wait_s=wait_s, stop=self._stop, world=world)

    async def _drive_on(
        self,
        store: Store,
        claimed: ClaimedRun,
        bound: tuple[Services, RetryPolicy],
        limits: Slice,
        wait_s: float,
        *,
        asked: bool = False,
    ) -> RunResult:
        """Drive a claimed run, over timers that are due soon, until it is left for longer or for good."""
        with self._stoppable():
            while True:
                result = await self._drive(store, claimed, bound, limits, asked=asked)
                if result.status not in ENDED and await fulfil_pending(store, claimed.writer):
                    return await self._stored_result(store, await store.get_run(result.run_id))
                wait_s = min(wait_s, limits.seconds_left())
                # An answer that came while the run was being parked has queued it already.
                goes_on = result.status == "waiting" or result.reason == ANSWERED
                if not goes_on or self._stop.requested or not limits.allows(result.step_index):
                    return result
                found = await self._claim_when_due(store, result.run_id, wait_s)
                if isinstance(found, RunRecord):
                    # Perhaps somebody has done something to it in the meantime.
                    return await self._stored_result(store, found)
                claimed, asked = found.claimed, found.asked

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Note that a run is under way: a stop is asked of those, and one that is begun later knows nothing of it."""
        self._driving += 1
        try:
            yield
        finally:
            self._driving -= 1
            if not self._driving:
                self._stop = StopRequest(self._stop.leaves)

    async def _drive(
        self,
        store: Store,
        claimed: ClaimedRun,
        bound: tuple[Services, RetryPolicy],
        limits: Slice,
        *,
        asked: bool = False,
    ) -> RunResult:
        """Drive a claimed run; whatever happens in here, its lease is released."""
        run: ActiveRun | None = None
        first = claimed.record.step_index
        try:
            claimed.writer.keep_to(self._checkpoints, self._payloads)
            if self.agent.upgrades:
                claimed = attrs.evolve(claimed, state=await self._stored_state(store, claimed.record))
            state = self._state_codec.decode(claimed.state)
            run = self._activate(store, claimed, bound, limits, await attempts_spent(store, claimed.record))
            self._keeper.watch(claimed.writer)
            run.wishes.take_over(claimed.controls, asked=asked)
            self._inboxes.watch(run.wishes)
            left = await run.before_first_step(state) or await driver()(run, state, first)
        except BaseException as error:
            await _abandon(claimed, run, error, self._stop)
            raise
        finally:
            self._keeper.unwatch(claimed.writer)
            if run is not None:
                self._inboxes.unwatch(run.wishes)
        return _result_of(claimed.record.run_id, left)

    async def _raise_budget(self, store: Store, record: RunRecord, more: Budget) -> None:
        """Add to the budget of a run that can be resumed; a live owner is left alone."""
        if record.status in ("completed", "cancelled"):
            raise BadInput(f"run `{record.run_id}` is {record.status}; it spends nothing any more")
        if record.status == "running":
            Admission(wall=self._world.wall, boot=self._world.boot, boot_id=self._world.boot_id)(record, None)
        await store.add_budget(record.run_id, more)

    def _activate(
        self,
        store: Store,
        claimed: ClaimedRun,
        bound: tuple[Services, RetryPolicy],
        limits: Slice,
        spent: int,
    ) -> ActiveRun:
        return ActiveRun(
            claimed=claimed,
            step=self.agent.step,
            store=store,
            services=bound[0],
            state_codec=self._state_codec,
            result_codec=self._result_codec,
            retry_policy=bound[1],
            stop=self._stop,
            bounds=limits,
            durability=self._durability,
            attempts_spent=spent,
        )

    def _bind(self) -> tuple[Services, RetryPolicy]:
        """Bind what plugins offer, before a run is created or claimed: a plugin that fails must not leave it held."""
        return self._bound_services(), self._policy()

    def _bound_services(self) -> Services:
        return Services(
            tool=self.find_tool,
            model=self._find_model,
            classify=classify if self._runtime is None else self._runtime.classify,
            observe=self._observer,
            world=self._world,
            prices=self._prices,
        )

    def _prices(self) -> PriceOf:
        if self._price_of is None:
            self._price_of = price_finder(self._loaded_runtime().config.prices)
        return self._price_of

    def find_tool(self, name: str) -> Tool:
        """Return the tool that a step gets by this name: the agent's own first. Raises ``ToolNotFound``."""
        tool = self._tools.get(name)
        if tool is not None:
            return tool
        try:
            return self._loaded_runtime().tool(name)
        except ToolNotFound as error:
            raise ToolNotFound(name, tuple(sorted({*self._tools, *error.known}))) from error

    def _find_model(self, name: str) -> Any:
        return self._loaded_runtime().model(name)

    def _policy(self) -> RetryPolicy:
        if self.agent.retry_policy is not None:
            return self.agent.retry_policy
        return RetryPolicy() if self._runtime is None else self._runtime.retry_policy()

    def _loaded_runtime(self) -> Runtime:
        if self._runtime is None:
            from loom_core.config import load_config
            from loom_core.runtime.assembly import Runtime

            self._runtime = Runtime.open(load_config(flags={}, environ=os.environ))
        return self._runtime

    def _store(self, mode: Literal["read", "write", "create"]) -> Store:
        """Return the store, opened for at least ``mode``; a runner keeps one writing and one reading connection."""
        given = self._store_given
        if not isinstance(given, str):
            return given
        usable = {"read": ("create", "write", "read"), "write": ("create", "write"), "create": ("create", "write")}
        for opened in usable[mode]:
            if opened in self._opened:
                return self._opened[opened]
        self._opened[mode] = self._loaded_runtime().open_store(given, mode)
        return self._opened[mode]

    def _check_agent(self, record: RunRecord) -> None:
        if self._checks_name and record.agent.name != self.agent.name:
            raise BadInput(
                f"run `{record.run_id}` belongs to agent `{record.agent.name}`, not to `{self.agent.name}`",
                hint=f"resume it with its own agent: {record.agent.reference or record.agent.name}",
            )

    async def _stored_state(self, store: Store, record: RunRecord) -> str:
        """Return the state of the step that comes next as this version of the agent reads it."""
        text = await store.get_state(record.run_id)
        if not self.agent.upgrades:
            return text
        last = await store.get_steps(record.run_id, first=record.step_index - 1, limit=1)
        writer = await store.get_agent(record.run_id, last[0].epoch if last else 1)
        return upgraded(self.agent.upgrades, writer.version, text)

    async def _stored_result(self, store: Store, record: RunRecord) -> RunResult:
        state = self._state_codec.decode(await self._stored_state(store, record))
        return RunResult(
            run_id=record.run_id,
            status=record.status,
            step_index=record.step_index,
            state=state,
            result=None if record.result is None else self._result_codec.decode(record.result),
            reason=record.reason,
            error=record.error,
            wake_at=record.wake_at if record.status == "waiting" else None,
        )


async def _abandon(claimed: ClaimedRun, run: ActiveRun | None, error: BaseException, stop: StopRequest) -> None:
    """Release the lease if the run is still ours; what is being raised says more than a failure to do so."""
    if isinstance(error, GeneratorExit):
        return
    try:
        if run is not None:
            await run.abandon()
        else:
            step_index = claimed.record.step_index
            await claimed.writer.settle(Settlement(step_index=step_index, status=stop.leaves, reason=stop.reason))
    except LoomError as second:
        error.add_note(f"the run's lease could not be released: {second}")


def _result_of(run_id: str, left: Left) -> RunResult:
    return RunResult(
        run_id=run_id,
        status=left.status,
        step_index=left.step_index,
        state=left.state,
        result=left.result,
        reason=left.reason,
        error=left.error,
        wake_at=left.wake_at,
    )


def _agent_of(
    agent: Agent | None,
    step: Step | None,
    name: str | None,
    state_type: Any,
    result_type: Any,
    policy: RetryPolicy | None,
) -> Agent:
    if (agent is None) == (step is None):
        raise LoomError("give AgentRunner either agent= or step=")
    made = agent or Agent(name=name or getattr(step, "__qualname__", "agent"), step=step)  # type: ignore[arg-type]
    changes = {"name": name, "state_type": state_type, "result_type": result_type, "retry_policy": policy}
    return attrs.evolve(made, **{field: value for field, value in changes.items() if value is not None})


def _codec(type_: Any, what: str, encode: Callable[[Any], Any] | None, decode: Callable[[Any], Any] | None) -> Codec:
    from loom_core.values import codec_for, codec_with

    if encode is not None or decode is not None:
        return codec_with(encode or _same, decode or _same, what=what)
    return codec_for(type_, what=what)


def _located(store: Store | str | os.PathLike[str]) -> Store | str:
    """Return a path as it is meant now, whatever folder the process is in later."""
    if not isinstance(store, (str, os.PathLike)):
        return store
    given = os.fspath(store)
    if not given:
        raise BadInput("the database has no name", hint="give a path or a URL")
    return given if "://" in given else str(Path(given).absolute())


def _same(value: Any) -> Any:
    return value


def _tools_of(tools: ToolRegistry | Iterable[Tool] | None) -> tuple[Tool, ...]:
    if tools is None:
        return ()
    names = getattr(tools, "names", None)
    if names is None:
        return tuple(tools)  # type: ignore[arg-type]
    return tuple(tools.get(name) for name in names())  # type: ignore[union-attr]


def _tools_by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    found: dict[str, Tool] = {}
    for each in tools:
        if each.name in found:
            raise LoomError(f"two tools are named `{each.name}`", hint="rename one: @tool(name=…)")
        found[each.name] = each
    return found


def _slice(first_step: int, max_steps: int | None, max_seconds: float | None) -> Slice:
    return Slice(
        last_step=None if max_steps is None else first_step + max_steps - 1,
        until_s=None if max_seconds is None else time.monotonic() + max_seconds,
    )


def _check_slice(max_steps: int | None, max_seconds: float | None) -> None:
    if max_steps is not None and max_steps < 1:
        raise BadInput(f"max_steps is {max_steps}; at least one step is needed")
    if max_seconds is not None and not max_seconds > 0:
        raise BadInput(f"max_seconds is {max_seconds}; it has to be more than 0")
