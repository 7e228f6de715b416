"""What is opened, created and refused."""

import asyncio
import contextlib
import os
import socket
import sqlite3
import stat
import tempfile
import threading
from pathlib import Path

import apsw
import pytest
from loom_store_sqlite import opening, schema
from loom_store_sqlite.files import locate
from loom_store_sqlite.identity import check_readable, identify
from loom_store_sqlite.plugin import loom_stores

from loom_core.errors import BadInput, RunExists, StoreBusy, StoreUnusable
from loom_core.hookspecs import PluginContext
from loom_core.testing.store_values import LEASE_S, OWNER, encode, intent, new_run
from tests.plugins.store_sqlite.support import as_nobody, child, contents, listing, opened, said, tell, with_store

MODES = ("read", "write", "create")


def run_database(path: Path) -> Path:
    with_store(path, lambda store: store.create_run(new_run(), OWNER, LEASE_S))
    return path


def refusal(path: Path, mode: str) -> StoreUnusable:
    with pytest.raises(StoreUnusable) as caught:
        opened(path, mode)
    assert caught.value.exit_status == 2
    return caught.value


def test_the_plugin_offers_the_store_for_paths(tmp_path: Path) -> None:
    (entry,) = loom_stores()
    assert set(entry.schemes) == {"", "sqlite"}
    store = entry.factory(str(tmp_path / "x.sqlite"), "create", PluginContext(cache_dir=tmp_path, environ={}))
    assert store.location == str(tmp_path / "x.sqlite")
    asyncio.run(store.aclose())


def test_only_create_creates_and_what_it_creates_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    for mode in ("read", "write"):
        error = refusal(path, mode)
        assert "does not exist" in str(error)
        assert error.hint is not None
        assert listing(tmp_path) == {}
    store = opened(path)
    for name in ("runs.sqlite", "runs.sqlite-wal", "runs.sqlite-shm"):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o600
    asyncio.run(store.aclose())
    assert list(listing(tmp_path)) == ["runs.sqlite"]


def test_a_new_file_says_what_it_is_in_its_header(tmp_path: Path) -> None:
    run_database(tmp_path / "r")
    connection = apsw.Connection(str(tmp_path / "r"))
    found = identify(connection)
    assert (found.application_id, found.version) == (0x4C6F6F6D, len(schema.MIGRATIONS))
    assert connection.pragma("journal_mode") == "wal"
    connection.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path / "no" / "such" / "runs.sqlite", "create")
    assert str(tmp_path / "no" / "such") in str(error)
    assert error.hint == f"mkdir -p {tmp_path / 'no' / 'such'}"
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["", "a\0b", ":memory:"])
def test_what_is_no_path_is_refused(name: str, mode: str) -> None:
    with pytest.raises(StoreUnusable):
        opened(name, mode)  # type: ignore[arg-type]


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        opened(tmp_path / "x", "append")


