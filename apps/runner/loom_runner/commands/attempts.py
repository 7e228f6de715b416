"""`loom-runner attempts`."""

from __future__ import annotations

from collections.abc import Sequence

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import duration

from loom_core.contracts.stores import AttemptRecord, RunRecord, Store
from loom_core.runtime.explain.failure import failure_of, user_line
from loom_runner.documents import attempt_data
from loom_runner.options import page_options, reading_agent, run_id_option
from loom_runner.reading import Page, check_agent, page_of, say_more, with_store


@click.command(
    "attempts",
    help="List the failed attempts of a run, and whether each was followed by another. -v shows tracebacks.",
    epilog=examples("loom-runner attempts --run-id demo", "loom-runner attempts --run-id demo -v"),
)
@reading_agent
@run_id_option
@db_option
@page_options(100)
@common_options
@pass_invocation
def attempts(invocation: Invocation, agent: str | None, run_id: str, limit: int, offset: int) -> None:
    """Print a page of a run's failed attempts."""

    async def read(store: Store) -> tuple[RunRecord, Sequence[AttemptRecord], Page]:
        record = await store.get_run(run_id)
        found, page = await page_of(lambda count: store.get_attempts(run_id, limit=count, offset=offset), limit, offset)
        return record, found, page

    record, found, page = with_store(invocation, read)
    check_agent(invocation, record, agent)
    output = invocation.output
    reference = record.agent.reference
    if output.as_json:
        data = [attempt_data(a, reference) for a in found]
        output.document("loom.runner.attempts/1", {"run_id": run_id, "attempts": data, **page.data()})
        return
    if not found:
        output.note(f"run `{run_id}` has no failed attempts" if offset == 0 else "there are no more failed attempts")
        return
    output.table(
        ("STEP", "ATTEMPT", "TOOK", "THEN", "CATEGORY", "ERROR", "WHERE"),
        [_row(a, reference) for a in found],
        right=("STEP", "ATTEMPT", "TOOK"),
    )
    if output.verbosity > 0:
        for attempt in found:
            output.line()
            output.line(f"step {attempt.step_index}, attempt {attempt.attempt_index + 1}", "bold")
            output.block(attempt.error.traceback or "no traceback is stored", "  ")
    say_more(invocation, page)


def _row(attempt: AttemptRecord, reference: str | None) -> tuple[str, ...]:
    error = attempt.error
    then = "given up" if attempt.retry_at is None else f"again after {duration(attempt.retry_at - attempt.ended_at)}"
    return (
        str(attempt.step_index),
        str(attempt.attempt_index + 1),
        duration(attempt.ended_at - attempt.started_at),
        then,
        error.category,
        str(failure_of(error)),
        user_line(error.traceback, reference) or "",
    )
