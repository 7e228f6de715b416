"""Reading changes nothing, creates nothing, blocks nobody."""

import asyncio
import os
import tempfile
from pathlib import Path

import apsw
import pytest
from loom_store_sqlite.files import locate
from loom_store_sqlite.snapshot import Snapshot, SnapshotChanged
from loom_store_sqlite.store import SQLiteStore

from loom_core.errors import StoreBusy, StoreUnusable
from loom_core.testing.store_values import LEASE_S, OWNER, admit, encode, intent, new_run
from tests.plugins.store_sqlite.support import as_nobody, child, listing, opened, with_store

CRASH = """
async def main():
    store = SQLiteStore.open(path, "create")
    writer = (await store.create_run(new_run(), OWNER, 30)).writer
    for n in range(5):
        await writer.commit(n, encode(n + 1))
    os._exit(9)
asyncio.run(main())
"""


async def ask_everything(store: SQLiteStore) -> int:
    (record,) = await store.list_runs()
    await store.get_run("run")
    await store.get_steps("run", states=True)
    await store.get_calls("run")
    assert list(await store.verify()) == []
    return record.step_index


def crashed(path: Path) -> Path:
    with child(CRASH, path) as process:
        process.wait()
    assert set(os.listdir(path.parent)) == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    return path


def test_readers_of_a_closed_database_leave_no_trace(tmp_path: Path) -> None:
    with_store(tmp_path / "r", lambda s: s.create_run(new_run(), OWNER, LEASE_S))
    before = listing(tmp_path)
    assert list(before) == ["r"]
    assert with_store(tmp_path / "r", ask_everything, "read") == 0
    assert listing(tmp_path) == before


def test_readers_of_a_crashed_database_see_all_that_was_committed_and_leave_no_trace(tmp_path: Path) -> None:
    path = crashed(tmp_path / "r")
    before = listing(tmp_path)
    assert with_store(path, ask_everything, "read") == 5
    assert listing(tmp_path) == before


def test_a_crashed_database_that_nobody_may_write_to_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = crashed(Path(folder, "r"))
        for name in os.listdir(folder):
            os.chmod(Path(folder, name), 0o444)
        os.chmod(folder, 0o555)
        before = listing(Path(folder))
        assert as_nobody(lambda: str(with_store(path, ask_everything, "read"))) == "5"
        assert listing(Path(folder)) == before
        os.chmod(folder, 0o755)


def test_a_log_that_was_copied_without_its_index_is_not_overlooked(tmp_path: Path) -> None:
    path = crashed(tmp_path / "r")
    os.remove(f"{path}-shm")
    assert with_store(path, ask_everything, "read") == 5


def test_such_a_log_in_a_folder_that_cannot_be_written_is_refused_and_not_ignored() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = crashed(Path(folder, "r"))
        os.remove(f"{path}-shm")
        for name in os.listdir(folder):
            os.chmod(Path(folder, name), 0o444)
        os.chmod(folder, 0o555)

        def check() -> str:
            with pytest.raises(StoreUnusable) as caught:
                opened(path, "read")
            return str(caught.value.hint)

        if os.geteuid() == 0:
            assert "-shm" in as_nobody(check)
        os.chmod(folder, 0o755)


def test_readers_see_every_commit_of_a_running_run_and_never_disturb_it(tmp_path: Path) -> None:
    async def main() -> None:
        writing, reading = opened(tmp_path / "r"), None
        writer = (await writing.create_run(new_run(), OWNER, LEASE_S)).writer
        reading = opened(tmp_path / "r", "read")
        before = list(listing(tmp_path))
        for n in range(20):
            await writer.commit(n, encode({"n": n}))
            assert (await reading.get_run("run")).step_index == n + 1
            assert await reading.get_state("run") == encode({"n": n}).text
        assert list(await reading.verify()) == []
        assert list(listing(tmp_path)) == before
        await writing.aclose()
        # The last writer has folded its log into the file; the reader goes on.
        assert list(listing(tmp_path)) == ["r"]
        assert (await reading.get_run("run")).step_index == 20
        await reading.aclose()
        assert list(listing(tmp_path)) == ["r"]

    asyncio.run(main())


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        await store.create_run(new_run(), OWNER, LEASE_S)
        other = apsw.Connection(str(tmp_path / "r"))
        other.execute("BEGIN IMMEDIATE; UPDATE heads SET step_index = 99").fetchall()
        reading = opened(tmp_path / "r", "read", busy_limit_s=0.0)
        for asked in (store, reading):
            assert (await asked.get_run("run")).step_index == 0
        other.close()
        await store.aclose()

    asyncio.run(main())


