"""loom-runner 0.1.3 (PyPI). It sets WAL and synchronous=NORMAL itself, so its own and equal pragmas are the same."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from loom_agent.checkpoint import SQLiteCheckpointStore
from loom_agent.runner import AgentRunner, CheckpointPolicy, Complete, Continue
from work import arguments, message, report


async def count(state: Any, ctx: Any) -> Any:
    return Complete(state["n"]) if state["n"] == state["last"] else Continue({**state, "n": state["n"] + 1})


async def talk(state: Any, ctx: Any) -> Any:
    number = len(state["messages"])
    if number == state["last"]:
        return Complete(number)
    return Continue({**state, "messages": [*state["messages"], message(number)]})


def same(value: Any) -> Any:
    return value


async def main() -> None:
    what, setting, db, steps = arguments()
    store = SQLiteCheckpointStore(db)
    runner = AgentRunner(
        step=talk if what == "chat" else count,
        store=store,
        encode_state=same,
        decode_state=same,
        encode_result=same,
        decode_result=same,
        checkpoint_policy=CheckpointPolicy(mode=setting),
    )
    state: Any = {"last": steps, "messages": []} if what == "chat" else {"n": 0, "last": steps + 2}
    more: dict[str, float] = {}
    started = time.perf_counter()
    if what == "resume":
        await runner.resume(run_id="bench", max_steps=1)
        more["first_step_s"] = time.perf_counter() - started
    elif what == "prepare":
        await runner.start(run_id="bench", initial_state=state, max_steps=steps)
    else:
        await runner.start(run_id="bench", initial_state=state, max_steps=steps + 10)
    seconds = time.perf_counter() - started
    store.close()
    report(db, steps, seconds, **more)


asyncio.run(main())
