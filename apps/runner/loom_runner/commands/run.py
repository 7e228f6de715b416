"""`loom-runner run`."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.contracts.budgets import Budget
from loom_core.errors import BadInput, RunExists, ValueNotDecodable
from loom_core.runtime.loading import LoadedAgent, load_agent
from loom_core.runtime.results import RunResult
from loom_core.runtime.run_ids import check_run_id
from loom_core.runtime.runner import AgentRunner
from loom_runner.driving import drive
from loom_runner.options import budget_options, run_id_option, slice_options
from loom_runner.texts import json_text

SCHEMA = "loom.runner.run/1"


@click.command(
    "run",
    help="Start a run of AGENT (FILE.py, FILE.py:NAME or package.module:NAME) and print "
    "its result; that of a completed run of the same input is printed again.",
    epilog=examples(
        "loom-runner run examples/counter_agent.py --run-id demo --max-steps 5",
        "loom-runner run agent.py --run-id a1 --input '{\"count\": 3}' --json",
    ),
)
@click.argument("agent")
@run_id_option
@db_option
@click.option("--input", "given", metavar="JSON|@FILE", help="State to start with.  [default: the agent's own]")
@slice_options
@budget_options
@common_options
@pass_invocation
def run(
    invocation: Invocation,
    agent: str,
    run_id: str,
    given: str | None,
    max_steps: int | None,
    max_seconds: float | None,
    wait_s: float,
    durability: str | None,
    max_tokens: int | None,
    max_cost: float | None,
) -> int:
    """Start a run and drive it until it ends, waits, or its slice is used up."""
    check_run_id(run_id)
    limited = max_tokens is not None or max_cost is not None
    budget = Budget(tokens=max_tokens, cost_usd=max_cost) if limited else None
    text = None if given is None else json_text("--input", given)
    with contextlib.redirect_stdout(sys.stderr):
        loaded = load_agent(agent)

    async def act(runner: AgentRunner) -> RunResult:
        state = _initial_state(loaded, runner, text)
        try:
            return await runner.start(
                run_id=run_id,
                initial_state=state,
                max_steps=max_steps,
                max_seconds=max_seconds,
                wait_s=wait_s,
                budget=budget,
            )
        except RunExists:
            stored = await runner.find_completed(run_id, state)
            if stored is None:
                raise
            invocation.output.note(f"run `{run_id}` was completed before; this is its stored result")
            return stored

    return drive(invocation, loaded, run_id, act, schema=SCHEMA, durability=durability)


def _initial_state(loaded: LoadedAgent, runner: AgentRunner, text: str | None) -> Any:
    if text is None:
        return loaded.first_state()
    try:
        return runner.read_state(text)
    except ValueNotDecodable as error:
        raise BadInput(f"--input is no state of this agent: {error}", hint=error.hint) from error
