"""Forks: what happens again in them, what does not, and that the run they are made of stays as it was."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs
import pytest

from loom_core import Complete, Continue, RunExists, Wait, open_store, tool
from loom_core.contracts.stores import RunRecord
from loom_core.errors import BadInput, RunBusy, RunNotFound
from loom_core.runtime.explain import explain
from loom_core.runtime.forking import fork_run, plan_fork
from tests.core.runtime.support import play, runner


class Till:
    """Counts what it is paid, by the keys it is given."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def tool(self) -> Any:
        @tool
        async def pay(amount: int, context: Any = None) -> int:
            """Pay."""
            self.keys.append(f"{amount}")
            return amount

        return pay


async def step(state: int, ctx: Any) -> Any:
    if state == 5:
        return Complete(state)
    await ctx.call_tool("pay", amount=state)
    await ctx.call_tool("pay", amount=100, idempotency_key="deposit")
    return Continue(state + 1)


async def _forked(place: Path, run_id: str, step_index: int, new_id: str | None = None) -> RunRecord:
    store = open_store(str(place / "runs.sqlite"), "write")
    try:
        return await fork_run(store, await plan_fork(store, run_id, step_index, new_id))
    finally:
        await store.aclose()


def test_effects_from_the_step_on_happen_again_and_those_before_it_do_not(tmp_path: Path) -> None:
    async def main() -> None:
        till = Till()
        async with runner(tmp_path, step, till.tool()) as agent:
            await agent.start(run_id="r", initial_state=0)
            before = (await agent.get_run("r"), await agent.get_history("r"), await agent.get_tool_calls("r"))
        assert till.keys == ["0", "100", "1", "2", "3", "4"]
        till.keys.clear()
        record = await _forked(tmp_path, "r", 3)
        assert (record.run_id, record.status) == ("r-fork-3", "queued")
        assert till.keys == []
        async with runner(tmp_path, step, till.tool()) as agent:
            result = await agent.resume(run_id="r-fork-3")
            assert (result.status, result.result, result.step_index) == ("completed", 5, 6)
            # A key of the user's that was used before the step is the same call; the others are made again.
            assert till.keys == ["3", "4"]
            after = (await agent.get_run("r"), await agent.get_history("r"), await agent.get_tool_calls("r"))
            assert after == before
            assert (await agent.verify_run("r-fork-3")).ok

    play(main)


def test_a_plan_names_what_changed_something_and_counts_models(tmp_path: Path) -> None:
    @tool(effect="read")
    async def look() -> str:
        """Look."""
        return "seen"

    async def looking(state: int, ctx: Any) -> Any:
        await ctx.call_tool("look")
        return await step(state, ctx)

    async def main() -> None:
        async with runner(tmp_path, looking, Till().tool(), look) as agent:
            await agent.start(run_id="r", initial_state=0)
        store = open_store(str(tmp_path / "runs.sqlite"), "read")
        plan = await plan_fork(store, "r", 3)
        assert [(c.step_index, c.name) for c in plan.effects] == [(3, "pay"), (4, "pay")]
        assert (plan.more_effects, plan.model_calls, plan.new_id) == (0, 0, "r-fork-3")
        assert len((await plan_fork(store, "r", 0)).effects) == 6
        assert (await plan_fork(store, "r", 5)).effects == ()
        await store.aclose()

    play(main)


def test_a_name_that_is_taken_is_not_chosen_and_not_accepted(tmp_path: Path) -> None:
    async def main() -> None:
        async with runner(tmp_path, step, Till().tool()) as agent:
            await agent.start(run_id="r", initial_state=0)
        assert (await _forked(tmp_path, "r", 3)).run_id == "r-fork-3"
        assert (await _forked(tmp_path, "r", 3)).run_id == "r-fork-3-2"
        with pytest.raises(RunExists):
            await _forked(tmp_path, "r", 3, "r")
        for name in ("", " x", "a:sub:b", "x" * 201):
            with pytest.raises(BadInput):
                await _forked(tmp_path, "r", 3, name or "\n")

    play(main)


def test_bad_input_makes_no_fork(tmp_path: Path) -> None:
    async def main() -> None:
        async with runner(tmp_path, step, Till().tool()) as agent:
            await agent.start(run_id="r", initial_state=0)
            for step_index in (-1, 6, 7, 10**12):
                with pytest.raises(BadInput):
                    await _forked(tmp_path, "r", step_index)
            with pytest.raises(RunNotFound):
                await _forked(tmp_path, "never", 0)
            assert len(await agent.list_runs()) == 1

    play(main)


def test_a_run_in_the_hands_of_a_living_owner_is_not_forked(tmp_path: Path) -> None:
    async def main() -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def holding(state: int, ctx: Any) -> Any:
            if state == 2:
                reached.set()
                await go_on.wait()
                return Complete(state)
            return Continue(state + 1)

        async with runner(tmp_path, holding) as agent:
            task = asyncio.create_task(agent.start(run_id="r", initial_state=0))
            await reached.wait()
            with pytest.raises(RunBusy):
                await _forked(tmp_path, "r", 1)
            go_on.set()
            await task
            assert [r.run_id for r in await agent.list_runs()] == ["r"]

    play(main)


def test_a_fork_where_a_signal_came_is_given_it_again(tmp_path: Path) -> None:
    async def asking(state: str, ctx: Any) -> Any:
        if state == "begin":
            return Wait("asked", signal="answer")
        return Complete(ctx.signal.payload)

    async def main() -> None:
        async with runner(tmp_path, asking) as agent:
            await agent.start(run_id="r", initial_state="begin")
            assert (await _forked(tmp_path, "r", 1, "early")).status == "waiting"
            await agent.send_signal("r", "answer", 42)
            assert (await agent.resume(run_id="r")).result == 42
            await _forked(tmp_path, "r", 1, "again")
            assert (await agent.resume(run_id="again")).result == 42
            assert (await agent.resume(run_id="early")).status == "waiting"

    play(main)


def test_explain_says_from_where_a_run_was_forked(tmp_path: Path) -> None:
    async def main() -> None:
        async with runner(tmp_path, step, Till().tool()) as agent:
            await agent.start(run_id="r", initial_state=0)
            await _forked(tmp_path, "r", 3)
            explanation = await agent.explain_run("r-fork-3")
            lines = explanation.lines()
            assert "forked    from `r` at step 3" in lines
            assert any(": it was forked from another run, and nobody has begun it yet" in line for line in lines)
            assert any("forked from `r` at step 3, by process" in line for line in lines)
            assert any("step 0 of the run that it was forked from" in line for line in lines)
            assert not any("steps without calls" in line for line in lines)
            assert not any(line.startswith("history") for line in lines)
            data = explanation.to_data()
            assert attrs.asdict(explanation.record.origin) == data["origin"]  # type: ignore[arg-type]
            await agent.resume(run_id="r-fork-3")
            text = "\n".join((await agent.explain_run("r-fork-3")).lines())
            assert "found queued" in text
            store = open_store(str(tmp_path / "runs.sqlite"), "read")
            assert "forked" not in "\n".join((await explain(store, "r")).lines())

    play(main)
