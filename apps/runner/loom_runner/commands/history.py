"""`loom-runner history`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import attrs
import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import cut, duration, safe

from loom_core.contracts.stores import RunRecord, StepRecord, Store
from loom_core.errors import BadInput
from loom_core.runtime.explain.text import date_time, shell
from loom_runner.differences import differences
from loom_runner.documents import payload, step_data
from loom_runner.options import page_options, reading_agent, run_id_option
from loom_runner.reading import Page, check_agent, database, page_of, say_more, with_store


@click.command(
    "history",
    help="List the committed steps of a run, the initial state (step -1) first. A step's state is what the next one "
    "starts with.",
    epilog=examples(
        "loom-runner history --run-id demo",
        "loom-runner history --run-id demo --states --limit 20",
        "loom-runner history --run-id demo --step 3",
    ),
)
@reading_agent
@run_id_option
@db_option
@click.option("--states", is_flag=True, help="Show states: the first one whole, then what changed.")
@click.option(
    "--step", type=click.IntRange(-1), metavar="N", help="Show the whole state that step N left; -1: the first."
)
@page_options(100)
@common_options
@pass_invocation
def history(
    invocation: Invocation, agent: str | None, run_id: str, states: bool, step: int | None, limit: int, offset: int
) -> None:
    """Print a page of a run's history, or one state."""
    if step is not None:
        _print_state(invocation, agent, run_id, step)
        return

    async def read(store: Store) -> tuple[RunRecord, Sequence[StepRecord], Page]:
        record = await store.get_run(run_id)
        steps, page = await page_of(
            lambda count: store.get_steps(run_id, first=offset - 1, limit=count, states=states), limit, offset
        )
        # Steps that were thinned out count, so that an offset means the same in every history.
        return record, steps, attrs.evolve(page, following=steps[-1].step_index + 2 if steps else None)

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


def _print_state(invocation: Invocation, agent: str | None, run_id: str, step_index: int) -> None:
    record, step = with_store(invocation, lambda store: _read_step(store, run_id, step_index))
    check_agent(invocation, record, agent)
    output = invocation.output
    if output.as_json:
        output.document("loom.runner.history/1", {"run_id": run_id, "step": step_data(step, with_state=True)})
        return
    output.block(json.dumps(payload(step.state), indent=2, ensure_ascii=False))
    following = step_index + 1
    output.note(f"this is what step {following} starts with; step {step_index}: {step.outcome}, {date_time(step.at)}")
    place = ("--run-id", run_id, "--db", database(invocation))
    output.note(f"to go on from here in another run: {shell(('loom-runner', 'fork', *place))} --from-step {following}")


async def _read_step(store: Store, run_id: str, step_index: int) -> tuple[RunRecord, StepRecord]:
    record = await store.get_run(run_id)
    if not -1 <= step_index < record.step_index:
        raise BadInput(f"run `{run_id}` has no step {step_index}; the next one is {record.step_index}")
    found = await store.get_steps(run_id, first=step_index, limit=1, states=True)
    if not found or found[0].step_index != step_index:
        raise BadInput(
            f"the history of run `{run_id}` no longer has step {step_index}",
            hint=f"see what it has: {shell(('loom-runner', 'history', '--run-id', run_id))}",
        )
    if found[0].state is None:
        raise BadInput(
            f"step {step_index} completed run `{run_id}` and left no state",
            hint=f"see its result: {shell(('loom-runner', 'get', '--run-id', run_id))}",
        )
    return record, found[0]


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
