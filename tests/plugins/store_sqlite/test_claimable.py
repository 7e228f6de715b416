"""Finding work costs the hot path nothing, and timers come to files that were written before there were any."""

from __future__ import annotations

from pathlib import Path

import apsw
from loom_store_sqlite import claimable, schema
from loom_store_sqlite.store import SQLiteStore

from loom_core.contracts.stores import Settlement
from loom_core.contracts.timers import Moment
from loom_core.testing.store_values import LEASE_S, OWNER, encode, new_run
from tests.plugins.store_sqlite.support import opened, with_store


def created(path: Path) -> apsw.Connection:
    with_store(path, lambda store: store.create_run(new_run(), OWNER, LEASE_S))
    connection = apsw.Connection(str(path))
    connection.execute(schema.TEMPORARY_OBJECTS)
    return connection


def root_of(connection: apsw.Connection, name: str) -> int:
    ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchall()
    return int(page)  # type: ignore[arg-type]


def test_the_commit_of_a_step_does_not_even_open_the_indexes_that_work_is_found_by(tmp_path: Path) -> None:
    connection = created(tmp_path / "r")
    program = connection.execute(f"EXPLAIN {schema.COMMIT_STATEMENT}", (0,) * 12).fetchall()
    opened_pages = {row[3] for row in program if row[1] in ("OpenWrite", "OpenRead")}
    assert {root_of(connection, "heads"), root_of(connection, "steps")} <= opened_pages
    assert opened_pages & {root_of(connection, "heads_to_do"), root_of(connection, "timers_by_boot")} == set()
    assert root_of(connection, "timers") not in opened_pages
    connection.close()


def test_work_is_found_by_indexes_and_not_by_reading_every_run(tmp_path: Path) -> None:
    connection = created(tmp_path / "r")
    queries = {claimable._UNDER_WAY: {"wall_s": 1.0, "boot_id": "b", "boot_s": 1.0}, claimable._QUEUED: (0, 9)}
    for query, bindings in queries.items():
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", bindings).fetchall()]
        assert [line for line in plan if str(line).startswith(("SCAN heads", "SCAN h", "SCAN t "))] == [], plan
    connection.close()


def test_a_file_of_version_1_is_upgraded_with_its_waiting_runs(tmp_path: Path) -> None:
    path = tmp_path / "r"

    async def leave(store: SQLiteStore) -> None:
        for run_id, wake_at in (("due", 5.0), ("later", 9e9)):
            writer = (await store.create_run(new_run(run_id), OWNER, LEASE_S)).writer
            await writer.settle(
                Settlement(step_index=0, status="waiting", outcome="sleep", state=encode(1), wake_at=wake_at)
            )

    with_store(path, leave)
    connection = apsw.Connection(str(path))
    connection.execute(
        "DROP TABLE timers; DROP INDEX heads_to_do; DROP TABLE schedules; DROP TABLE approvals; DROP TABLE budgets;"
        " DROP TABLE reservations; ALTER TABLE signals DROP COLUMN sent_by; ALTER TABLE signals DROP COLUMN sent_user;"
        " DROP TABLE origins; DROP TABLE gaps; DROP TABLE agents; DROP TABLE inboxes; DROP TABLE numbers;"
        " ALTER TABLE runs DROP COLUMN seal; ALTER TABLE claims DROP COLUMN seal;"
        " ALTER TABLE attempts DROP COLUMN seal; ALTER TABLE calls DROP COLUMN seal;"
        " ALTER TABLE signals DROP COLUMN seal; PRAGMA user_version = 1; VACUUM"
    ).fetchall()
    connection.close()

    async def look(store: SQLiteStore) -> None:
        found = await store.find_claimable(["counter"], Moment(wall_s=10.0), lambda _r, _s: True)
        assert [r.run_id for r in found] == ["due"]
        record = await store.get_run("later")
        assert (record.wake_at, record.wake_boot, record.timed_out) == (9e9, None, False)
        assert list(await store.verify()) == []

    with_store(path, look, "write")


def test_a_reader_finds_work_as_a_writer_does(tmp_path: Path) -> None:
    async def leave(store: SQLiteStore) -> None:
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
        await writer.settle(Settlement(step_index=0, status="queued"))

    with_store(tmp_path / "r", leave)

    async def look(store: SQLiteStore) -> None:
        found = await store.find_claimable(["counter"], Moment(wall_s=10.0), lambda _r, _s: True)
        assert [r.run_id for r in found] == ["run"]

    with_store(tmp_path / "r", look, "read")
    assert opened(tmp_path / "r", "read").location
