"""`loom tools show NAME`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from loom_cli import Invocation, common_options, examples, pass_invocation
from loom_cli.text import duration


@click.command("show", epilog=examples("loom tools show read_file", "loom tools show read_file --json"))
@click.argument("name")
@common_options
@pass_invocation
def show_command(invocation: Invocation, name: str) -> None:
    """Show one tool as a model sees it, and what Loom may do with its calls."""
    out, tool = invocation.output, invocation.runtime(Path.cwd()).tool(name)
    info, _ = invocation.registry.tool(name)
    facts: dict[str, object] = {
        "name": tool.name,
        "plugin": info.name,
        "description": tool.description,
        "effect": tool.effect,
        "timeout_s": tool.timeout_s,
        "reconciles": tool.reconcile is not None,
        "parameters": tool.parameters,
    }
    if out.as_json:
        out.document("loom.tools.show/1", {"tool": facts})
        return
    out.fields(
        [
            ("name", tool.name),
            ("plugin", info.name),
            ("effect", _EFFECTS[tool.effect]),
            ("timeout", "none" if tool.timeout_s is None else duration(tool.timeout_s)),
            ("in doubt", "the tool is asked" if tool.reconcile else "see its effect"),
            ("description", tool.description),
            ("parameters", json.dumps(tool.parameters, indent=2, ensure_ascii=False)),
        ]
    )


_EFFECTS = {
    "read": "read (changes nothing; is repeated when its end is unknown)",
    "idempotent": "idempotent (is repeated under the same key when its end is unknown)",
    "once": "once (is never repeated by itself; a person decides when its end is unknown)",
}
