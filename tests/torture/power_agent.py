"""Runs whose every promise is written into the recording at the moment when somebody relies on it."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import attrs

from loom_core import Agent, AgentRunner, Complete, Continue, ToolContext, Wait, open_store, tool
from loom_core.contracts.stores import Store
from loom_core.errors import RunExists
from loom_core.runtime.resolving import resolve_call
from tests.torture.judging import is_begun
from tests.torture.power import Recording, RecordingVFS

STEPS = 24
RUNS = ("standard", "strict", "pipelined")
"""Each is named after its durability; all three share one store, and so its group commits."""


@attrs.frozen
class Books:
    n: int = 0
    paid: int = 0
    seen: int = 0
    told: int = 0
    ballast: str = ""


def expected_result() -> dict[str, int]:
    rounds = range(STEPS)
    return {
        "paid": sum(n for n in rounds if n % 6 == 1),
        "seen": sum(n for n in rounds if n % 6 == 3),
        "told": sum(n for n in rounds if n % 12 == 5),
    }


class Log:
    """What happened outside: the effects, and what was told to whom."""

    def __init__(self, recording: Recording, run_id: str) -> None:
        self.recording = recording
        self.run_id = run_id

    def effect(self, kind: str, context: ToolContext, amount: int) -> None:
        self.recording.promise("effect", self.run_id, kind, context.call_id, amount)

    def told(self, what: str, *details: Any) -> None:
        self.recording.promise(what, self.run_id, *details)


def make_agent(log: Log, *, strict: bool, ballast: int) -> Agent:
    @tool(effect="once")
    async def pay(amount: int, context: ToolContext) -> int:
        """Pay; must never happen twice."""
        log.effect("pay", context, amount)
        return amount

    @tool(effect="read")
    async def look(amount: int, context: ToolContext) -> int:
        """Look."""
        log.effect("look", context, amount)
        return amount

    async def step(state: Books, ctx: Any) -> Any:
        if strict and state.n:
            log.told("committed", ctx.step_index - 1)
        n = state.n
        if n == STEPS:
            return Complete({"paid": state.paid, "seen": state.seen, "told": state.told})
        filler = random.Random(n).randbytes(ballast).hex() if ballast else ""
        state = attrs.evolve(state, n=n + 1, ballast=filler)
        if n % 6 == 1:
            paid = await ctx.call_tool("pay", amount=n)
            log.told("result", f"{ctx.step_index}/0", paid)
            return Continue(attrs.evolve(state, paid=state.paid + paid))
        if n % 6 == 3:
            seen = await ctx.call_tool("look", amount=n)
            log.told("result", f"{ctx.step_index}/0", seen)
            return Continue(attrs.evolve(state, seen=state.seen + seen))
        if n % 12 == 5:
            return Wait(state, signal="news")
        if ctx.signal is not None:
            return Continue(attrs.evolve(state, told=state.told + ctx.signal.payload))
        return Continue(state)

    return Agent(name="power", step=step, initial_state=Books, state_type=Books, tools=(pay, look))


def record(database: Path, into: Path, *, slice_steps: int, ballast: int) -> int:
    """Drive all runs to their ends, in slices and sessions, with everything written down; for a forked child."""
    recording = Recording()
    vfs = RecordingVFS(recording)
    asyncio.run(_drive(database, recording, slice_steps, ballast))
    vfs.unregister()
    recording.save(into)
    return len(recording.events)


async def _drive(database: Path, recording: Recording, slice_steps: int, ballast: int) -> None:
    done: set[str] = set()
    while len(done) < len(RUNS):
        store = open_store(str(database), "create")
        await asyncio.gather(*(_session(store, recording, run, slice_steps, ballast, done) for run in RUNS))
        await store.aclose()


async def _session(
    store: Store, recording: Recording, run_id: str, slice_steps: int, ballast: int, done: set[str]
) -> None:
    if run_id in done:
        return
    log = Log(recording, run_id)
    agent = make_agent(log, strict=run_id == "strict", ballast=ballast)
    durability: Any = run_id
    async with AgentRunner(agent=agent, store=store, durability=durability) as runner:
        if any(event.promise and event.promise[:2] == ("left", run_id) for event in recording.events):
            result = await runner.resume(run_id=run_id, max_steps=slice_steps)
        else:
            result = await runner.start(run_id=run_id, max_steps=slice_steps)
        log.told("left", result.status, result.step_index)
        if result.status == "completed":
            done.add(run_id)
        elif result.status == "waiting":
            signal = await runner.send_signal(run_id, "news", result.step_index - 1)
            log.told("signal", signal.signal_id, signal.payload)


def finish(database: Path, run_id: str, recording: Recording) -> dict[str, Any]:
    """Bring a run to its end after the power came back; effects go into ``recording``."""
    return asyncio.run(_finish(database, run_id, recording))


async def _finish(database: Path, run_id: str, recording: Recording) -> dict[str, Any]:
    begun = await is_begun(database, run_id)
    log = Log(recording, run_id)
    doubts = 0
    async with AgentRunner(agent=make_agent(log, strict=False, ballast=0), store=database) as runner:
        for _ in range(3 * STEPS):
            try:
                result = await (runner.resume if begun else runner.start)(run_id=run_id)
            except RunExists:
                # The file could not be read before somebody opened it to write and rolled its creation back or forth.
                assert not begun
                result = await runner.resume(run_id=run_id)
            begun = True
            if result.status == "completed":
                return {"result": result.result, "doubts": doubts}
            assert result.status == "waiting", result
            if result.reason == "signal:news":
                pending = [s for s in await runner._store("write").get_signals(run_id) if s.consumed_by is None]
                assert not pending, "a pending signal did not wake the run"
                await runner.send_signal(run_id, "news", result.step_index - 1)
                continue
            assert result.reason is not None
            assert result.reason.startswith("doubt:"), result
            doubts += 1
            call_id = result.reason.removeprefix("doubt:")
            made = [e.promise for e in recording.events if e.promise and e.promise[:2] == ("effect", run_id)]
            amounts = [p[4] for p in made if p[3] == call_id]
            decision: dict[str, Any] = {"result": json.dumps(amounts[0])} if amounts else {"retry": True}
            await resolve_call(runner._store("write"), run_id, call_id, by=f"operator {os.getpid()}", **decision)
    raise AssertionError("the run did not come to its end")
