"""Loom: the counter, the growing conversation, and going on after N steps."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import attrs

from benchmarks.rivals.work import arguments, message, report
from loom_core import AgentRunner, Complete, Continue


@attrs.frozen
class Counter:
    n: int
    last: int


@attrs.frozen
class Chat:
    last: int
    messages: tuple[str, ...] = ()


async def count(state: Counter, ctx: Any) -> Any:
    return Complete(state.n) if state.n == state.last else Continue(Counter(state.n + 1, state.last))


async def talk(state: Chat, ctx: Any) -> Any:
    number = len(state.messages)
    if number == state.last:
        return Complete(number)
    return Continue(attrs.evolve(state, messages=(*state.messages, message(number))))


async def main() -> None:
    what, setting, db, steps = arguments()
    more: dict[str, float] = {}
    async with AgentRunner(
        step=talk if what == "chat" else count,
        state_type=Chat if what == "chat" else Counter,
        store=db,
        durability=setting,  # type: ignore[arg-type]
    ) as runner:
        # Loom opens its database and compiles its driver when they are first used; the others do so before.
        await runner.start(run_id=f"warm {what}", initial_state=Chat(1) if what == "chat" else Counter(0, 1))
        state: Any = Chat(steps) if what == "chat" else Counter(0, steps + 2)
        if what == "resume":
            started = time.perf_counter()
            await runner.resume(run_id="bench", max_steps=1)
            more["first_step_s"] = time.perf_counter() - started
        started = time.perf_counter()
        if what == "prepare":
            await runner.start(run_id="bench", initial_state=state, max_steps=steps)
        elif what != "resume":
            await runner.start(run_id="bench", initial_state=state)
        seconds = time.perf_counter() - started
    report(db, steps, seconds, **more)


asyncio.run(main())
