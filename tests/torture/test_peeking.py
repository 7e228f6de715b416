"""Threads that open and close the database's own files in the middle of transactions, while others write too."""

from __future__ import annotations

import asyncio
import collections
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loom_core import open_store
from tests.torture import peeking

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]


def spawn(role: str, db: Path, suffixes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-m", "tests.torture.peeking", role, str(db), suffixes),
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("LOOM_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("suffixes", ["", "-shm", "-wal", ",-wal,-shm"], ids=["file", "shm", "wal", "all"])
def test_threads_that_peek_while_another_process_writes_damage_nothing(
    tmp_path: Path, whole_torture: bool, suffixes: str
) -> None:
    said = collections.Counter[str]()
    for round_ in range(12 if whole_torture else 1):
        db = tmp_path / f"{round_}.sqlite"
        beside, process = spawn("beside", db, suffixes), spawn("peek", db, suffixes)
        try:
            out, _ = process.communicate(timeout=60)
            Path(f"{db}.stop").touch()
            beside_out, _ = beside.communicate(timeout=60)
        finally:
            process.kill()
            beside.kill()
        assert (beside.returncode, int(beside_out) > 0) == (0, True), beside_out
        if process.returncode:
            # The process beside it took itself for the last one and removed the log. Noticed, and said.
            assert "was removed while this program used it" in out, out
        said["stopped" if process.returncode else "completed"] += 1
        asyncio.run(_judge(db, completed=process.returncode == 0))
    print(f"files `{suffixes}`: {dict(said)}")


async def _judge(db: Path, *, completed: bool) -> None:
    store = open_store(str(db), "read")
    try:
        assert not await store.verify()
        for record in await store.list_runs(limit=10_000):
            if completed or record.run_id != peeking.RUN_ID:
                steps = peeking.STEPS + 1 if record.run_id == peeking.RUN_ID else peeking.STEPS_BESIDE + 1
                assert (record.status, record.step_index) == ("completed", steps), record
    finally:
        await store.aclose()
