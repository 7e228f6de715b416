"""`loom-runner explain`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.runtime.explain import explain
from loom_core.runtime.explain.facts import SCHEMA
from loom_runner.options import reading_agent, run_id_option
from loom_runner.reading import check_agent, with_store


@click.command(
    "explain",
    help="Say what happened to a run: steps, calls, retries, what is in doubt, what failed, what resuming would do.",
    epilog=examples("loom-runner explain --run-id demo", "loom-runner explain --run-id demo --all"),
)
@reading_agent
@run_id_option
@db_option
@click.option("--all", "everything", is_flag=True, help="Tell everything; without it, at most 200 lines.")
@common_options
@pass_invocation
def explain_(invocation: Invocation, agent: str | None, run_id: str, everything: bool) -> None:
    """Print the explanation of a run."""
    explanation = with_store(invocation, lambda store: explain(store, run_id, everything=everything))
    check_agent(invocation, explanation.record, agent)
    output = invocation.output
    if output.as_json:
        output.document(SCHEMA, {name: value for name, value in explanation.to_data().items() if name != "schema"})
        return
    for line in explanation.lines(all=everything, width=output.columns):
        output.line(line)
