"""A run of 30 steps whose every effect leaves a line in a ledger that nobody rolls back."""

from __future__ import annotations

import asyncio
import collections
import json
import os
from pathlib import Path
from typing import Any

import attrs

from loom_core import Agent, AgentRunner, Complete, Continue, ToolContext, tool

STEPS = 30
RUN_ID = "ledger"


@attrs.frozen
class Books:
    n: int = 0
    paid: int = 0
    kept: int = 0
    seen: tuple[int, ...] = ()


def expected_result() -> dict[str, Any]:
    rounds = range(STEPS)
    return {
        "n": STEPS,
        "paid": sum(i for i in rounds if i % 3 == 0),
        "kept": sum(i for i in rounds if i % 3 == 1),
        "seen": [i for i in rounds if i % 3 == 2],
    }


def make_agent(ledger: Path) -> Agent:
    def note(context: ToolContext, what: str, amount: int) -> None:
        line = json.dumps({"tool": what, "amount": amount, "key": context.key, "call": context.call_id}) + "\n"
        descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    @tool(effect="once")
    async def pay(amount: int, context: ToolContext) -> int:
        """Pay; must never happen twice."""
        note(context, "pay", amount)
        return amount

    @tool(effect="idempotent")
    def keep(amount: int, context: ToolContext) -> int:
        """Keep under a key; blocking, so it runs on a thread."""
        note(context, "keep", amount)
        return amount

    @tool(effect="read")
    async def look(amount: int, context: ToolContext) -> int:
        """Look."""
        note(context, "look", amount)
        return amount

    async def step(state: Books, ctx: Any) -> Any:
        if state.n == STEPS:
            return Complete(attrs.asdict(attrs.evolve(state)) | {"seen": list(state.seen)})
        amount = state.n
        await asyncio.sleep(0)
        if amount % 3 == 0:
            paid = await ctx.call_tool("pay", amount=amount)
            return Continue(attrs.evolve(state, n=amount + 1, paid=state.paid + paid))
        if amount % 3 == 1:
            kept = await ctx.call_tool("keep", amount=amount)
            return Continue(attrs.evolve(state, n=amount + 1, kept=state.kept + kept))
        seen = await ctx.call_tool("look", amount=amount)
        return Continue(attrs.evolve(state, n=amount + 1, seen=(*state.seen, seen)))

    return Agent(name="ledger", step=step, initial_state=Books, state_type=Books, tools=(pay, keep, look))


def start(db: Path, ledger: Path) -> dict[str, Any]:
    return asyncio.run(_with_runner(db, ledger, lambda runner: runner.start(run_id=RUN_ID)))


def resume(db: Path, ledger: Path) -> dict[str, Any]:
    return asyncio.run(_with_runner(db, ledger, lambda runner: runner.resume(run_id=RUN_ID)))


async def _with_runner(db: Path, ledger: Path, act: Any) -> dict[str, Any]:
    async with AgentRunner(agent=make_agent(ledger), store=db) as runner:
        result = await act(runner)
        return {"status": result.status, "reason": result.reason, "result": result.result}


def lines(ledger: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def effects(ledger: Path) -> collections.Counter[tuple[str, str]]:
    """Return how often each effect happened, by tool and idempotency key."""
    return collections.Counter((line["tool"], line["key"]) for line in lines(ledger))
