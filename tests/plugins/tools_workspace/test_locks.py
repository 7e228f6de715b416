"""No tool opens a file that this process must not close: the locks on an open database survive every tool."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

BOTH_WAYS_OF_OPENING = True

PROBE = """
import sys, apsw
db = apsw.Connection(sys.argv[1])
try:
    db.execute("BEGIN IMMEDIATE")
    print("free")
except apsw.BusyError:
    print("locked")
"""
PROBE_FLOCK = """
import fcntl, sys
with open(sys.argv[1], "r+") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("free")
    except OSError:
        print("locked")
"""


def state_of(path: Path, probe: str = PROBE) -> str:
    done = subprocess.run([sys.executable, "-c", probe, str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def database(desk) -> Iterator[Path]:
    """A database in WAL mode in the workspace, with a write transaction of this process open."""
    path = desk.root / "runs.sqlite"
    connection = apsw.Connection(str(path))
    for statement in (
        "PRAGMA journal_mode = wal",
        "CREATE TABLE t (x)",
        "INSERT INTO t VALUES ('word')",
        "BEGIN IMMEDIATE",
    ):
        connection.execute(statement).fetchall()
    for suffix in ("", "-wal", "-shm"):
        desk.protect(Path(f"{path}{suffix}"))
    yield path
    connection.execute("ROLLBACK")
    connection.close()


def test_the_probe_notices_when_a_descriptor_is_closed(desk, database: Path) -> None:
    assert state_of(database) == "locked"
    os.close(os.open(f"{database}-shm", os.O_RDONLY))
    assert state_of(database) == "free"


def test_an_open_database_keeps_its_lock_whatever_the_tools_do(desk, database: Path) -> None:
    names = ["runs.sqlite", "runs.sqlite-wal", "runs.sqlite-shm"]
    for suffix in ("", "-wal", "-shm"):
        os.link(f"{database}{suffix}", desk.root / f"hard{suffix}.txt")
        desk.link(f"soft{suffix}.md", f"hard{suffix}.txt")
        names += [f"hard{suffix}.txt", f"soft{suffix}.md", f"./docs/./../hard{suffix}.txt"]
    desk.write("docs/a.md", "word")
    desk.link("docs/up", "..")
    names += ["docs/up/runs.sqlite", "docs/up/hard.txt", "docs/up/soft-shm.md"]
    for name in names:
        assert "database" in desk.refusal(desk.read, name) or ".." in name
        desk.refusal(desk.search, "word", path=name)
        desk.refusal(desk.list, name)
    assert "1 result for `word`" in desk.search("word")
    assert "hard.txt  database of a run, not readable" in desk.list()
    script = "import glob; print(sum(len(open(name, 'rb').read()) for name in glob.glob('*')  if '.' in name))"
    assert "exit status 0" in desk.suite(sys.executable, "-c", script).run("docs/a.md")
    assert state_of(database) == "locked"


def test_a_database_that_nobody_declared_is_not_opened_either_if_it_is_named_like_one(desk, database: Path) -> None:
    desk.protected.clear()
    for name in ("runs.sqlite", "runs.sqlite-wal", "runs.sqlite-shm"):
        assert "database" in desk.refusal(desk.read, name)
    desk.search("word")
    assert state_of(database) == "locked"


@pytest.mark.parametrize("name", ["a.db", "A.SQLITE", "b.sqlite3", "c.db-wal", "c.db-journal", "x.db3"])
def test_names_of_databases_are_recognised(desk, name: str) -> None:
    desk.write(name, "text")
    assert "has the name of a database" in desk.refusal(desk.read, name)
    assert "database, not readable" in desk.list()


def test_a_file_swapped_for_a_protected_one_while_it_is_opened_keeps_its_lock(desk) -> None:
    desk.may_park = True
    held = desk.outside / "held"
    held.write_text("held")
    desk.protect(held)
    desk.write("note.txt", "inside")
    with held.open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        other = desk.root / "other"
        os.link(held, other)
        assert desk.race("note.txt", other, lambda: desk.read("note.txt"))[0] == {"inside"}
        assert state_of(held, PROBE_FLOCK) == "locked"


def test_a_file_that_becomes_protected_while_it_is_read_is_not_closed(desk) -> None:
    path = desk.write("note.txt", "inside")
    with path.open("r+") as file:
        with desk.workspace.open_file("note.txt") as opened:
            fcntl.lockf(file, fcntl.LOCK_EX)
            desk.protect(path)
            left_open = opened.descriptor
        assert state_of(path, PROBE_FLOCK) == "locked"
        os.close(left_open)
