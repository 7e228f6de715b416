"""A process that dies while it creates the database leaves one that reads as empty and is made by the next one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from loom_core import open_store
from loom_core.errors import StoreEmpty
from tests.torture import ledger_agent
from tests.torture.crashing import CrashingVFS, Writes, in_child
from tests.torture.judging import bring_to_end, judge

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]


def test_a_database_whose_creator_died_is_empty_and_not_damaged(tmp_path: Path) -> None:
    def create(db: Path, point: int) -> None:
        vfs = CrashingVFS(Writes(die_at=point, after=True))
        open_store(str(db), "create")
        assert vfs.registered

    empty = 0
    for point in range(1, 60):
        db, ledger, report = tmp_path / f"{point}.sqlite", tmp_path / f"{point}.ledger", tmp_path / "report"
        ending = in_child(lambda d=db, p=point: create(d, p), report)
        if ending.signal != signal.SIGKILL:
            break
        before = db.read_bytes()
        try:
            open_store(str(db), "read")
        except StoreEmpty:
            empty += 1
        assert db.read_bytes() == before, "reading has changed the file"
        if point % 5 == 0:
            bring_to_end(db, ledger, report)
            judge(db, ledger)
    assert empty > 5
    assert not ledger_agent.lines(tmp_path / "1.ledger")