@pytest.mark.parametrize("mode", MODES)
def test_folders_pipes_sockets_and_devices_are_refused_without_opening_them(tmp_path: Path, mode: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{short}/s")
        for path, word in ((tmp_path, "folder"), (tmp_path / "pipe", "pipe"), (f"{short}/s", "socket")):
            assert word in str(refusal(Path(path), mode))
    assert "device" in str(refusal(Path("/dev/null"), mode))


def foreign_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        other = sqlite3.connect(f"{folder}/other")
        other.execute("CREATE TABLE bookmarks(url)")
        other.commit()
        other.close()
        sqlite = Path(folder, "other").read_bytes()
        ours = run_database(Path(folder, "ours")).read_bytes()
    return {
        "text": b"dear diary\n" * 400,
        "one byte": b"x",
        "another application": sqlite,
        "another header": b"not SQLite" + ours[10:],
        "cut short": ours[: len(ours) // 2 + 100],
        "only its first page": ours[:4096],
        "zeros": bytes(8192),
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", foreign_files())
def test_foreign_and_damaged_files_are_refused_or_found_out_and_never_changed(
    tmp_path: Path, kind: str, mode: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(foreign_files()[kind])
    before = contents(tmp_path)

    async def use() -> None:
        store = opened(path, mode)
        try:
            await store.list_runs()
            await store.get_run("run")
        finally:
            await store.aclose()

    with pytest.raises(StoreUnusable) as caught:
        asyncio.run(use())
    assert caught.value.hint is not None
    assert contents(tmp_path) == before


def test_another_applications_log_is_not_folded_into_its_file(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    code = "import apsw; c = apsw.Connection(path); c.execute('PRAGMA journal_mode=WAL').fetchall();"
    code += "c.execute('CREATE TABLE t(a); INSERT INTO t VALUES(1)').fetchall(); os._exit(0)"
    with child(code, path) as process:
        process.wait()
    before = contents(tmp_path)
    assert "theirs-wal" in before
    for mode in MODES:
        assert "another application" in str(refusal(path, mode))
    assert contents(tmp_path) == before


def test_a_newer_schema_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = run_database(tmp_path / "r")
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    for mode in MODES:
        error = refusal(path, mode)
        assert "newer Loom" in str(error)
        assert "upgrade" in str(error.hint)


def test_an_empty_file_becomes_a_database_only_by_creation(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.touch()
    for mode in ("read", "write"):
        assert "empty" in str(refusal(path, mode))
        assert contents(tmp_path) == {"r": b""}
    asyncio.run(opened(path).aclose())
    assert opened(path, "read").location == str(path)


def test_a_file_that_cannot_be_written_is_refused_for_writing_and_read_all_the_same() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = run_database(Path(folder, "r"))
        os.chmod(path, 0o444)
        before = contents(Path(folder))

        def check() -> str:
            for mode in ("write", "create"):
                assert "cannot be written" in str(refusal(path, mode))
            return str(with_store(path, lambda s: s.get_state("run"), "read"))

        assert as_nobody(check) == "0"
        assert contents(Path(folder)) == before
        os.chmod(folder, 0o555)
        assert as_nobody(check) == "0"
        os.chmod(folder, 0o755)


def test_a_file_that_cannot_be_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = run_database(Path(folder, "r"))
        os.chmod(path, 0o000)

        def check() -> str:
            return " ".join(str(refusal(path, mode).code) for mode in MODES)

        assert as_nobody(check) == "store_unusable store_unusable store_unusable"


def test_a_link_is_followed_and_its_log_lies_beside_the_real_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    run_database(tmp_path / "real" / "r")
    (tmp_path / "links" / "r").symlink_to(tmp_path / "real" / "r")
    store = opened(tmp_path / "links" / "r", "write")
    identities = {(s.st_dev, s.st_ino) for s in map(os.stat, (tmp_path / "real").iterdir())}
    assert store.protected_files() == identities
    assert len(identities) == 3
    assert list(listing(tmp_path / "links")) == ["r"]
    asyncio.run(store.aclose())


def test_names_with_odd_characters_work_in_every_mode(tmp_path: Path) -> None:
    path = run_database(tmp_path / "a b?c=d%41#é.sqlite")
    for mode in MODES:
        assert with_store(path, lambda s: s.get_state("run"), mode) == "0"
    assert list(listing(tmp_path)) == [path.name]


def test_processes_that_create_the_same_file_at_once_all_get_it(tmp_path: Path) -> None:
    path = tmp_path / "r"
    code = """
input()
store = SQLiteStore.open(path, "create")
async def main():
    try:
        await store.create_run(new_run(), OWNER, 30)
        print("created")
    except LoomError as error:
        print(error.code)
asyncio.run(main())
"""
    with child(code, path) as one, child(code, path) as two:
        tell(one, "go")
        tell(two, "go")
        assert sorted((said(one), said(two))) == ["created", "run_exists"]


def test_opening_waits_while_another_process_creates_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.touch()
    creating = apsw.Connection(str(path))
    creating.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusy):
        opened(path, "create", busy_limit_s=0.05)
    release = threading.Timer(0.2, lambda: creating.execute("ROLLBACK"))
    release.start()
    store = opened(path, "create")
    release.join()
    creating.close()
    asyncio.run(store.aclose())


class TestMigration:
    """The second version of the schema, played by one more migration."""

    LATER = (*schema.MIGRATIONS, "ALTER TABLE runs ADD COLUMN queue TEXT")

    def test_an_older_file_is_brought_up_to_date_and_keeps_its_runs(self, tmp_path: Path) -> None:
        path = run_database(tmp_path / "r")
        connection = opening.open_for_writing(locate(str(path)), may_create=False, migrations=self.LATER)
        assert identify(connection).version == len(self.LATER)
        assert connection.execute("SELECT run_id, queue FROM runs").fetchall() == [("run", None)]
        connection.close()
        # Now it is too new for a Loom that does not know that migration.
        assert "newer Loom" in str(refusal(path, "write"))

    def test_a_migration_that_fails_changes_nothing(self, tmp_path: Path) -> None:
        path = run_database(tmp_path / "r")
        before = contents(tmp_path)
        broken = (*schema.MIGRATIONS, "CREATE TABLE extra(a); INSERT INTO no_such_table VALUES(1)")
        with pytest.raises(StoreUnusable):
            opening.open_for_writing(locate(str(path)), may_create=False, migrations=broken)
        assert with_store(path, lambda s: s.get_state("run"), "read") == "0"
        assert list(contents(tmp_path)) == list(before)
        with contextlib.closing(sqlite3.connect(path)) as plain:
            assert "extra" not in str(plain.execute("SELECT name FROM sqlite_schema").fetchall())

    def test_readers_do_not_migrate_but_say_what_does(self, tmp_path: Path) -> None:
        path = run_database(tmp_path / "r")
        connection = apsw.Connection(str(path))
        with pytest.raises(StoreUnusable) as caught:
            check_readable(identify(connection), "r", newest=len(self.LATER))
        connection.close()
        assert "older Loom" in str(caught.value)


def test_a_writer_of_a_closed_store_says_so_and_writes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
        await store.aclose()
        for write in (
            lambda: writer.commit(0, encode(1)),
            lambda: writer.commit(0, encode(1), 0, None, True),
            lambda: writer.begin_call(intent()),
        ):
            with pytest.raises(StoreUnusable):
                await write()
        assert await asyncio.to_thread(writer.beat) is False
        assert list(listing(tmp_path)) == ["r"]

    asyncio.run(main())


def test_an_interrupt_in_the_middle_of_a_transaction_rolls_it_back(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer

        def interrupted(connection: apsw.Connection) -> None:
            connection.execute("UPDATE heads SET step_index = 5")
            raise KeyboardInterrupt

        for sync in (True, False):
            with pytest.raises(KeyboardInterrupt):
                await store._writing().write(interrupted, sync=sync)
        await writer.commit(0, encode(1))
        assert (await store.get_run("run")).step_index == 1
        await store.aclose()

    asyncio.run(main())


def test_a_created_run_survives_its_process(tmp_path: Path) -> None:
    path = run_database(tmp_path / "r")

    async def again(store: object) -> None:
        with pytest.raises(RunExists):
            await store.create_run(new_run(value=encode(5).text), OWNER, LEASE_S)  # type: ignore[attr-defined]

    with_store(path, again, "write")
