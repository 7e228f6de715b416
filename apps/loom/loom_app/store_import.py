"""`loom store import`."""

from __future__ import annotations

from pathlib import Path

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_app.stores import database, with_store
from loom_core.runtime.run_files import open_run_file


@click.command(
    "import",
    help="Add the runs of a file that `loom store export` wrote: all of them, or none if one cannot be. Nothing of "
    "them is executed; to go on with one, its agent has to be named.",
    epilog=examples("loom store import runs.jsonl --db other.sqlite", "loom store import runs.jsonl --skip-existing"),
)
@click.argument("file", type=click.Path(path_type=Path))
@db_option
@click.option("--skip-existing", is_flag=True, help="Leave out runs whose id is in use.")
@common_options
@pass_invocation
def import_command(invocation: Invocation, file: Path, skip_existing: bool) -> None:
    """Import runs."""
    # Before the database is created: a file that cannot be used changes nothing.
    found = open_run_file(file)
    added = with_store(
        invocation,
        lambda store: store.import_runs(
            found.parts, imported_from=f"{found.location} ({file.name})", skip_existing=skip_existing
        ),
        "create",
    )
    output = invocation.output
    if output.as_json:
        left_out = [run_id for run_id in found.run_ids if run_id not in set(added)]
        output.document("loom.store.import/1", {"from": found.location, "added": list(added), "left_out": left_out})
        return
    output.note(f"{len(added):,} of {len(found.run_ids):,} runs are imported into {database(invocation)}")
    output.note(f"next: loom-runner list --db {database(invocation)}")
