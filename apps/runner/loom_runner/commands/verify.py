"""`loom-runner verify`."""

from __future__ import annotations

import attrs
import click
from loom_cli import ExitStatus, Invocation, common_options, db_option, examples, pass_invocation

from loom_runner.options import reading_agent
from loom_runner.reading import database, with_store


@click.command(
    "verify",
    help="Check what is stored of a run, or of all, against itself: numbering, digests, counters, journal.",
    epilog=examples("loom-runner verify --db runs.sqlite", "loom-runner verify --run-id demo --json"),
)
@reading_agent
@click.option("--run-id", metavar="ID", help="The run.  [default: all runs]")
@db_option
@common_options
@pass_invocation
def verify(invocation: Invocation, agent: str | None, run_id: str | None) -> int:
    """Print what does not agree; exit status 1 if something does not."""
    findings = with_store(invocation, lambda store: store.verify(run_id))
    output = invocation.output
    status = ExitStatus.FAILED if findings else ExitStatus.DONE
    if output.as_json:
        data = [attrs.asdict(finding) for finding in findings]
        output.document("loom.runner.verify/1", {"run_id": run_id, "ok": not findings, "findings": data})
        return status
    for finding in findings:
        run = f"run `{finding.run_id}`, " if finding.run_id else ""
        output.line(f"{run}{finding.where}: {finding.what}")
        output.line(f"    {finding.meaning}")
    if not findings:
        what = f"run `{run_id}`" if run_id else "every run"
        output.line(f"{what} in {database(invocation)} agrees with itself")
    return status
