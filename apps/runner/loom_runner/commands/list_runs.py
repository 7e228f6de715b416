"""`loom-runner list`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import relative

from loom_core.contracts.stores import RunRecord, Store
from loom_runner.documents import run_data, standing
from loom_runner.options import page_options, reading_agent
from loom_runner.reading import is_of_agent, page_of, say_more, with_store

_PAGE = 500


@click.command(
    "list",
    help="List runs, the newest first; with AGENT, only those that were started from it.",
    epilog=examples("loom-runner list", "loom-runner list --db runs.sqlite --limit 10 --json"),
)
@reading_agent
@db_option
@page_options(50)
@common_options
@pass_invocation
def list_runs(invocation: Invocation, agent: str | None, limit: int, offset: int) -> None:
    """Print the runs of a database."""
    runs, page = with_store(
        invocation, lambda store: page_of(lambda count: _read(store, agent, count, offset), limit, offset)
    )
    output = invocation.output
    if output.as_json:
        output.document("loom.runner.list/1", {"runs": [run_data(r) for r in runs], **page.data()})
        return
    if not runs:
        output.note("there are no runs" if offset == 0 else "there are no more runs")
        return
    now = time.time()
    output.table(("RUN", "AGENT", "STATUS", "STEP", "SINCE", "WHY"), [_row(r, now) for r in runs], right=("STEP",))
    say_more(invocation, page)


async def _read(store: Store, agent: str | None, limit: int, offset: int) -> Sequence[RunRecord]:
    if agent is None:
        return await store.list_runs(limit=limit, offset=offset)
    found: list[RunRecord] = []
    read = 0
    while len(found) < offset + limit:
        runs = await store.list_runs(limit=_PAGE, offset=read)
        found += [r for r in runs if is_of_agent(r, agent)]
        read += len(runs)
        if len(runs) < _PAGE:
            break
    return found[offset : offset + limit]


def _row(record: RunRecord, now: float) -> tuple[str, ...]:
    here = standing(record)
    return (
        record.run_id,
        record.agent.name,
        here.status,
        str(record.step_index),
        relative(here.since, now),
        here.words,
    )
