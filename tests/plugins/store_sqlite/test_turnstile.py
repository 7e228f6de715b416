"""The lock around each write that no closing of descriptors drops."""

import asyncio
import os
import sys
import threading
from pathlib import Path

import apsw
import pytest
from loom_store_sqlite.files import locate
from loom_store_sqlite.turnstile import Turnstile

from loom_core.errors import StoreBusy
from loom_core.testing.store_values import LEASE_S, OWNER, encode, new_run
from tests.plugins.store_sqlite.support import child, listing, opened, said, tell, with_store

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="flock and POSIX locks exclude each other elsewhere")

WRITE = """
async def main():
    store = SQLiteStore.open(path, "write", busy_limit_s=0.05)
    print("open", flush=True)
    while input() == "write":
        try:
            await store.send_signal("run", "go", "1")
            print("written", flush=True)
        except LoomError as error:
            print(type(error).__name__, flush=True)
    await store.aclose()
asyncio.run(main())
"""


@on_linux
def test_another_process_writes_when_we_have_left_and_not_before_although_the_files_were_closed(tmp_path: Path) -> None:
    path = tmp_path / "r"

    async def main() -> None:
        store = opened(path)
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
        with child(WRITE, path) as other:
            assert said(other) == "open"
            turnstile = store._writing().turnstile
            turnstile.enter()
            for suffix in ("", "-wal", "-shm"):
                with open(f"{path}{suffix}", "rb"):
                    pass
            tell(other, "write")
            assert said(other) == "StoreBusy"
            turnstile.leave()
            tell(other, "write")
            assert said(other) == "written"
            await writer.commit(0, encode(1))
            tell(other, "end")
            assert other.wait() == 0
        await store.aclose()

    asyncio.run(main())
    assert with_store(path, lambda s: s.verify(), "read") == []


def test_one_thread_at_a_time_is_let_through(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r", busy_limit_s=0.05)
        await store.create_run(new_run(), OWNER, LEASE_S)
        turnstile = store._writing().turnstile
        inside, leave = threading.Event(), threading.Event()

        def beat() -> None:
            turnstile.enter()
            inside.set()
            leave.wait()
            turnstile.leave()

        thread = threading.Thread(target=beat)
        thread.start()
        inside.wait()
        with pytest.raises(StoreBusy):
            await store.send_signal("run", "go", "1")
        leave.set()
        thread.join()
        await store.send_signal("run", "go", "1")
        await store.aclose()

    asyncio.run(main())


def test_an_entry_that_an_interrupt_kept_from_leaving_does_not_shut_its_own_thread_out(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r", busy_limit_s=0.05)
        await store.create_run(new_run(), OWNER, LEASE_S)
        store._writing().turnstile.enter()
        await store.send_signal("run", "go", "1")
        await store.aclose()

    asyncio.run(main())
    assert sorted(listing(tmp_path)) == ["r"]


@on_linux
def test_a_store_that_is_closed_while_another_process_writes_leaves_the_log_to_it(tmp_path: Path) -> None:
    path = tmp_path / "r"

    async def main() -> None:
        store = opened(path)
        await store.create_run(new_run(), OWNER, LEASE_S)
        code = """
from loom_store_sqlite.files import locate
from loom_store_sqlite.turnstile import Turnstile
store = SQLiteStore.open(path, "write")
store._writing().turnstile.enter()
print("inside", flush=True)
input()
"""
        with child(code, path) as other:
            assert said(other) == "inside"
            log = os.stat(f"{path}-wal").st_ino
            await store.aclose()
            assert os.stat(f"{path}-wal").st_ino == log

    asyncio.run(main())
    assert with_store(path, lambda s: s.verify(), "write") == []


def test_there_is_a_way_through_without_a_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.touch()
    turnstile = Turnstile(locate(str(path)))
    turnstile.enter()
    turnstile.leave()
    connection = apsw.Connection(str(path))
    watched = Turnstile(locate(str(path)))
    connection.close()
    watched.enter()
    watched.leave()
