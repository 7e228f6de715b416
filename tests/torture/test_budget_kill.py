"""kill -9 at every write of a run with a budget: nothing is spent that was not reserved, nothing reserved is lost."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from loom_core import Agent, AgentRunner, Budget, Complete, Continue, open_store, tool
from loom_core.errors import RunExists, RunNotFound, StoreUnusable
from tests.torture.crashing import CrashingVFS, Writes, in_child

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1500)]
STEPS = 5
RUN_ID = "spender"


def make_agent(ledger: Path) -> Agent:
    @tool(effect="idempotent")
    async def work(n: int) -> int:
        """Work, and leave a line."""
        with ledger.open("a") as lines:
            lines.write(f"{n}\n")
        return n

    async def step(state: int, ctx: Any) -> Any:
        if state == STEPS:
            return Complete(state)
        await ctx.call_tool("work", n=state)
        return Continue(state + 1)

    return Agent(name="spender", step=step, initial_state=0, tools=(work,), budget=Budget(tool_calls=2))


def go_on(db: Path, ledger: Path) -> str:
    return asyncio.run(_go_on(db, ledger))


async def _go_on(db: Path, ledger: Path) -> str:
    async with AgentRunner(agent=make_agent(ledger), store=db) as runner:
        try:
            result = await runner.start(run_id=RUN_ID)
        except RunExists:
            result = await runner.resume(run_id=RUN_ID)
        while result.reason == "budget:tool_calls":
            result = await runner.resume(run_id=RUN_ID, more=Budget(tool_calls=1))
        return result.reason or result.status


def go_on_and_die(db: Path, ledger: Path, die_at: int, *, after: bool) -> int:
    writes = Writes(die_at=die_at, after=after)
    vfs = CrashingVFS(writes)
    reason = go_on(db, ledger)
    assert vfs.registered and (die_at or reason == "completed"), reason
    return writes.seen


async def judge(db: Path, ledger: Path) -> None:
    """What is true at every instant: each line was paid for, and the row is the sum of its calls."""
    worked = len(ledger.read_text().split()) if ledger.exists() else 0
    try:
        store = open_store(str(db), "read")
    except StoreUnusable:
        assert worked == 0
        return
    try:
        budget = await store.get_budget(RUN_ID)
        assert budget is not None and budget.budget.tool_calls is not None
        calls = await store.get_calls(RUN_ID, limit=1000)
        assert worked <= budget.spent.tool_calls == len(calls) <= budget.budget.tool_calls
        assert list(await store.verify()) == []
    except RunNotFound:
        assert worked == 0
    finally:
        await store.aclose()


def test_killed_at_any_write_a_run_never_spends_more_than_its_budget_nor_forgets_what_it_has_spent(
    tmp_path: Path, whole_torture: bool
) -> None:
    report = tmp_path / "report"
    db, ledger = tmp_path / "count.sqlite", tmp_path / "count.ledger"
    counted = in_child(lambda: go_on_and_die(db, ledger, 0, after=False), report)
    assert counted.raised is None, counted.raised
    total = int(counted.value)
    points = range(1, total + 1, 1 if whole_torture else max(1, total // 25))
    deaths = 0
    for point in points:
        for after in (False, True):
            place = (tmp_path / f"{point}{after}.sqlite", tmp_path / f"{point}{after}.ledger")
            ending = in_child(lambda p=point, a=after, w=place: go_on_and_die(*w, p, after=a), report)
            deaths += ending.signal == signal.SIGKILL
            asyncio.run(judge(*place))
            ended = in_child(lambda w=place: go_on(*w), report)
            assert ended.value == "completed", ended
            asyncio.run(judge(*place))
            assert set(place[1].read_text().split()) == {str(n) for n in range(STEPS)}
    assert deaths == 2 * len(points), "a kill point was not reached, so nothing was tested there"
    print(f"killed at {deaths} points of {total} writes")
