"""`loom store export`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import IO

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_app.stores import with_store
from loom_core.contracts.stores import Store
from loom_core.errors import BadInput
from loom_core.runtime.run_files import RunFileWriter


@click.command(
    "export",
    help="Write runs to a file of JSON lines with checksums: all of them, or those that are named. The file has "
    "everything that a run keeps, secrets included, and is readable by you only.",
    epilog=examples("loom store export -o runs.jsonl", "loom store export --run-id demo --db runs.sqlite > demo.jsonl"),
)
@db_option
@click.option("--run-id", "run_ids", multiple=True, metavar="ID", help="This run; may be repeated.  [default: all]")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The file to write.  [default: standard output]",
)
@common_options
@pass_invocation
def export_command(invocation: Invocation, run_ids: tuple[str, ...], target: Path | None) -> None:
    """Export runs."""
    output = invocation.output
    if target is None:
        if output.as_json:
            raise click.UsageError("with --json, name the file: -o FILE", click.get_current_context())
        count = _export(invocation, run_ids, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        count = _export_to(invocation, run_ids, target)
    if output.as_json:
        output.document("loom.store.export/1", {"file": str(target), "runs": count})
        return
    output.note(f"{count:,} runs are exported" + (f" to {target}" if target else ""))
    if target is not None:
        output.note(f"next: loom store import {target} --db OTHER.sqlite")


def _export_to(invocation: Invocation, run_ids: tuple[str, ...], target: Path) -> int:
    """Write a file that is there only when it is whole."""
    if target.exists():
        raise BadInput(f"{target} is there already", hint="name another file, or remove it first")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.touch(mode=0o600, exist_ok=False)
        with part.open("wb") as stream:
            count = _export(invocation, run_ids, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _export(invocation: Invocation, run_ids: tuple[str, ...], stream: IO[bytes]) -> int:
    async def work(store: Store) -> int:
        writer = RunFileWriter(stream, location=store.location, at=time.time())
        await store.export_runs(run_ids or None, writer.take)
        writer.close()
        return writer.runs

    return with_store(invocation, work)
