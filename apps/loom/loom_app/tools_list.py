"""`loom tools list`."""

from __future__ import annotations

from pathlib import Path

import click
from loom_cli import Invocation, common_options, examples, pass_invocation

from loom_core.errors import LoomError
from loom_core.runtime.assembly import Runtime


@click.command("list", epilog=examples("loom tools list", "loom tools list --json"))
@common_options
@pass_invocation
def list_command(invocation: Invocation) -> None:
    """List every tool that plugins offer; one that cannot be made says why."""
    out, runtime = invocation.output, invocation.runtime(Path.cwd())
    rows = [_facts(runtime, info.name, entry.name, entry.summary) for info, entry in invocation.registry.tools]
    rows.sort(key=lambda row: str(row["name"]))
    if out.as_json:
        out.document("loom.tools.list/1", {"tools": rows})
        return
    out.table(
        ["TOOL", "EFFECT", "PLUGIN", "SUMMARY"],
        [[str(row["name"]), str(row["effect"] or "?"), str(row["plugin"]), str(row["summary"])] for row in rows],
    )
    for row in rows:
        if row["error"]:
            out.warning(f"{row['name']}: {row['error']}")


def _facts(runtime: Runtime, plugin: str, name: str, summary: str) -> dict[str, object]:
    facts: dict[str, object] = {"name": name, "plugin": plugin, "summary": summary, "effect": None, "error": None}
    try:
        facts["effect"] = runtime.tool(name).effect
    except LoomError as error:
        facts["error"] = str(error)
    return facts
