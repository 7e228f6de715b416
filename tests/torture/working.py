"""Workers in forked children: many runs with timers, retries and effects, on one file."""

from __future__ import annotations

import asyncio
import collections
import json
import os
from pathlib import Path
from typing import Any

from loom_runner.scheduling.firing import Startable, Ticker

from loom_core import (
    Agent,
    AgentRunner,
    Complete,
    Continue,
    ErrorCategory,
    RetryPolicy,
    Sleep,
    StepExecutionError,
    ToolContext,
    open_store,
    tool,
)
from loom_core.runtime.worker import Worker

LAST = 7


def make_agent(place: Path) -> Agent:
    """An agent whose every step, attempt and effect leaves a line in a file that nobody rolls back."""

    def write(name: str, *values: object) -> None:
        descriptor = os.open(place / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, (json.dumps(values) + "\n").encode())
        finally:
            os.close(descriptor)

    @tool(effect="once")
    async def pay(n: int, context: ToolContext) -> int:
        """Pay; must never happen twice."""
        write("ledger", context.run_id, n)
        return n

    async def step(state: int, ctx: Any) -> Any:
        write("steps", ctx.run_id, ctx.step_index, ctx.attempt_index, os.getpid())
        await asyncio.sleep(0)
        if state == LAST:
            return Complete(state)
        if state == 2:
            await ctx.call_tool("pay", state)
        if state == 4 and ctx.attempt_index < 2:
            raise StepExecutionError("not yet", error_category=ErrorCategory.TRANSIENT)
        return Sleep(state + 1, seconds=0.004) if state in (1, 5) else Continue(state + 1)

    policy = RetryPolicy(max_attempts=4, backoff=lambda _attempt, _random: 0.002)
    return Agent(name="works", step=step, initial_state=0, tools=(pay,), retry_policy=policy)


def submit(db: Path, place: Path, runs: list[str]) -> None:
    async def main() -> None:
        async with AgentRunner(agent=make_agent(place), store=db) as runner:
            for run_id in runs:
                await runner.submit(run_id=run_id)

    asyncio.run(main())


def work(db: Path, place: Path, runs: list[str]) -> list[str]:
    """Work until every run has ended or is in doubt; belongs into a child that may be killed at any instant."""

    async def main() -> list[str]:
        store = open_store(str(db), "write")

        remaining = [*runs]

        async def stop_when_done() -> None:
            while remaining:
                record = await store.get_run(remaining[-1])
                if record.status not in ("completed", "failed") and not (record.reason or "").startswith("doubt:"):
                    return
                remaining.pop()
            worker.request_stop()

        async with AgentRunner(agent=make_agent(place), store=store) as runner:
            worker = Worker([runner], store, concurrency=4, poll_s=0.02, beside=stop_when_done)
            await worker.run()
        statuses = [(await store.get_run(run_id)).status for run_id in runs]
        await store.aclose()
        return statuses

    return asyncio.run(main())


def lines(place: Path, name: str) -> list[list[Any]]:
    path = place / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def effects(place: Path) -> collections.Counter[str]:
    """Return how often each run has paid."""
    return collections.Counter(run for run, _ in lines(place, "ledger"))


def fire(db: Path, place: Path, now: float) -> None:
    """Fire the schedules of the file at a moment, and drive what they started; belongs into a child."""

    async def main() -> None:
        store = open_store(str(db), "write")
        async with AgentRunner(agent=make_agent(place), store=store) as runner:
            ticker = Ticker(store, {"works": Startable(runner, lambda: LAST)}, wall=lambda: now)
            await ticker.fire()
        await store.aclose()

    asyncio.run(main())
