"""`loom store copy`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_app.stores import database, with_store
from loom_core.contracts.stores import Store
from loom_core.runtime.run_files import RunFileWriter, open_run_file


@click.command(
    "copy",
    help="Add the runs of one database to another one, which may be of another kind: all of them, or none. A run goes "
    "on in one place only: resume the copy or the original, not both.",
    epilog=examples(
        "loom store copy --db runs.sqlite --to archive.sqlite", "loom store copy --run-id demo --to b.sqlite"
    ),
)
@db_option
@click.option("--to", "target", required=True, metavar="DB", help="The database to add them to, a path or a URL.")
@click.option("--run-id", "run_ids", multiple=True, metavar="ID", help="This run; may be repeated.  [default: all]")
@click.option("--skip-existing", is_flag=True, help="Leave out runs whose id is in use there.")
@common_options
@pass_invocation
def copy_command(invocation: Invocation, target: str, run_ids: tuple[str, ...], skip_existing: bool) -> None:
    """Copy runs."""
    # By way of a file, so that neither database is kept busy while the other one is.
    with tempfile.TemporaryDirectory(prefix="loom-") as folder:
        spool = Path(folder) / "runs.jsonl"
        with_store(invocation, lambda store: _export(store, run_ids, spool))
        found = open_run_file(spool)

        async def add(store: Store) -> Sequence[str]:
            return await store.import_runs(found.parts, imported_from=None, skip_existing=skip_existing)

        added = with_store(invocation, add, "create", target)
    output = invocation.output
    if output.as_json:
        left_out = [run_id for run_id in found.run_ids if run_id not in set(added)]
        output.document("loom.store.copy/1", {"to": target, "added": list(added), "left_out": left_out})
        return
    output.note(f"{len(added):,} of {len(found.run_ids):,} runs of {database(invocation)} are copied to {target}")
    output.note(f"next: loom-runner list --db {target}")


async def _export(store: Store, run_ids: tuple[str, ...], spool: Path) -> None:
    with spool.open("wb") as stream:
        writer = RunFileWriter(stream, location=store.location, at=time.time())
        await store.export_runs(run_ids or None, writer.take)
        writer.close()
