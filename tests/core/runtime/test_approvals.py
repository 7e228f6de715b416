"""Nothing happens before it is allowed: tools with an approval, and questions of a step's own."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import attrs
import pytest

from loom_core import (
    Agent,
    AgentRunner,
    Approval,
    ApprovalDenied,
    Complete,
    Continue,
    Person,
    StepExecutionError,
    ToolContext,
    tool,
)
from loom_core.contracts.people import ApprovalAnswer
from loom_core.errors import BadInput
from loom_core.runtime.answering import answer_question
from loom_core.runtime.controlling import pause_run
from loom_core.testing import MemoryStore, VirtualClock
from tests.core.runtime.support import AT_ONCE, play

ANN = Person(name="ann", user="root")


class World:
    """The effects that happened, and a clock that is moved by hand."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.now = 1_000_000.0

    def done(self) -> list[str]:
        ledger = self.place / "ledger"
        return ledger.read_text().split() if ledger.exists() else []

    def tool(self, **options: Any) -> Any:
        @tool(**options)
        def deploy(what: str, context: ToolContext) -> str:
            "Deploy."
            with (self.place / "ledger").open("a") as ledger:
                ledger.write(f"{what}:{context.key}\n")
            return f"deployed {what}"

        return deploy


def agent(world: World, step: Any, *tools: Any, **options: Any) -> AgentRunner:
    made = Agent(name="deployer", step=step, initial_state=0, tools=tools, retry_policy=AT_ONCE)
    return AgentRunner(agent=made, store=world.place / "runs.sqlite", **options)


async def decide(runner: AgentRunner, decision: Any, *, by: Person = ANN, note: str | None = None, **which: Any) -> Any:
    answer = ApprovalAnswer(decision=decision, by=by, note=note)
    return await answer_question(runner._store("write"), which.get("run_id", "r"), which.get("approval_id"), answer)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_tool_that_needs_an_approval_does_nothing_until_somebody_allows_it(world: World) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("deploy", what="v2"))

    async def main() -> Any:
        async with agent(world, step, world.tool(approval=Approval(approvers=("ann",)))) as runner:
            waiting = await runner.start(run_id="r")
            assert (waiting.status, waiting.reason) == ("waiting", "approval:0/0")
            assert world.done() == []
            assert (await runner.resume(run_id="r")).status == "waiting"
            assert world.done() == []
            assert list(await runner.get_tool_calls("r")) == []
            (asked,) = await runner._store("read").get_approvals("r")
            assert (asked.subject, asked.arguments, asked.approvers) == ("deploy", '{"what":"v2"}', ("ann",))
            await decide(runner, "approved")
            assert world.done() == []
            result = await runner.resume(run_id="r")
            assert (result.status, result.result) == ("completed", "deployed v2")
            assert world.done() == ["v2:r/0/0"]
            (used,) = await runner._store("read").get_approvals("r")
            assert used.used_at is not None
            assert (await runner.verify_run("r")).ok

    play(main)


def test_a_denied_call_raises_in_the_step_which_may_go_on_without_it(world: World) -> None:
    async def step(state: int, ctx: Any) -> Any:
        try:
            return Complete(await ctx.call_tool("deploy", what="v2"))
        except ApprovalDenied as no:
            return Complete([str(no), no.by, no.note, no.is_retryable])

    async def main() -> Any:
        async with agent(world, step, world.tool(approval=True)) as runner:
            await runner.start(run_id="r")
            await decide(runner, "denied", note="not on a Friday")
            result = await runner.resume(run_id="r")
            said = "tool `deploy` was not called: ann said no: not on a Friday (question 0/0)"
            assert result.result == [said, "ann", "not on a Friday", False]
            assert world.done() == []

    play(main)


def test_a_denial_that_the_step_does_not_handle_fails_the_run_at_once_and_trying_again_asks_again(
    world: World,
) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("deploy", what="v2"))

    async def main() -> Any:
        async with agent(world, step, world.tool(approval=True)) as runner:
            await runner.start(run_id="r")
            await decide(runner, "denied")
            with pytest.raises(ApprovalDenied):
                await runner.resume(run_id="r")
            record = await runner.get_run("r")
            assert (record.status, record.counters.failed_attempts) == ("failed", 1)
            again = await runner.resume(run_id="r", retry_failed=True)
            assert (again.status, again.reason) == ("waiting", "approval:0/0~1")
            await decide(runner, "approved")
            assert (await runner.resume(run_id="r")).status == "completed"
            assert len(world.done()) == 1

    play(main)


