"""A run that asks before every other effect; people answer, and each effect leaves a line in a ledger."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from loom_core import Agent, AgentRunner, Complete, Continue, Person, ToolContext, open_store, tool
from loom_core.contracts.people import ApprovalAnswer
from loom_core.runtime.answering import answer_question

RUN_ID = "asking"
STEPS = 6
ANN = Person(name="ann", user="root")


def make_agent(ledger: Path) -> Agent:
    def note(context: ToolContext, what: str, n: int) -> None:
        descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, (json.dumps({"tool": what, "n": n, "key": context.key}) + "\n").encode())
        finally:
            os.close(descriptor)

    @tool(effect="once", approval=True)
    async def pay(n: int, context: ToolContext) -> int:
        """Pay; never without leave, never twice."""
        note(context, "pay", n)
        return n

    async def step(state: int, ctx: Any) -> Any:
        if state == STEPS:
            return Complete(state)
        if state % 2:
            await ctx.ask(f"Step {state} at {ctx.now()}?")
        else:
            await ctx.call_tool("pay", n=state)
        return Continue(state + 1)

    return Agent(name="asking", step=step, initial_state=0, tools=(pay,))


def lines(ledger: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def go_on(db: Path, ledger: Path, answers: Path) -> str:
    """Start or resume the run, answering what it asks, until it is completed or waits for something else."""
    return asyncio.run(_go_on(db, ledger, answers))


async def _go_on(db: Path, ledger: Path, answers: Path) -> str:
    from loom_core.errors import RunExists

    async with AgentRunner(agent=make_agent(ledger), store=db) as runner:
        try:
            result = await runner.start(run_id=RUN_ID)
        except RunExists:
            result = await runner.resume(run_id=RUN_ID)
        while result.reason and result.reason.startswith("approval:"):
            await answer(db, result.reason.removeprefix("approval:"), answers)
            result = await runner.resume(run_id=RUN_ID)
        return result.reason or result.status


async def answer(db: Path, approval_id: str, answers: Path) -> None:
    """Answer as another process does, and note down that somebody was told so."""
    store = open_store(str(db), "write")
    try:
        await answer_question(store, RUN_ID, approval_id, ApprovalAnswer(decision="approved", by=ANN))
    finally:
        await store.aclose()
    with answers.open("a") as told:
        told.write(f"{approval_id}\n")
