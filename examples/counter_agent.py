"""The smallest agent worth killing: it counts to a target, one step at a time.

loom-runner run examples/counter_agent.py --run-id demo --max-steps 5     # pauses after five steps
loom-runner resume examples/counter_agent.py --run-id demo                # goes on with the sixth
loom-runner explain --run-id demo                                         # says what happened
"""

from __future__ import annotations

import attrs

from loom_core import Agent, Complete, Continue, RunContext


@attrs.frozen
class Counter:
    """The state: all that a step knows of the steps before it."""

    count: int = 0
    target: int = 10


async def step(state: Counter, ctx: RunContext) -> Continue[Counter] | Complete[int]:
    """Count one further. What this returns is committed before the next step begins."""
    count = state.count + 1
    if count >= state.target:
        return Complete(count)
    return Continue(attrs.evolve(state, count=count))


agent = Agent(name="counter", step=step, initial_state=Counter, result_type=int)
