"""`loom store vacuum`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import size

from loom_app.stores import database, with_store
from loom_core.contracts.stores import Store


@click.command("vacuum", epilog=examples("loom store vacuum", "loom store vacuum --db runs.sqlite --json"))
@db_option
@common_options
@pass_invocation
def vacuum_command(invocation: Invocation) -> None:
    """Write a run database anew without its unused space. Needs as much free disk as the database has."""

    async def work(store: Store) -> tuple[int, int]:
        before = (await store.info()).bytes or 0
        await store.sweep()
        await store.vacuum()
        return before, (await store.info()).bytes or 0

    before, after = with_store(invocation, work, "write")
    if invocation.output.as_json:
        invocation.output.document("loom.store.vacuum/1", {"bytes_before": before, "bytes": after})
        return
    invocation.output.line(f"{database(invocation)}: {size(before)} → {size(after)}")
