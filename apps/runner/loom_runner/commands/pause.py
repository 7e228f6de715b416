"""`loom-runner pause`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.runtime.controlling import pause_run
from loom_runner.options import run_id_option
from loom_runner.persons import as_option, note_option, person
from loom_runner.wishing import wish


@click.command(
    "pause",
    help="Pause a run: at once, or after the step that its owner is working on. `resume` goes on.",
    epilog=examples(
        "loom-runner pause --run-id demo", "loom-runner pause --run-id demo --note 'until Monday' --as ann"
    ),
)
@run_id_option
@db_option
@note_option
@as_option
@common_options
@pass_invocation
def pause(invocation: Invocation, run_id: str, note: str | None, name: str | None) -> None:
    """Ask for a pause."""
    by = person(name)
    wish(invocation, run_id, "pause", lambda store: pause_run(store, run_id, by, note))
