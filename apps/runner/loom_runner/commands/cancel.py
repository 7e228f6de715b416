"""`loom-runner cancel`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.runtime.controlling import cancel_run
from loom_core.runtime.wishes import DEFAULT_GRACE_S
from loom_runner.options import run_id_option
from loom_runner.persons import as_option, note_option, person
from loom_runner.wishing import wish


@click.command(
    "cancel",
    help="End a run for good: at once, or as soon as the step under way has cleaned up. It cannot be resumed.",
    epilog=examples(
        "loom-runner cancel --run-id demo", "loom-runner cancel --run-id demo --within 60 --note 'wrong customer'"
    ),
)
@run_id_option
@db_option
@click.option(
    "--within",
    type=click.FloatRange(0, 1e8),
    default=DEFAULT_GRACE_S,
    show_default=True,
    metavar="S",
    help="Seconds for the step to clean up; then it is cut off.",
)
@note_option
@as_option
@common_options
@pass_invocation
def cancel(invocation: Invocation, run_id: str, note: str | None, name: str | None, within: float) -> None:
    """Ask for the end of a run."""
    by = person(name)
    wish(invocation, run_id, "cancel", lambda store: cancel_run(store, run_id, by, note, within))
