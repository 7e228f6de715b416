"""`loom plugins check TARGET`."""

from __future__ import annotations

import attrs
import click
from loom_cli import ExitStatus, Invocation, Output, common_options, examples, pass_invocation
from loom_cli.output import Colour

from loom_app.checking.findings import Report
from loom_app.checking.run import check
from loom_app.checking.target import targets

_LABELS: dict[str, tuple[str, Colour]] = {
    "ok": ("ok     ", "green"),
    "warning": ("warning", "yellow"),
    "failure": ("FAILED ", "red"),
}


@click.command(
    "check",
    epilog=examples("loom plugins check tools_workspace", "loom plugins check ./my_plugin --json"),
)
@click.argument("target")
@common_options
@pass_invocation
def check_command(invocation: Invocation, target: str) -> int:
    """Load one plugin alone, in a process of its own, and validate it.

    TARGET is the name of an installed plugin, a plugin's folder, or its .py file. Looks at what it imports, its
    entries, its configuration class, and makes each thing it offers with the default configuration.
    """
    reports = [check(one) for one in targets(target)]
    if invocation.output.as_json:
        checks = [{**attrs.asdict(report), "ok": report.ok} for report in reports]
        invocation.output.document("loom.plugins.check/1", {"checks": checks})
    else:
        for report in reports:
            _print(invocation.output, report)
    return ExitStatus.DONE if all(report.ok for report in reports) else ExitStatus.FAILED


def _print(out: Output, report: Report) -> None:
    out.line(f"{report.name} ({report.distribution})", "bold")
    for finding in report.findings:
        label, colour = _LABELS[finding.level]
        out.labelled(label, finding.what, colour)
