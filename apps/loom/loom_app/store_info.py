"""`loom store info`."""

from __future__ import annotations

import attrs
import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import size

from loom_app.stores import command, with_store


@click.command("info", epilog=examples("loom store info", "loom store info --db runs.sqlite --json"))
@db_option
@common_options
@pass_invocation
def info_command(invocation: Invocation) -> None:
    """Show how large a run database is and what is in it."""
    found = with_store(invocation, lambda store: store.info())
    output = invocation.output
    if output.as_json:
        output.document("loom.store.info/1", attrs.asdict(found))
        return
    fields = [("database", f"{found.location} ({found.kind}, version {found.version} of its tables)")]
    if found.bytes is not None:
        fields.append(("size", f"{size(found.bytes)}, of which {size(found.free_bytes)} are unused"))
    fields.append(("runs", ", ".join(f"{count:,} {status}" for status, count in found.runs.items()) or "none"))
    fields += [(kind, f"{count:,}") for kind, count in found.rows.items() if kind != "runs"]
    output.fields(fields)
    if found.bytes is not None and found.free_bytes * 4 > found.bytes:
        output.note(f"to give the unused space back: {command(invocation, 'loom store vacuum')}")
