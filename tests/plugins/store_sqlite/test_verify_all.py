"""Damage anywhere: every row deleted and every column changed, one at a time, is found or known to be harmless."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest
from loom_store_sqlite import upkeep
from loom_store_sqlite.store import SQLiteStore

from loom_core.contracts.retention import CheckpointPolicy, PayloadPolicy
from loom_core.contracts.stores import Settlement
from loom_core.testing.store_contract_upkeep import _everything
from loom_core.testing.store_values import LEASE_S, OWNER, RIVAL, admit, encode, new_run
from tests.plugins.store_sqlite.support import with_store

HARMLESS = {
    # Shown only; and a lease that is wrong is one that has expired or has not, which every owner is prepared for.
    "heads.updated_at",
    "heads.lease_wall_s",
    "heads.lease_boot_s",
    "heads.ended_at",
    "heads.reason",
    "heads.error",
    # The row that every commit changes has no seal, which would cost every step.
    "heads.wake_signal",
    "heads.wake_at",
    "heads.attempt_index",
    "heads.status",
    # Shown only.
    "steps.at",
    "steps.attempt_index",
    "steps.epoch",
    "steps.outcome",
    "steps.notes",
    "calls.epoch",
    "calls.messages",
    "calls.late_result",
    "messages.id",
    "messages.parent",
    "messages.body",
    # Another way to say which steps are gone.
    "gaps.id",
    "gaps.last",
    # Two rows of one text are one too many.
    "payloads.id",
    "numbers.last_run_no",
}
"""Columns of which some change is not found; ``docs/upkeep.md`` says why that does no harm."""

MAY_GO = {"messages", "payloads", "gaps", "inboxes"}
"""Tables of which some row may be deleted unnoticed: one that nothing refers to any more."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verify") / "r.sqlite"

    async def fill(store: SQLiteStore) -> None:
        await _everything(store, "run")
        await store.fork_run("run", 155, "fork", RIVAL, admit)
        writer = (await store.create_run(new_run("thin", {"n": 0, "pad": "p" * 300}), OWNER, LEASE_S)).writer
        writer.keep_to(CheckpointPolicy(mode="interval", every=5), PayloadPolicy())
        for number in range(23):
            await writer.commit(number, encode({"n": number + 1, "pad": "p" * 300}))
        await writer.settle(Settlement(step_index=23, status="waiting", reason="signal:go", wake_signal="go"))
        parts: list[Any] = []
        await store.export_runs(["fork"], parts.append)
        await store.delete_run("fork", lambda record: None)
        await store.import_runs(lambda: parts, imported_from="elsewhere")
        assert list(await store.verify()) == []

    with_store(path, fill)
    return path


def _tables(connection: apsw.Connection) -> dict[str, list[str]]:
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for name in names}


def _found(path: Path, sql: str, bindings: tuple[Any, ...]) -> int:
    """Return how many findings there are after a change, which is then undone."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.execute(sql, bindings).fetchall()
    connection.close()
    found = list(with_store(path, lambda store: store.verify(), "read"))
    assert all(each.what and each.meaning for each in found)
    return len(found)


def _other(value: Any) -> list[Any]:
    """Return values that a column may be damaged into."""
    if isinstance(value, bool | int):
        return [value + 1, value - 1]
    if isinstance(value, float):
        return [value + 1.5]
    if isinstance(value, str):
        return [value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"]
    if isinstance(value, bytes):
        return [bytes([value[0] ^ 1]) + value[1:] if value else b"x"]
    return ["x", 1]


def _samples(connection: apsw.Connection, table: str) -> list[int]:
    rows = [row[0] for row in connection.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]
    return sorted({*rows[:2], *rows[-2:], *rows[len(rows) // 2 :][:1]})


def test_every_table_is_known_to_upkeep_and_every_reference_too(original: Path) -> None:
    connection = apsw.Connection(str(original))
    tables = _tables(connection)
    assert {*upkeep.BY_ID, *upkeep.BY_RUN_NO, *upkeep.SHARED} == {*tables}
    any_columns = {
        (table, row[1])
        for table in tables
        for row in connection.execute(f"PRAGMA table_info({table})")
        if row[2] == "ANY"
    }
    references = {(table, column) for table, columns in upkeep.TEXTS.items() for column in columns}
    assert any_columns - {("payloads", "body")} == references
    connection.close()


def test_every_row_that_is_deleted_is_found(original: Path, tmp_path: Path) -> None:
    connection = apsw.Connection(str(original))
    rows = [(table, row) for table in _tables(connection) for row in _samples(connection, table)]
    connection.close()
    missed = []
    for table, row in rows:
        path = Path(shutil.copy(original, tmp_path / "r.sqlite"))
        if not _found(path, f"DELETE FROM {table} WHERE rowid = ?", (row,)):
            missed.append(f"{table} {row}")
        path.unlink()
    assert [each for each in missed if each.split()[0] not in MAY_GO] == []


def test_every_column_that_is_changed_is_found_or_known_to_be_harmless(original: Path, tmp_path: Path) -> None:
    connection = apsw.Connection(str(original))
    changes = []
    for table, columns in _tables(connection).items():
        for row in _samples(connection, table):
            for column in columns:
                value = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchall()[0][0]
                changes += [(table, row, column, other) for other in _other(value)]
    connection.close()
    missed: dict[str, list[Any]] = {}
    tried = 0
    for table, row, column, other in changes:
        path = Path(shutil.copy(original, tmp_path / "r.sqlite"))
        try:
            if not _found(path, f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (other, row)):
                missed.setdefault(f"{table}.{column}", []).append((row, other))
            tried += 1
        except apsw.ConstraintError:
            continue
        finally:
            path.unlink()
    assert tried > 300
    found = {name: where for name, where in missed.items() if name not in HARMLESS}
    assert not found, found
