"""`loom store prune`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

import attrs
import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_app.stores import command, with_store
from loom_core.contracts.stores import RunStatus, Store
from loom_core.runtime.pruning import Pruned, PruneRule, prune

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return an age such as 90s, 30m, 12h, 7d, 4w in seconds."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", value)
    if match is None:
        raise click.BadParameter(f"`{value}` is no age; write 90s, 30m, 12h, 7d or 4w", ctx, param)
    return float(match[1]) * _UNITS[match[2]]


@click.command(
    "prune",
    help="Let the older history of runs go; with --runs, ended runs as a whole. What resuming needs stays: the newest "
    "states, and every call of a run that stays. At least one of the first five options has to be given.",
    epilog=examples(
        "loom store prune --older-than 30d --dry-run", "loom store prune --runs --status completed --keep-runs 100"
    ),
)
@db_option
@click.option(
    "--older-than", callback=_seconds, metavar="AGE", help="Runs last written so long ago: 90s, 30m, 12h, 7d, 4w."
)
@click.option("--keep-runs", type=click.IntRange(0), metavar="N", help="Leave the N newest of these runs alone.")
@click.option(
    "--status",
    "statuses",
    type=click.Choice(get_args(RunStatus)),
    multiple=True,
    metavar="S",
    help="Runs of this status; may be repeated.",
)
@click.option("--run-id", "run_ids", multiple=True, metavar="ID", help="This run; may be repeated.")
@click.option("--keep-steps", type=click.IntRange(0), metavar="N", help="Leave the N newest steps of each run.")
@click.option("--runs", "whole", is_flag=True, help="Delete completed and cancelled runs (failed: --status failed).")
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@common_options
@pass_invocation
def prune_command(
    invocation: Invocation,
    older_than: float | None,
    keep_runs: int | None,
    statuses: tuple[RunStatus, ...],
    run_ids: tuple[str, ...],
    keep_steps: int | None,
    whole: bool,
    dry_run: bool,
) -> None:
    """Prune a database."""
    if older_than is keep_runs is keep_steps is None and not statuses and not run_ids:
        raise click.UsageError(
            "say which runs: --older-than, --keep-runs, --status, --run-id or --keep-steps", click.get_current_context()
        )
    rule = PruneRule(
        older_than_s=older_than,
        keep_runs=keep_runs or 0,
        statuses=statuses,
        run_ids=run_ids,
        keep_steps=keep_steps or 0,
        whole=whole,
    )

    async def work(store: Store) -> tuple[Sequence[Pruned], int]:
        gone = await prune(store, rule, dry_run=dry_run)
        return gone, 0 if dry_run else await store.sweep()

    gone, texts = with_store(invocation, work, "read" if dry_run else "write")
    _report(invocation, gone, texts, dry_run=dry_run)


def _report(invocation: Invocation, gone: Sequence[Pruned], texts: int, *, dry_run: bool) -> None:
    output = invocation.output
    steps = sum(each.steps for each in gone)
    if output.as_json:
        data = {"dry_run": dry_run, "runs": [attrs.asdict(each) for each in gone], "steps": steps, "texts": texts}
        output.document("loom.store.prune/1", data)
        return
    rows = [(each.run_id, each.status, f"{each.steps:,}", "whole" if each.whole else "history") for each in gone]
    if rows:
        output.table(("RUN", "STATUS", "STEPS", "WHAT"), rows, right=("STEPS",))
    would = "would go" if dry_run else "went"
    output.note(f"{steps:,} steps of {len(gone):,} runs {would}" + ("" if dry_run else f", and {texts:,} texts"))
    if gone and not dry_run:
        output.note(f"to give the space back to the disk: {command(invocation, 'loom store vacuum')}")
