"""Run as a program: a run whose tools read the database's own files on threads, or one that writes beside it.

python peeking.py peek|beside DATABASE SUFFIXES
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from loom_core import AgentRunner, Complete, Continue, LoomError, tool

STEPS = 40
STEPS_BESIDE = 3
THREADS = 4
RUN_ID = "peek"


async def main(role: str, db: Path, suffixes: list[str]) -> str:
    @tool(effect="read")
    def peek(number: int) -> int:
        """Open, read and close, all the time that other threads are in their transactions."""
        until = time.monotonic() + 0.01
        while role == "peek" and time.monotonic() < until:
            for suffix in suffixes:
                path = Path(f"{db}{suffix}")
                if path.exists():
                    path.open("rb").close()
        return number

    async def step(state: dict[str, int], ctx: Any) -> Any:
        if state["n"] == STEPS:
            return Complete(state["n"])
        await ctx.gather(*(ctx.call_tool("peek", number) for number in range(THREADS)))
        return Continue({"n": state["n"] + 1})

    async def drive(run_id: str, first: int) -> str:
        async with AgentRunner(step=step, name="peek", store=db, tools=(peek,)) as runner:
            return (await runner.start(run_id=run_id, initial_state={"n": first})).status

    if role == "peek":
        return await drive(RUN_ID, 0)
    stop = Path(f"{db}.stop")
    number = 0
    while not stop.exists():
        await drive(f"beside{number}", STEPS - STEPS_BESIDE)
        number += 1
    return str(number)


if __name__ == "__main__":
    try:
        print(asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(","))))
    except LoomError as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(error.exit_status)
