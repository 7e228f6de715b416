"""Several stores, processes and threads at one file; and code that opens the files behind SQLite's back."""

import asyncio
import os
from pathlib import Path

import pytest

from loom_core.errors import StoreUnusable
from loom_core.testing.store_values import LEASE_S, OWNER, RIVAL, admit, done, encode, intent, new_run
from tests.plugins.store_sqlite.support import child, listing, opened, said, tell, with_store

CLAIM = """
def if_free(record, signal):
    if record.status == "running":
        raise RunBusy(record.run_id, "somebody")
async def main():
    store = SQLiteStore.open(path, "write")
    for number in range(8):
        input()
        try:
            await store.claim(f"r{number}", OWNER, 30, if_free)
            print("won", flush=True)
        except RunBusy:
            print("busy", flush=True)
asyncio.run(main())
"""

OPEN_AND_CLOSE = """
async def main():
    store = SQLiteStore.open(path, "write")
    await store.send_signal("run", "go", "1")
    await store.aclose()
asyncio.run(main())
"""


def _in_another_process(code: str, path: Path) -> None:
    with child(code, path) as process:
        assert process.wait() == 0


def test_of_two_processes_that_claim_at_once_exactly_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "r"

    async def create(store):  # type: ignore[no-untyped-def]
        from loom_core.contracts.stores import Settlement

        for number in range(8):
            writer = (await store.create_run(new_run(f"r{number}"), OWNER, LEASE_S)).writer
            await writer.settle(Settlement(step_index=0, status="queued"))

    with_store(path, create)
    with child(CLAIM, path) as one, child(CLAIM, path) as two:
        for _ in range(8):
            tell(one, "go")
            tell(two, "go")
            assert sorted((said(one), said(two))) == ["busy", "won"]

    async def check(store):  # type: ignore[no-untyped-def]
        assert {r.epoch for r in await store.list_runs()} == {2}
        assert list(await store.verify()) == []

    with_store(path, check, "read")


def test_closing_one_store_of_a_process_leaves_the_locks_of_the_other(tmp_path: Path) -> None:
    path = tmp_path / "r"

    async def main() -> None:
        store = opened(path)
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
        await opened(path, "write").aclose()
        reading = opened(path, "read")
        await reading.list_runs()
        await reading.verify()
        await store.verify()
        assert await asyncio.to_thread(writer.beat) is True
        log = os.stat(f"{path}-wal").st_ino
        _in_another_process(OPEN_AND_CLOSE, path)
        # Had the locks been lost, the other process would have thought itself the last and removed the log.
        assert os.stat(f"{path}-wal").st_ino == log
        for n in range(5):
            await writer.commit(n, encode(n))
        os.link(path, tmp_path / "same inode")
        await store.aclose()
        assert sorted(listing(tmp_path)) == ["r", "same inode"]

    asyncio.run(main())
    assert with_store(path, lambda s: s.get_state("run"), "read") == "4"


def test_two_stores_of_one_process_write_in_turn(tmp_path: Path) -> None:
    async def main() -> None:
        one, two = opened(tmp_path / "r"), opened(tmp_path / "r")
        writers = [(await s.create_run(new_run(n), OWNER, LEASE_S)).writer for s, n in ((one, "a"), (two, "b"))]
        for n in range(100):
            await asyncio.gather(*(w.commit(n, encode({"n": n})) for w in writers))
        for store in (one, two):
            assert [r.step_index for r in await store.list_runs()] == [100, 100]
        await one.aclose()
        await writers[1].commit(100, encode("last"))
        await two.aclose()

    asyncio.run(main())


def test_a_forked_child_cannot_use_the_store_and_does_not_harm_it(tmp_path: Path) -> None:
    async def prepare():  # type: ignore[no-untyped-def]
        store = opened(tmp_path / "r")
        return store, (await store.create_run(new_run(), OWNER, LEASE_S)).writer

    loop = asyncio.new_event_loop()
    store, writer = loop.run_until_complete(prepare())
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        asyncio.set_event_loop(None)
        try:
            asyncio.run(store.get_run("run"))
            os.write(write_end, b"worked")
        except RuntimeError as error:
            os.write(write_end, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert b"opened by the parent" in pipe.read()
    log = os.stat(tmp_path / "r-wal").st_ino
    _in_another_process(OPEN_AND_CLOSE, tmp_path / "r")
    assert os.stat(tmp_path / "r-wal").st_ino == log
    loop.run_until_complete(writer.commit(0, encode(1)))
    loop.run_until_complete(store.aclose())
    loop.close()
    assert with_store(tmp_path / "r", lambda s: s.get_state("run"), "read") == "1"


def _read_behind_sqlites_back(folder: Path) -> None:
    """What a tool does that searches a folder: every file is opened, read and closed."""
    for name in os.listdir(folder):
        with open(folder / name, "rb") as file:
            file.read()


@pytest.mark.parametrize("after", ["the call's end", "a beat"])
def test_a_tool_that_opens_and_closes_the_files_of_the_database_loses_nothing(tmp_path: Path, after: str) -> None:
    path = tmp_path / "r"

    async def main() -> None:
        store = opened(path)
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
        await writer.begin_call(intent())
        _read_behind_sqlites_back(tmp_path)
        if after == "a beat":
            # In a long call the keeper's thread takes the locks again.
            await asyncio.to_thread(writer.beat)
        else:
            await writer.end_call(done())
        log = os.stat(f"{path}-wal").st_ino
        _in_another_process(OPEN_AND_CLOSE, path)
        assert os.stat(f"{path}-wal").st_ino == log
        if after == "a beat":
            await writer.end_call(done())
        for n in range(50):
            await writer.commit(n, encode({"n": n}))
        await store.aclose()

    asyncio.run(main())

    async def check(store):  # type: ignore[no-untyped-def]
        record = await store.get_run("run")
        assert (record.step_index, record.counters.calls) == (50, 1)
        assert len(await store.get_signals("run")) == 1
        assert list(await store.verify()) == []

    with_store(path, check, "read")


def test_a_log_that_was_removed_meanwhile_is_noticed_before_anything_is_written_to_it(tmp_path: Path) -> None:
    path = tmp_path / "r"

    async def main() -> None:
        store = opened(path)
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
        await writer.commit(0, encode(1))
        await writer.begin_call(intent(1))
        _read_behind_sqlites_back(tmp_path)
        _in_another_process(OPEN_AND_CLOSE, path)
        assert not os.path.exists(f"{path}-wal")
        with pytest.raises(StoreUnusable, match="removed"):
            await writer.end_call(done(1))
        assert await asyncio.to_thread(writer.beat) is True
        await store.aclose()

    asyncio.run(main())

    async def resume(store):  # type: ignore[no-untyped-def]
        assert len(await store.get_signals("run")) == 1
        claimed = await store.claim("run", RIVAL, LEASE_S, admit)
        assert (claimed.state, claimed.record.step_index) == ("1", 1)
        assert [c.status for c in claimed.calls] == ["unknown"]
        assert list(await store.verify()) == []

    with_store(path, resume, "write")
