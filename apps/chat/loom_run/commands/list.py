"""`loom-run list`."""

from __future__ import annotations

import asyncio
import time

import click
from loom_cli.invocation import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import relative

from loom_core.contracts.stores import RunRecord
from loom_core.runtime.admission import is_orphaned
from loom_core.runtime.owners import boot_clock
from loom_run.conversation import AGENT_NAME, SIGNAL

YOUR_TURN = f"signal:{SIGNAL}"


@click.command(
    "list",
    help="List conversations, the newest first.",
    epilog=examples("loom-run list", "loom-run list --limit 5 --json"),
)
@db_option
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True, help="How many to leave out first.")
@common_options
@pass_invocation
def list_(invocation: Invocation, limit: int, offset: int) -> None:
    """Print the conversations of a database."""
    runs = asyncio.run(_read(invocation, limit, offset))
    output = invocation.output
    if output.as_json:
        output.document("loom.run.list/1", {"conversations": [_data(r) for r in runs]})
        return
    now = time.time()
    rows = [(r.run_id, standing(r), str(r.step_index), relative(r.updated_at, now)) for r in runs]
    output.table(("conversation", "standing", "steps", "last"), rows, right=("steps",))


async def _read(invocation: Invocation, limit: int, offset: int) -> list[RunRecord]:
    runtime = invocation.runtime()
    store = runtime.open_store(None, "read")
    try:
        return list(await store.list_runs(limit=limit, offset=offset, agent=AGENT_NAME))
    finally:
        await runtime.aclose()


def standing(record: RunRecord) -> str:
    """Return where a conversation stands, in words."""
    if record.status == "waiting":
        return "your turn" if record.reason == YOUR_TURN else f"waiting: {record.reason}"
    if record.status == "running":
        orphaned = is_orphaned(record, wall_s=time.time(), boot_s=boot_clock())
        return "orphaned: resume it" if orphaned else "running"
    return record.status


def _data(record: RunRecord) -> dict[str, object]:
    return {
        "run_id": record.run_id,
        "status": record.status,
        "reason": record.reason,
        "standing": standing(record),
        "step_index": record.step_index,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }
