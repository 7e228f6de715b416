"""Many runs in one process, in strict mode: their writes share transactions and syncs (group commit).

    python -m benchmarks.concurrent [--runs 1 10 50 200] [--steps 20] [--rounds 3]

Every step makes one managed call of a `once` tool, so that each has two synced writes of the journal and a synced
checkpoint. Throughput is compared with the same runs one after the other, in turn, in one run of this program.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs

from loom_core import Agent, AgentRunner, Complete, Continue, tool


@attrs.frozen
class Counter:
    n: int
    last: int


@tool(effect="once")
async def note(n: int) -> int:
    """Do next to nothing."""
    return n + 1


async def step(state: Counter, ctx: Any) -> Any:
    if state.n == state.last:
        return Complete(state.n)
    return Continue(Counter(await ctx.call_tool("note", n=state.n), state.last))


async def drive(db: Path, runs: int, steps: int, *, together: bool, durability: Any) -> float:
    """Return the seconds that ``runs`` runs take, all at once or one after the other."""
    agent = Agent(name="concurrent", step=step, initial_state=Counter(0, steps), state_type=Counter, tools=(note,))
    async with AgentRunner(agent=agent, store=db, durability=durability) as runner:
        await runner.start(run_id="warm", initial_state=Counter(0, 1))
        started = time.perf_counter()
        if together:
            await asyncio.gather(*(runner.start(run_id=f"run-{number}") for number in range(runs)))
        else:
            for number in range(runs):
                await runner.start(run_id=f"run-{number}")
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 10, 50, 200])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", type=int, default=10, help="runs in the comparison one after the other")
    options = parser.parse_args()
    print("| runs | durability | together, µs a step | one at a time, µs a step | throughput × |")
    print("| --- | --- | --- | --- | --- |")
    for durability in ("strict", "standard"):
        for runs in options.runs:
            together, alone = [], []
            with tempfile.TemporaryDirectory() as name:
                for number in range(options.rounds):
                    for times, count, at_once in ((together, runs, True), (alone, min(runs, options.alone), False)):
                        db = Path(name) / f"{number}-{at_once}.sqlite"
                        seconds = asyncio.run(drive(db, count, options.steps, together=at_once, durability=durability))
                        times.append(seconds / count / options.steps * 1e6)
            gain = statistics.median(a / t for a, t in zip(alone, together, strict=True))
            figures = (f"{statistics.median(together):,.0f}", f"{statistics.median(alone):,.0f}", f"{gain:.1f}")
            print(f"| {runs} | {durability} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
