"""`loom-runner tool-calls`."""

from __future__ import annotations

from collections.abc import Sequence

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import duration

from loom_core.contracts.stores import CallRecord, RunRecord, Store
from loom_core.runtime.explain.failure import failure_of
from loom_core.runtime.explain.text import arguments
from loom_core.runtime.explain.timeline import model_answer
from loom_runner.documents import call_data
from loom_runner.options import page_options, reading_agent, run_id_option
from loom_runner.reading import Page, check_agent, page_of, say_more, with_store


@click.command(
    "tool-calls",
    help="List the managed calls of a run, those of models included, with arguments and results (--json: whole).",
    epilog=examples("loom-runner tool-calls --run-id demo", "loom-runner tool-calls --run-id demo --json"),
)
@reading_agent
@run_id_option
@db_option
@page_options(100)
@common_options
@pass_invocation
def tool_calls(invocation: Invocation, agent: str | None, run_id: str, limit: int, offset: int) -> None:
    """Print a page of a run's calls."""

    async def read(store: Store) -> tuple[RunRecord, Sequence[CallRecord], Page]:
        record = await store.get_run(run_id)
        found, page = await page_of(lambda count: store.get_calls(run_id, limit=count, offset=offset), limit, offset)
        return record, found, page

    record, found, page = with_store(invocation, read)
    check_agent(invocation, record, agent)
    output = invocation.output
    if output.as_json:
        data = [call_data(call) for call in found]
        output.document("loom.runner.tool-calls/1", {"run_id": run_id, "calls": data, **page.data()})
        return
    if not found:
        output.note(f"run `{run_id}` has made no calls" if offset == 0 else "there are no more calls")
        return
    headers = ("CALL", "NAME", "EFFECT", "STATUS", "TOOK", "ARGUMENTS", "RESULT")
    output.table(headers, [_row(call) for call in found], right=("TOOK",))
    say_more(invocation, page)


def _row(call: CallRecord) -> tuple[str, ...]:
    is_model = call.kind == "model"
    took = "" if call.ended_at is None else duration(call.ended_at - call.started_at)
    status = f"{call.status} by {call.decided_by}" if call.decided_by else call.status
    result = (model_answer(call.result) if is_model else call.result) or ""
    if call.error is not None:
        result = str(failure_of(call.error))
    given = "" if is_model else arguments(call.arguments)
    return (call.call_id, call.name, call.effect, status, took, given, result)
