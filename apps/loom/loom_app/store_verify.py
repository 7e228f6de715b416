"""`loom store verify`."""

from __future__ import annotations

import attrs
import click
from loom_cli import ExitStatus, Invocation, common_options, db_option, examples, pass_invocation

from loom_app.stores import database, with_store


@click.command("verify", epilog=examples("loom store verify", "loom store verify --db runs.sqlite --json"))
@db_option
@common_options
@pass_invocation
def verify_command(invocation: Invocation) -> int:
    """Check everything in a run database against itself, and say of each fault what it means. Ends with 1 if any."""
    findings = with_store(invocation, lambda store: store.verify())
    output = invocation.output
    status = ExitStatus.FAILED if findings else ExitStatus.DONE
    if output.as_json:
        data = [attrs.asdict(finding) for finding in findings]
        output.document("loom.store.verify/1", {"ok": not findings, "findings": data})
        return status
    for finding in findings:
        run = f"run `{finding.run_id}`, " if finding.run_id else ""
        output.line(f"{run}{finding.where}: {finding.what}")
        output.line(f"    {finding.meaning}")
    if not findings:
        output.line(f"everything in {database(invocation)} agrees with itself")
    return status
