"""`loom-runner history`."""

from __future__ import annotations

from collections.abc import Sequence

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import cut, duration, safe

from loom_core.contracts.stores import RunRecord, StepRecord, Store
from loom_core.runtime.explain.text import date_time
from loom_runner.differences import differences
from loom_runner.documents import payload, step_data
from loom_runner.options import page_options, reading_agent, run_id_option
from loom_runner.reading import Page, check_agent, page_of, say_more, with_store


@click.command(
    "history",
    help="List the committed steps of a run, the initial state (step -1) first. A step's state is what the next one "
    "starts with.",
    epilog=examples("loom-runner history --run-id demo", "loom-runner history --run-id demo --states --limit 20"),
)
@reading_agent
@run_id_option
@db_option
@click.option("--states", is_flag=True, help="Show states: the first one whole, then what changed.")
@page_options(100)
@common_options
@pass_invocation
def history(invocation: Invocation, agent: str | None, run_id: str, states: bool, limit: int, offset: int) -> None:
    """Print a page of a run's history."""

    async def read(store: Store) -> tuple[RunRecord, Sequence[StepRecord], Page]:
        record = await store.get_run(run_id)
        steps, page = await page_of(
            lambda count: store.get_steps(run_id, first=offset - 1, limit=count, states=states), limit, offset
        )
        return record, steps, page

    record, steps, page = with_store(invocation, read)
    check_agent(invocation, record, agent)
    output = invocation.output
    if output.as_json:
        data = [step_data(step, with_state=states) for step in steps]
        output.document("loom.runner.history/1", {"run_id": run_id, "steps": data, **page.data()})
        return
    if states:
        _print_states(invocation, steps)
    else:
        rows = [_row(step, before) for step, before in zip(steps, [None, *steps], strict=False)]
        output.table(("STEP", "OUTCOME", "ATTEMPTS", "AT", "TOOK"), rows, right=("STEP", "ATTEMPTS", "TOOK"))
    say_more(invocation, page)


def _row(step: StepRecord, before: StepRecord | None) -> tuple[str, ...]:
    attempts = "" if step.outcome == "initial" else str(step.attempt_index + 1)
    took = "" if before is None else duration(step.at - before.at)
    return (str(step.step_index), step.outcome, attempts, date_time(step.at), took)


def _print_states(invocation: Invocation, steps: Sequence[StepRecord]) -> None:
    output = invocation.output
    columns = (output.columns or 1_000_000) - 4
    before: object = None
    for position, step in enumerate(steps):
        output.line(f"step {step.step_index}  {step.outcome}  {date_time(step.at)}", "bold")
        if step.state is None:
            continue
        state = payload(step.state)
        for line in differences(before, state, first=position == 0):
            output.line(f"    {cut(safe(line), columns)}")
        before = state
