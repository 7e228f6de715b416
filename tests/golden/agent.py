"""The agent of the golden files. Its runs are kept as files, so it is never changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs

from loom_core import Agent, Complete, Continue, ExponentialBackoff, RetryPolicy, Wait, tool


@attrs.frozen
class State:
    count: int = 0
    target: int = 80
    text: str = ""
    wait_at: int = -1
    fail_at: int = -1
    doubt_at: int = -1
    die_at: int = -1
    seen: tuple[str, ...] = ()


@tool(effect="read")
async def look(at: int, long: str = "") -> str:
    """Look."""
    return f"seen {at} {long}"


@tool
async def charge(amount: int) -> int:
    """Charge, of which nobody knows whether it happened."""
    raise TimeoutError("no answer")


async def step(state: State, ctx: Any) -> Any:
    if state.count == state.fail_at and not Path("mended").exists():
        raise ValueError("no such customer")
    if state.count == state.doubt_at:
        await ctx.call_tool("charge", amount=5)
    seen = state.seen
    if state.count % 10 == 0:
        seen = (*seen, await ctx.call_tool("look", at=state.count, long="é🦉" * 100))
        await ctx.call_tool("look", at=0, idempotency_key="mine")
    if state.count == state.die_at and not Path("mended").exists():
        os._exit(9)
    following = attrs.evolve(state, count=state.count + 1, seen=seen, text=f"{state.text} line {state.count}")
    if following.count >= state.target:
        return Complete({"count": following.count, "seen": len(seen)})
    if state.count == state.wait_at:
        return Wait(following, signal="go")
    return Continue(following)


agent = Agent(
    name="golden",
    step=step,
    initial_state=State,
    tools=(look, charge),
    retry_policy=RetryPolicy(max_attempts=2, backoff=ExponentialBackoff(initial_s=0, max_s=0)),
)
