"""`loom tailcalls explain FILE[:FUNCTION]`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
from loom_cli import ExitStatus, Invocation, Output, common_options, examples, pass_invocation
from loom_cli.output import Colour
from loom_cli.text import safe

if TYPE_CHECKING:
    from loom_core.tailcalls.explaining import FileExplanation
    from loom_core.tailcalls.rendering import Role

_COLOURS: dict[Role, Colour] = {
    "function": "bold",
    "accepted": "green",
    "loop": "green",
    "kept": "cyan",
    "rejected": "red",
    "hint": "cyan",
    "note": "cyan",
    "place": "dim",
}


@click.command(
    "explain",
    epilog=examples("loom tailcalls explain agent.py", "loom tailcalls explain agent.py:Agent.run --json"),
)
@click.argument("target", metavar="FILE[:FUNCTION]")
@common_options
@pass_invocation
def explain_command(invocation: Invocation, target: str) -> int:
    """Say what becomes of every recursive call of a file, and why.

    The file is read and compiled, never executed. Shown are functions under @tailrec or @tailstream, and async
    functions that call themselves; or FUNCTION alone, such as `Class.method` or `outer.inner`. Ends with 1 if a
    decorated function is rejected: then the file cannot be imported.
    """
    from loom_core.tailcalls.explaining import explain_file

    explanation = explain_file(*_parsed(target))
    if invocation.output.as_json:
        invocation.output.document("loom.tailcalls.explain/1", _facts(explanation))
    else:
        _print(invocation.output, explanation)
    return ExitStatus.DONE if explanation.accepted else ExitStatus.FAILED


def _parsed(target: str) -> tuple[Path, str | None]:
    """Split a target; a file whose own name has a colon is a file."""
    path, colon, function = target.rpartition(":")
    if not colon or not path or Path(target).exists():
        return Path(target), None
    return Path(path), function


def _facts(explanation: FileExplanation) -> dict[str, object]:
    functions = [{"decorated": one.transform, **attrs.asdict(one.report)} for one in explanation.functions]
    return {"path": explanation.path, "accepted": explanation.accepted, "functions": functions}


def _print(out: Output, explanation: FileExplanation) -> None:
    from loom_core.tailcalls.rendering import Page

    page = Page(columns=out.columns, escape=partial(safe, keep="\t"))
    for one in explanation.functions:
        for line in page.report(one.report):
            out.spans((span.text, _COLOURS.get(span.role)) for span in line)
        out.line()
    for line in page.text(_summary(explanation)):
        out.spans((span.text, None) for span in line)


def _summary(explanation: FileExplanation) -> str:
    if not explanation.functions:
        return f"{explanation.path}: no function is decorated by @tailrec or @tailstream, and no async one calls itself"
    decorated = [one for one in explanation.functions if one.transform is not None]
    rejected = sum(not one.report.accepted for one in decorated)
    counts = [
        (len(decorated) - rejected, "accepted"),
        (rejected, "rejected (the file cannot be imported)"),
        (len(explanation.functions) - len(decorated), "not decorated"),
    ]
    return f"{explanation.path}: " + ", ".join(f"{count} {what}" for count, what in counts if count)