def test_other_arguments_are_another_question_and_the_answer_to_the_first_allows_nothing(world: World) -> None:
    versions = ["v1"]

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("deploy", what=versions[0]))

    async def main() -> Any:
        async with agent(world, step, world.tool(approval=True)) as runner:
            await runner.start(run_id="r")
            await decide(runner, "approved")
            versions[0] = "v2"
            asked = await runner.resume(run_id="r")
            assert (asked.status, asked.reason) == ("waiting", "approval:0/0~1")
            assert world.done() == []
            await decide(runner, "approved")
            await runner.resume(run_id="r")
            assert world.done() == ["v2:r/0/0"]
            first, second = await runner._store("read").get_approvals("r")
            assert (first.used_at, second.used_at is None) == (None, False)

    play(main)


def test_two_calls_with_the_same_arguments_are_two_questions(world: World) -> None:
    async def step(state: int, ctx: Any) -> Any:
        one = await ctx.call_tool("deploy", what="v1")
        return Complete([one, await ctx.call_tool("deploy", what="v1")])

    async def main() -> Any:
        async with agent(world, step, world.tool(approval=True)) as runner:
            await runner.start(run_id="r")
            await decide(runner, "approved")
            second = await runner.resume(run_id="r")
            assert (second.status, second.reason) == ("waiting", "approval:0/1")
            assert len(world.done()) == 1
            await decide(runner, "approved")
            assert (await runner.resume(run_id="r")).status == "completed"
            assert len(world.done()) == 2

    play(main)


def test_no_answer_in_time_means_no(world: World) -> None:
    from loom_core.runtime.services import World as Clocks

    async def step(state: int, ctx: Any) -> Any:
        try:
            return Complete(await ctx.call_tool("deploy", what="v2"))
        except ApprovalDenied as no:
            return Complete([no.by, str(no)])

    async def main() -> Any:
        from loom_core.testing import FakeClocks, MemoryStore

        clocks = FakeClocks()
        store = MemoryStore(wall=clocks.wall, boot=clocks.boot)
        made = Agent(name="a", step=step, initial_state=0, tools=(world.tool(approval=Approval(expires_s=60)),))
        runner = AgentRunner(agent=made, store=store, world=Clocks(wall=clocks.wall))
        waiting = await runner.start(run_id="r", wait_s=0)
        assert (await store.get_run("r")).wake_at == clocks.wall_s + 60
        clocks.advance(59)
        assert (await runner.resume(run_id="r", wait_s=0)).status == waiting.status == "waiting"
        clocks.advance(1)
        with pytest.raises(BadInput, match="too late"):
            await store.answer_approval("r", "0/0", ApprovalAnswer(decision="approved", by=ANN))
        result = await runner.resume(run_id="r")
        assert result.result == [None, "tool `deploy` was not called: nobody allowed it in time (question 0/0)"]
        assert world.done() == []

    play(main)


def test_a_policy_may_ask_for_some_arguments_only(world: World) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete([await ctx.call_tool("deploy", what=w) for w in ("test", "live")])

    async def main() -> Any:
        policy = Approval(when=lambda arguments: arguments["what"] == "live")
        async with agent(world, step, world.tool(approval=policy)) as runner:
            waiting = await runner.start(run_id="r")
            assert waiting.reason == "approval:0/1"
            assert world.done() == ["test:r/0/0"]
            await decide(runner, "approved")
            await runner.resume(run_id="r")
            assert world.done() == ["test:r/0/0", "live:r/0/1"]

    play(main)


def test_a_policy_that_raises_lets_nothing_happen(world: World) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("deploy", what="v2"))

    async def main() -> Any:
        async with agent(world, step, world.tool(approval=Approval(when=lambda a: a["nope"]))) as runner:
            with pytest.raises(KeyError):
                await runner.start(run_id="r")
            assert world.done() == []

    play(main)