def test_a_store_opened_for_reading_writes_nothing(tmp_path: Path) -> None:
    with_store(tmp_path / "r", lambda s: s.create_run(new_run(), OWNER, LEASE_S))

    async def write(store: SQLiteStore) -> None:
        for attempt in (
            store.create_run(new_run("b"), OWNER, LEASE_S),
            store.claim("run", OWNER, LEASE_S, admit),
            store.send_signal("run", "go", "1"),
            store.keep_late_result("run", 0, "0", 0, "1"),
        ):
            with pytest.raises(StoreUnusable, match="reading"):
                await attempt

    with_store(tmp_path / "r", write, "read")


def test_what_was_read_while_the_file_changed_is_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with_store(path, lambda s: s.create_run(new_run(), OWNER, LEASE_S))
    with pytest.raises(SnapshotChanged), Snapshot(locate(str(path))) as snapshot:
        with_store(path, lambda s: s.create_run(new_run("second"), OWNER, LEASE_S))
        snapshot.connection.execute("SELECT count(*) FROM runs").fetchall()


def test_a_reader_asks_again_until_the_file_stands_still(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with_store(path, lambda s: s.create_run(new_run(), OWNER, LEASE_S))
    asked: list[int] = []

    async def main() -> None:
        store = opened(path, "read")
        answer = store._look

        def disturbed(question):  # type: ignore[no-untyped-def]
            def and_disturb(reader):  # type: ignore[no-untyped-def]
                asked.append(len(asked))
                if len(asked) < 3:
                    os.utime(path)
                return question(reader)

            return answer(and_disturb)

        store._look = disturbed  # type: ignore[method-assign]
        assert (await store.get_run("run")).run_id == "run"

    asyncio.run(main())
    assert asked == [0, 1, 2]


def test_a_file_that_never_stands_still_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with_store(path, lambda s: s.create_run(new_run(), OWNER, LEASE_S))

    async def main() -> None:
        store = opened(path, "read", busy_limit_s=0.02)

        def disturb(reader):  # type: ignore[no-untyped-def]
            os.utime(path)
            return reader.run("run")

        with pytest.raises(StoreBusy):
            await store._read(disturb)

    asyncio.run(main())


def test_a_long_history_is_read_by_its_ends_only(tmp_path: Path) -> None:
    """Pages and states of a run of 20,000 steps and 2,000 calls take no longer than those of a short one."""

    async def main() -> None:
        store = opened(tmp_path / "r")
        writer = (await store.create_run(new_run(value={"pad": "x" * 300, "n": 0}), OWNER, LEASE_S)).writer
        connection = store._writing().connection
        for n in range(20_000):
            if n == 10_000:
                await writer.begin_call(intent(n, "only"))
            await writer.commit(n, encode({"pad": "x" * 300, "n": n}))
        executed: list[str] = []

        def count(_: object, sql: str, __: object) -> bool:
            executed.append(sql)
            return True

        before = connection.status(apsw.SQLITE_DBSTATUS_CACHE_HIT)[0]
        connection.exec_trace = count
        assert await store.get_state("run") == encode({"pad": "x" * 300, "n": 19_999}).text
        assert await store.get_state("run", 10_000) == encode({"pad": "x" * 300, "n": 9_999}).text
        assert len(await store.get_steps("run", first=15_000, limit=10, states=True)) == 10
        assert (await store.get_run("run")).counters.calls == 1
        assert (await store.get_calls("run", newest=True, limit=5))[0].step_index == 10_000
        pages = connection.status(apsw.SQLITE_DBSTATUS_CACHE_HIT)[0] - before
        connection.exec_trace = None
        await store.aclose()
        assert pages < 400
        assert len(executed) < 60

    asyncio.run(main())
