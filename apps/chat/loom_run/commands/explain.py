"""`loom-run explain`."""

from __future__ import annotations

import asyncio

import click
from loom_cli.invocation import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.runtime.explain import RunExplanation
from loom_core.runtime.explain import explain as explain_run
from loom_run.sessions import read_conversation


@click.command(
    help="Say what happened in a conversation: answers, tools, what was retried, what is in doubt, what comes next.",
    epilog=examples("loom-run explain --run-id q1", "loom-run explain --run-id q1 --all --json"),
)
@click.option("--run-id", required=True, metavar="ID", help="The conversation.")
@db_option
@click.option("--all", "whole", is_flag=True, help="Fold nothing.")
@common_options
@pass_invocation
def explain(invocation: Invocation, run_id: str, whole: bool) -> None:
    """Print the explanation of a conversation."""
    explanation = asyncio.run(_explain(invocation, run_id, whole=whole))
    output = invocation.output
    if output.as_json:
        output.document("loom.run.explain/1", {k: v for k, v in explanation.to_data().items() if k != "schema"})
        return
    for line in explanation.lines(all=whole, width=output.columns):
        output.line(line)


async def _explain(invocation: Invocation, run_id: str, *, whole: bool) -> RunExplanation:
    runtime = invocation.runtime()
    store = runtime.open_store(None, "read")
    try:
        await read_conversation(store, run_id)
        return await explain_run(store, run_id, everything=whole)
    finally:
        await runtime.aclose()