def test_a_question_is_answered_with_who_when_and_why(world: World) -> None:
    async def step(state: int, ctx: Any) -> Any:
        answer = await ctx.ask("Deploy?", approvers=("ann",), expires=dt.timedelta(hours=1))
        return Complete([bool(answer), answer.by.name, answer.note, answer.expired])

    async def main() -> Any:
        async with agent(world, step) as runner:
            waiting = await runner.start(run_id="r")
            assert (waiting.status, waiting.reason) == ("waiting", "approval:0/0")
            (asked,) = await runner._store("read").get_approvals("r")
            assert (asked.kind, asked.subject) == ("question", "Deploy?")
            with pytest.raises(BadInput, match="bob may not answer"):
                await decide(runner, "approved", by=Person(name="bob"))
            await decide(runner, "denied", note="later")
            assert (await runner.resume(run_id="r")).result == [False, "ann", "later", False]

    play(main)


def test_a_question_that_rests_on_the_clock_is_the_same_when_the_step_is_executed_again(world: World) -> None:
    async def step(state: int, ctx: Any) -> Any:
        answer = await ctx.ask(f"Deploy at {ctx.now()} with {ctx.random()}?")
        return Complete(bool(answer))

    async def main() -> Any:
        async with agent(world, step) as runner:
            await runner.start(run_id="r")
            await decide(runner, "approved")
            assert (await runner.resume(run_id="r")).result is True
            assert len(await runner._store("read").get_approvals("r")) == 1

    play(main)


def test_an_answer_holds_for_every_attempt_of_the_step(world: World) -> None:
    attempts = []

    async def step(state: int, ctx: Any) -> Any:
        answer = await ctx.ask("Go on?")
        attempts.append(ctx.attempt_index)
        if ctx.attempt_index == 0:
            raise StepExecutionError("not now", error_category="transient", is_retryable=True)  # type: ignore[arg-type]
        return Complete(bool(answer))

    async def main() -> Any:
        async with agent(world, step) as runner:
            await runner.start(run_id="r")
            await decide(runner, "approved")
            assert (await runner.resume(run_id="r")).result is True
            assert attempts == [0, 1]

    play(main)


def test_what_a_step_asks_before_and_after_has_places_of_its_own(world: World) -> None:
    async def step(state: int, ctx: Any) -> Any:
        if state == 2:
            return Complete(state)
        await ctx.ask("same words?")
        return Continue(state + 1)

    async def main() -> Any:
        async with agent(world, step) as runner:
            reasons = [(await runner.start(run_id="r")).reason]
            for _ in range(2):
                await decide(runner, "approved")
                reasons.append((await runner.resume(run_id="r")).reason)
            assert reasons == ["approval:0/0", "approval:1/0", None]

    play(main)


def test_in_branches_the_calls_that_need_nobody_are_made_and_the_questions_are_put_one_after_the_other(
    world: World,
) -> None:
    @tool(effect="read")
    async def look() -> str:
        "Look."
        return "seen"

    async def step(state: int, ctx: Any) -> Any:
        return Complete(
            await ctx.gather(
                ctx.call_tool("look"), ctx.call_tool("deploy", what="a"), ctx.call_tool("deploy", what="b")
            )
        )

    async def main() -> Any:
        async with agent(world, step, look, world.tool(approval=True)) as runner:
            result = await runner.start(run_id="r")
            rounds = 0
            while result.status == "waiting":
                rounds += 1
                await decide(runner, "approved")
                result = await runner.resume(run_id="r")
            assert result.result == ["seen", "deployed a", "deployed b"]
            assert rounds == 2
            assert sorted(world.done()) == ["a:r/0/g0.1/0", "b:r/0/g0.2/0"]

    play(main)


@pytest.mark.parametrize("effect", ["idempotent", "once"])
def test_a_call_that_was_interrupted_needs_no_second_approval_and_happens_no_second_time(
    world: World, effect: str
) -> None:
    """An approval stands for one call: what becomes of its interruption is decided by the tool's effect alone."""
    tries: list[str] = []

    @tool(effect=effect, approval=True)  # type: ignore[arg-type]
    def deploy(what: str, context: ToolContext) -> str:
        "Deploy."
        tries.append(context.key)
        if len(tries) == 1:
            raise TimeoutError("no answer")
        return "deployed"

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("deploy", what="v2"))

    async def main() -> Any:
        async with agent(world, step, deploy) as runner:
            await runner.start(run_id="r")
            await decide(runner, "approved")
            result = await runner.resume(run_id="r")
            if effect == "once":
                assert (result.status, result.reason) == ("waiting", "doubt:0/0")
                assert len(tries) == 1
            else:
                assert result.status == "completed"
                assert tries == ["r/0/0", "r/0/0"]
            assert len(await runner._store("read").get_approvals("r")) == 1

    play(main)


