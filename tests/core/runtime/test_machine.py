"""A state machine above the runtime: random agents, random deaths, random decisions; the promises hold throughout."""

from __future__ import annotations

import asyncio
import collections
import tempfile
from pathlib import Path
from typing import Any

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from loom_core import AgentRunner, Complete, Continue, NotStarted, ToolContext, ToolFailed, Wait, open_store, tool
from loom_core.errors import BadInput, ErrorCategory, LoomError, StepExecutionError
from loom_core.runtime.owners import this_owner
from loom_core.runtime.resolving import resolve_call
from loom_core.testing import MemoryStore
from tests.core.runtime.mortal import Death, Life, Mortal
from tests.core.runtime.support import AT_ONCE

# No process has it: Linux numbers them up to 2**22.
DEAD_PID = 2**22 + 1
EFFECTS = ("read", "idempotent", "once")
BEHAVIOURS = ("ok", "ok", "ok", "transient", "business", "not started", "lost")
DURABILITIES = ("standard", "strict", "pipelined")


@attrs.frozen
class CallPlan:
    """One managed call. ``behaviours`` are those of its executions in turn; after them it succeeds."""

    effect: str
    behaviours: tuple[str, ...]
    caught: bool


@attrs.frozen
class StepPlan:
    """One step: its calls in order, one after the other or all at once, then whether it waits for a signal."""

    calls: tuple[CallPlan, ...] = ()
    together: bool = False
    waits: bool = False


calls = st.builds(
    CallPlan, st.sampled_from(EFFECTS), st.lists(st.sampled_from(BEHAVIOURS), max_size=3).map(tuple), st.booleans()
)
plans = st.lists(
    st.builds(StepPlan, st.lists(calls, max_size=3).map(tuple), st.booleans(), st.booleans()), min_size=1, max_size=5
)


class Outside:
    """The world that nobody rolls back: what was executed, how often, with which answer."""

    def __init__(self, plan: list[StepPlan]) -> None:
        self.plan = plan
        self.executed: collections.Counter[tuple[int, int]] = collections.Counter()
        self.happened: collections.Counter[tuple[int, int]] = collections.Counter()
        self.committed = 0
        self.answers = 0

    def tools(self) -> list[Any]:
        async def act(step: int, call: int, context: ToolContext) -> int:
            """Do what the plan says for this execution."""
            which = (step, call)
            plan = self.plan[step].calls[call]
            turn = self.executed[which]
            self.executed[which] += 1
            behaviour = plan.behaviours[turn] if turn < len(plan.behaviours) else "ok"
            await asyncio.sleep(0)
            if behaviour == "not started":
                raise NotStarted("not now")
            self.happened[which] += 1
            if plan.effect == "once":
                assert self.happened[which] == 1, f"call {which} happened twice"
            if behaviour == "transient":
                raise StepExecutionError("try again", error_category=ErrorCategory.TRANSIENT)
            if behaviour == "business":
                raise StepExecutionError("refused", error_category=ErrorCategory.BUSINESS)
            if behaviour == "lost":
                raise ConnectionResetError("who knows")
            self.answers += 1
            return self.answers

        return [tool(act, name=effect, effect=effect) for effect in EFFECTS]  # type: ignore[call-overload]

    async def step(self, state: dict[str, Any], ctx: Any) -> Any:
        number = state["n"]
        assert ctx.step_index >= self.committed, "a committed step was executed again"
        if number == len(self.plan):
            return Complete(state["sum"])
        plan = self.plan[number]
        works = [self._call(ctx, number, index, call) for index, call in enumerate(plan.calls)]
        if plan.together:
            answers = await ctx.gather(*works)
        else:
            answers = []
            for index, work in enumerate(works):
                try:
                    answers.append(await work)
                except BaseException:
                    for other in works[index + 1 :]:
                        other.close()
                    raise
        after = {"n": number + 1, "sum": state["sum"] + sum(answers)}
        return Wait(after, signal="go") if plan.waits else Continue(after)

    async def _call(self, ctx: Any, number: int, index: int, plan: CallPlan) -> int:
        try:
            answer: int = await ctx.call_tool(plan.effect, step=number, call=index)
        except ToolFailed:
            if plan.caught:
                return 0
            raise
        return answer


