"""Disks that fail at any write: full, mounted read-only, broken, and those that recover in the middle of a run."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest

from loom_core.errors import LoomError
from tests.torture import ledger_agent
from tests.torture.crashing import in_child
from tests.torture.judging import bring_to_end, judge

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1500)]

FAULTS: dict[str, type[apsw.Error]] = {
    "full": apsw.FullError,
    "read-only": apsw.ReadOnlyError,
    "input/output error": apsw.IOError,
}


@attrs.define
class Trouble:
    """From write or sync number ``first`` (from 1) on, ``count`` of them fail with ``error``."""

    error: type[apsw.Error]
    first: int
    count: int
    seen: int = 0
    failed: int = 0

    def strike(self) -> None:
        self.seen += 1
        if self.first and self.first <= self.seen < self.first + self.count:
            self.failed += 1
            raise self.error("the disk of this test")


class TroubledVFS(apsw.VFS):
    """The system's VFS, made the default of this process for as long as it is kept, with ``Trouble`` in between."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        super().__init__("troubled", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _TroubledFile(name, flags, self._trouble)


class _TroubledFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], trouble: Trouble) -> None:
        self._trouble = trouble
        super().__init__("unix", name, flags)

    def xLock(self, level: int) -> None:
        try:
            super().xLock(level)
        except apsw.IOError as error:
            # As in crashing.py: APSW takes a plain "no" on closing for an exception.
            raise apsw.BusyError(str(error)) from error

    def xWrite(self, data: bytes, offset: int) -> None:
        self._trouble.strike()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._trouble.strike()
        super().xSync(flags)


def run_into(db: Path, ledger: Path, kind: type[apsw.Error], first: int, count: int) -> dict[str, Any]:
    """Start the run on such a disk; return what came of it."""
    trouble = Trouble(kind, first, count)
    vfs = TroubledVFS(trouble)
    try:
        said = str(ledger_agent.start(db, ledger)["status"])
    except LoomError as refused:
        said = f"{type(refused).__name__}: {refused}"
    except apsw.Error as error:
        # SQLite swallows what fails when it closes; APSW raises what a VFS in Python has raised meanwhile.
        before = error.__context__
        said = f"{type(error if before is None else before).__name__}: {before or error}"
    vfs.unregister()
    return {"said": said, "seen": trouble.seen, "failed": trouble.failed}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("count", [3, 10**9], ids=["for three writes", "for good"])
def test_a_disk_that_fails_at_any_write_loses_nothing_and_repeats_nothing(
    fault: str, count: int, tmp_path: Path, whole_torture: bool
) -> None:
    error = FAULTS[fault]
    report = tmp_path / "report"
    quiet = in_child(lambda: run_into(tmp_path / "q.sqlite", tmp_path / "q.ledger", error, 0, 0), report)
    assert quiet.raised is None, quiet.raised
    total = quiet.value["seen"]
    points = range(1, total + 1, 1 if whole_torture else max(1, total // 8))
    endings: collections.Counter[str] = collections.Counter()
    for point in points:
        db, ledger = tmp_path / f"{point}.sqlite", tmp_path / f"{point}.ledger"
        ended = in_child(lambda p=point, d=db, f=ledger: run_into(d, f, error, p, count), report)
        assert ended.signal is None
        assert ended.raised is None, ended.raised
        assert ended.value["failed"], "the fault was not met"
        endings[ended.value["said"].partition(":")[0]] += 1
        endings["waited for a person"] += bring_to_end(db, ledger, report).doubts
        judge(db, ledger)
    print(f"{fault}, {count if count < 1000 else 'all further'} writes, at {len(points)} points: {dict(endings)}")