def test_an_approval_of_another_kind_is_refused_when_the_tool_is_made_or_called(world: World) -> None:
    with pytest.raises(BadInput, match="approval is 'yes'"):
        world.tool(approval="yes")

    @attrs.define
    class Odd:
        approval = "always"

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("deploy", what="v2"))

    async def main() -> Any:
        odd = world.tool()
        object.__setattr__(odd, "approval", "always")
        async with agent(world, step, odd) as runner:
            with pytest.raises(BadInput, match="`approval` of tool `deploy`"):
                await runner.start(run_id="r")
            assert world.done() == []

    play(main)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"question": "  "}, "the question is empty"),
        ({"question": "Go?", "approvers": ("",)}, "approvers are names"),
        ({"question": "Go?", "expires": 0}, "`expires` is 0 s"),
        ({"question": "Go?", "expires": dt.datetime(2030, 1, 1)}, "no time zone"),
    ],
)
def test_a_question_that_nobody_could_answer_is_refused(world: World, arguments: dict[str, Any], said: str) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(bool(await ctx.ask(**arguments)))

    async def main() -> Any:
        async with agent(world, step) as runner:
            with pytest.raises(BadInput, match=said):
                await runner.start(run_id="r")

    asyncio.run(main())


def test_facts_that_were_found_with_a_run_belong_to_the_step_that_it_was_found_at(world: World) -> None:
    """A later step that is tried again must not be given what an earlier one drew."""
    drawn: list[Any] = []

    async def step(state: int, ctx: Any) -> Any:
        drawn.append(ctx.random())
        if state == 0:
            await ctx.ask("Go on?")
            return Continue(1)
        if ctx.attempt_index == 0:
            raise ConnectionError("once more")
        return Complete(0)

    async def main() -> Any:
        async with agent(world, step) as runner:
            await runner.start(run_id="r")
            await decide(runner, "approved")
            assert (await runner.resume(run_id="r")).status == "completed"
            asked, again, first, second = drawn
            assert (asked == again, first == second, asked == first) == (True, True, False)

    play(main)


def test_a_step_cannot_wait_for_a_signal_of_the_runtimes_own() -> None:
    from loom_core import Wait

    with pytest.raises(ValueError, match="a signal cannot be named `loom:pause`"):
        Wait(0, signal="loom:pause")


def test_an_answer_that_comes_while_the_run_is_being_parked_is_gone_on_with_at_once(world: World) -> None:
    executed: list[bool] = []

    async def step(state: int, ctx: Any) -> Any:
        executed.append(True)
        if len(executed) == 2:
            await decide(runner, "approved")
        return Complete(bool(await ctx.ask("Ready?")))

    async def main() -> None:
        nonlocal runner
        async with agent(world, step) as runner:
            assert (await runner.start(run_id="r")).status == "waiting"
            await pause_run(runner._store("write"), "r", ANN)
            result = await runner.resume(run_id="r")
            assert (result.status, result.result, len(executed)) == ("completed", True, 3)

    runner: AgentRunner
    play(main)


def test_who_waits_in_process_for_an_answer_looks_for_it_often() -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(bool(await ctx.ask("Ready?", expires=30)))

    async def main() -> None:
        clock = VirtualClock()
        store = MemoryStore(wall=clock.wall, boot=clock.boot)
        going = asyncio.ensure_future(
            AgentRunner(step=step, store=store, world=clock.world()).start(run_id="r", initial_state=0)
        )
        await clock.world().sleep(0.1)
        answered_s = clock.wall()
        await answer_question(store, "r", None, ApprovalAnswer(decision="approved", by=ANN))
        assert (await going).result is True
        assert clock.wall() - answered_s < 1

    play(main)
