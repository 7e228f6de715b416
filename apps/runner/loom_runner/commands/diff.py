"""`loom-runner diff`."""

from __future__ import annotations

import asyncio

import attrs
import click
from loom_cli import ExitStatus, Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import cut, safe

from loom_core.runtime.diffing import Difference, RunDiff, diff_runs
from loom_core.runtime.explain.text import counted, number
from loom_runner.documents import run_data
from loom_runner.reading import database

_TOLD = 20


@click.command(
    "diff",
    help="Compare two runs, state by state and call by call, and name the first place where they part. A fork is "
    "compared with its source from where it began. Exit status: 0 if they did the same, 1 if not.",
    epilog=examples(
        "loom-runner diff demo demo-fork-3 --db runs.sqlite", "loom-runner diff demo demo --db-b other.sqlite --json"
    ),
)
@click.argument("run_a")
@click.argument("run_b")
@db_option
@click.option("--db-b", metavar="DB", help="The database of RUN_B.  [default: the same]")
@click.option("--all", "everything", is_flag=True, help="Print every difference that is kept (100), not the first 20.")
@common_options
@pass_invocation
def diff(invocation: Invocation, run_a: str, run_b: str, db_b: str | None, everything: bool) -> int:
    """Print where two runs part; exit status 1 if they do."""
    found = asyncio.run(_compared(invocation, run_a, run_b, db_b))
    status = ExitStatus.DONE if found.same else ExitStatus.FAILED
    if invocation.output.as_json:
        invocation.output.document("loom.runner.diff/1", _data(found))
    else:
        _print(invocation, found, db_b, everything=everything)
    return status


async def _compared(invocation: Invocation, run_a: str, run_b: str, db_b: str | None) -> RunDiff:
    runtime = invocation.runtime()
    try:
        first = runtime.open_store(None, "read")
        second = first if db_b is None else runtime.open_store(db_b, "read")
        return await diff_runs(first, run_a, second, run_b)
    finally:
        await runtime.aclose()


def _data(found: RunDiff) -> dict[str, object]:
    differences = [attrs.asdict(each) for each in found.differences]
    return {
        "same": found.same,
        "a": run_data(found.a),
        "b": run_data(found.b),
        "first_step": found.first,
        "steps_compared": found.steps,
        "calls_compared": found.calls,
        "steps_not_kept": found.unkept,
        "first": differences[0] if differences else None,
        "differences": differences,
        "more": found.more,
    }


def _print(invocation: Invocation, found: RunDiff, db_b: str | None, *, everything: bool) -> None:
    output = invocation.output
    a, b = found.a.run_id, found.b.run_id
    compared = f"{counted(found.steps, 'step')} and {counted(found.calls, 'call')}"
    if found.same:
        output.line(f"`{a}` and `{b}` did the same: {compared} compared")
    else:
        first = found.differences[0]
        output.line(f"they part at {_where(first)}", "bold")
        output.line(f"  a: {a} in {database(invocation)}")
        output.line(f"  b: {b} in {db_b or database(invocation)}")
        shown = found.differences if everything else found.differences[:_TOLD]
        for each in shown:
            _print_difference(invocation, each)
        left_out = len(found.differences) - len(shown)
        if left_out:
            output.note(f"{counted(left_out, 'further difference')}: --all prints them")
        if found.more:
            output.note(f"{counted(found.more, 'further difference')} are not kept")
        output.note(f"{compared} compared")
    if found.unkept:
        output.note(f"{counted(found.unkept, 'step')} could not be compared: one of the histories no longer has them")


def _where(difference: Difference) -> str:
    step = "the first state" if difference.step_index < 0 else f"step {number(difference.step_index)}"
    if difference.what == "call":
        return f"{step}, call {difference.call_id}: {difference.path}"
    return f"{step}: {difference.path}"


def _print_difference(invocation: Invocation, difference: Difference) -> None:
    output = invocation.output
    columns = (output.columns or 1_000_000) - 7
    output.line(_where(difference))
    for side, text in (("a", difference.a), ("b", difference.b)):
        output.line(f"    {side}: {cut(safe('nothing' if text is None else text), columns)}")
