"""`loom-runner approve`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_runner.answers import answer
from loom_runner.options import run_id_option
from loom_runner.persons import as_option, note_option


@click.command(
    "approve",
    help="Answer a run's QUESTION with yes. Without QUESTION, the only one that it asks.",
    epilog=examples(
        "loom-runner approve --run-id demo", "loom-runner approve 3/0 --run-id demo --as ann --note 'checked'"
    ),
)
@click.argument("question", required=False)
@run_id_option
@db_option
@note_option
@as_option
@common_options
@pass_invocation
def approve(invocation: Invocation, question: str | None, run_id: str, note: str | None, name: str | None) -> None:
    """Say yes."""
    answer(invocation, run_id, question, "approved", note=note, name=name)