class Machine(RuleBasedStateMachine):
    """One run; every rule is one thing that a person, a process or the machine does."""

    on_disk = False

    @initialize(plan=plans)
    def begin(self, plan: list[StepPlan]) -> None:
        self.outside = Outside(plan)
        self.exists = False
        self.folder = tempfile.TemporaryDirectory()
        self.memory = MemoryStore()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            try:
                self.run_to_the_end()
            finally:
                self.folder.cleanup()

    def _open(self) -> Any:
        return (
            open_store(str(Path(self.folder.name) / "runs.sqlite"), "create") if self.on_disk else self.memory.reopen()
        )

    def _drive(self, life: Life, durability: Any = "standard", *, retry_failed: bool = False) -> str:
        async def main() -> str:
            store = self._open()
            runner = AgentRunner(
                step=self.outside.step,
                state_type=dict[str, Any],
                store=Mortal(store, life),  # type: ignore[arg-type]
                tools=self.outside.tools(),
                retry_policy=AT_ONCE,
                durability=durability,
            )
            runner._owner = attrs.evolve(this_owner(), pid=DEAD_PID, started="1")
            try:
                if self.exists:
                    result = await runner.resume(run_id="run", retry_failed=retry_failed)
                else:
                    result = await runner.start(run_id="run", initial_state={"n": 0, "sum": 0})
                return result.status
            except Death:
                return "died"
            except (LoomError, StepExecutionError):
                return "failed"
            finally:
                self.exists = bool(await store.list_runs())
                if self.exists:
                    record = await store.get_run("run")
                    self.outside.committed = max(self.outside.committed, record.step_index)
                await store.aclose()

        return asyncio.run(main())

    @rule(writes=st.integers(1, 12), after=st.booleans(), durability=st.sampled_from(DURABILITIES))
    def drive_until_killed(self, writes: int, after: bool, durability: str) -> None:
        self._drive(Life(writes, after), durability)

    @rule(durability=st.sampled_from(DURABILITIES))
    def drive(self, durability: str) -> None:
        life = Life()
        assert self._drive(life, durability) != "died"

    @rule(writes=st.one_of(st.none(), st.integers(1, 6)))
    def retry_failed(self, writes: int | None) -> None:
        self._drive(Life(writes), retry_failed=True)

    @precondition(lambda self: self.exists)
    @rule()
    def signal(self) -> None:
        async def main() -> None:
            store = self._open()
            await store.send_signal("run", "go", "1")
            await store.aclose()

        asyncio.run(main())

    @precondition(lambda self: self.exists)
    @rule(decision=st.sampled_from(["as it was", "fail"]))
    def decide(self, decision: str) -> None:
        asyncio.run(self._decide(decision))

    async def _decide(self, decision: str) -> None:
        store = self._open()
        try:
            for call in await store.get_calls("run", limit=1000):
                if call.effect != "once" or call.status not in ("unknown", "failed"):
                    continue
                # `2` is the third call, `g0.2/0` the first of the third branch.
                index = int(call.key.partition("/")[0].rpartition(".")[2])
                seen = self.outside.happened[call.step_index, index]
                options: dict[str, Any] = {"result": "0"} if seen else {"retry": True}
                if decision == "fail":
                    options = {"fail": "given up"}
                try:
                    await resolve_call(store, "run", call.call_id, by="the machine", **options)
                except BadInput:
                    # Of an earlier step, or failed in a run that goes on: there is nothing to decide.
                    continue
        finally:
            await store.aclose()

    def run_to_the_end(self) -> None:
        """Without further deaths, and with somebody who decides and signals, every run ends."""
        for _ in range(40):
            status = self._drive(Life(), retry_failed=True)
            if status == "completed":
                break
            self.signal()
            self.decide("as it was")
        else:
            raise AssertionError("the run did not come to its end")
        asyncio.run(self._judge())

    async def _judge(self) -> None:
        store = self._open()
        record = await store.get_run("run")
        calls = await store.get_calls("run", limit=10_000)
        assert record.step_index == len(self.outside.plan) + 1
        assert not [call for call in calls if call.status == "started"]
        await store.aclose()

    @invariant()
    def the_store_is_consistent(self) -> None:
        if getattr(self, "exists", False):

            async def main() -> None:
                store = self._open()
                assert not await store.verify("run")
                await store.aclose()

            asyncio.run(main())


class OnDisk(Machine):
    on_disk = True


FEW = settings(max_examples=60, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))


def test_in_memory_no_sequence_of_deaths_and_decisions_breaks_a_promise() -> None:
    run_state_machine_as_test(Machine, settings=FEW)


def test_on_disk_no_sequence_of_deaths_and_decisions_breaks_a_promise() -> None:
    run_state_machine_as_test(OnDisk, settings=settings(FEW, max_examples=25))
