"""`loom-runner signal`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.contracts.stores import RunRecord, SignalRecord, Store
from loom_core.runtime.controlling import signal_run
from loom_runner.documents import signal_data
from loom_runner.options import run_id_option
from loom_runner.outcome import next_command
from loom_runner.persons import as_option, person
from loom_runner.reading import with_store
from loom_runner.texts import json_text


@click.command(
    "signal",
    help="Put the signal NAME into the inbox of a run, whatever it is doing; the step that waits for it gets it.",
    epilog=examples(
        "loom-runner signal go --run-id demo", "loom-runner signal paid --run-id demo --payload '{\"amount\": 5}'"
    ),
)
@click.argument("signal_name", metavar="NAME")
@run_id_option
@db_option
@click.option("--payload", metavar="JSON|@FILE", default="null", help="What the step is given.  [default: null]")
@as_option
@common_options
@pass_invocation
def signal(invocation: Invocation, signal_name: str, run_id: str, payload: str, name: str | None) -> None:
    """Send a signal."""
    text, by = json_text("--payload", payload), person(name)

    async def send(store: Store) -> tuple[SignalRecord, RunRecord]:
        sent = await signal_run(store, run_id, signal_name, text, by)
        return sent, await store.get_run(run_id)

    sent, record = with_store(invocation, send, "write")
    command = next_command(invocation, record, (sent,))
    output = invocation.output
    if output.as_json:
        data = {"run_id": run_id, "status": record.status, "signal": signal_data(sent), "next": command}
        output.document("loom.runner.signal/1", data)
        return
    output.note(f"signal `{signal_name}` is in the inbox of run `{run_id}` ({record.status})")
    if command is not None:
        output.note(f"next: {command}")
