"""`loom-runner schedule remove`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.errors import BadInput
from loom_core.runtime.explain.text import shell
from loom_runner.reading import database, with_store


@click.command(
    "remove",
    help="Remove the schedule NAME. Runs that it has started stay as they are.",
    epilog=examples(
        "loom-runner schedule remove nightly", "loom-runner schedule remove nightly --db runs.sqlite --json"
    ),
)
@click.argument("name")
@db_option
@common_options
@pass_invocation
def remove(invocation: Invocation, name: str) -> None:
    """Start no further runs of a schedule."""
    listed = shell(("loom-runner", "schedule", "list", "--db", database(invocation)))
    if not with_store(invocation, lambda store: store.remove_schedule(name), "write"):
        raise BadInput(f"there is no schedule `{name}`", hint=f"see those there are: {listed}")
    if invocation.output.as_json:
        invocation.output.document("loom.runner.schedule.remove/1", {"removed": name, "next": listed})
        return
    invocation.output.note(f"schedule `{name}` is removed; runs that it has started stay as they are")
    invocation.output.note(f"next: {listed}")
