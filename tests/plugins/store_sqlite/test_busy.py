"""A database that somebody else has locked: patience, a free event loop, and nothing half done."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest
from loom_store_sqlite.store import SQLiteStore

from loom_core.contracts.stores import CallEnd, RunWriter, Settlement
from loom_core.errors import StoreBusy
from loom_core.testing.store_values import LEASE_S, OWNER, RIVAL, admit, done, encode, failed_attempt, intent, new_run
from tests.plugins.store_sqlite.support import child, opened, said, tell

LONG = {"text": "long enough for a difference " * 30}

WRITES: dict[str, Callable[[SQLiteStore, RunWriter], Awaitable[object]]] = {
    "commit": lambda _, w: w.commit(1, encode({**LONG, "n": 9})),
    "synced commit": lambda _, w: w.commit(1, encode({**LONG, "n": 9}), 0, None, True),
    "settle": lambda _, w: w.settle(Settlement(step_index=1, status="waiting", outcome="wait", state=encode(LONG))),
    "begin": lambda _, w: w.begin_call(intent(1, "new")),
    "end": lambda _, w: w.end_call(done(1, "0")),
    "fail": lambda _, w: w.fail_attempt(failed_attempt(1)),
    "create": lambda s, _: s.create_run(new_run("other"), OWNER, LEASE_S),
    "claim": lambda s, _: s.claim("run", RIVAL, LEASE_S, admit),
    "signal": lambda s, _: s.send_signal("run", "go", "1"),
    "late": lambda s, _: s.keep_late_result("run", 1, "0", 0, "1"),
}

HOLD = """
import apsw
connection = apsw.Connection(path)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
input()
connection.execute("COMMIT")
"""


async def _prepared(path: Path, **options: float) -> tuple[SQLiteStore, RunWriter]:
    store = opened(path, **options)
    writer = (await store.create_run(new_run(value={**LONG, "n": 0}), OWNER, LEASE_S)).writer
    await writer.commit(0, encode({**LONG, "n": 1}))
    await writer.begin_call(intent(1))
    await writer.end_call(CallEnd(step_index=1, key="0", try_index=0, status="unknown"))
    return store, writer


async def _facts(store: SQLiteStore) -> list[object]:
    return [
        list(await store.list_runs()),
        list(await store.get_steps("run", states=True)),
        list(await store.get_calls("run")),
        list(await store.get_signals("run")),
        list(await store.get_claims("run")),
    ]


@pytest.mark.parametrize("name", WRITES)
def test_a_write_waits_without_stopping_the_loop_and_then_succeeds(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        store, writer = await _prepared(tmp_path / "r")
        with child(HOLD, tmp_path / "r") as holder:
            assert said(holder) == "locked"
            before = await _facts(store)
            writing = asyncio.ensure_future(WRITES[name](store, writer))
            for _ in range(30):
                await asyncio.sleep(0.002)
            assert not writing.done()
            # Readers are not blocked, and see nothing of it.
            assert await _facts(store) == before
            tell(holder, "release")
            await writing
        assert await _facts(store) != before
        if name == "begin":
            await writer.end_call(done(1, "new"))
        assert list(await store.verify()) == []
        await store.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("name", WRITES)
def test_a_lock_that_stays_is_store_busy_and_nothing_was_written(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        store, writer = await _prepared(tmp_path / "r", busy_limit_s=0.03)
        before = await _facts(store)
        holder = apsw.Connection(str(tmp_path / "r"))
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            await WRITES[name](store, writer)
        holder.close()
        assert await _facts(store) == before
        # And the same write works afterwards, with the history exact.
        await WRITES[name](store, writer)
        if name == "begin":
            await writer.end_call(done(1, "new"))
        if name not in ("settle", "claim"):
            head = (await store.get_run("run")).step_index
            await writer.commit(head, encode({**LONG, "n": 10}))
            assert await store.get_state("run") == encode({**LONG, "n": 10}).text
        assert list(await store.verify()) == []
        await store.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("name", WRITES)
def test_cancelling_a_write_that_waits_leaves_nothing_half_done(tmp_path: Path, name: str) -> None:
    async def main() -> None:
        store, writer = await _prepared(tmp_path / "r")
        before = await _facts(store)
        holder = apsw.Connection(str(tmp_path / "r"))
        holder.execute("BEGIN IMMEDIATE")
        writing = asyncio.ensure_future(WRITES[name](store, writer))
        for _ in range(5):
            await asyncio.sleep(0.001)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        holder.close()
        assert await _facts(store) == before
        await writer.commit(1, encode({**LONG, "n": 11}))
        assert await store.get_state("run") == encode({**LONG, "n": 11}).text
        assert list(await store.verify()) == []
        await store.aclose()

    asyncio.run(main())


def test_a_beat_waits_in_its_own_thread_while_the_loop_is_in_a_transaction(tmp_path: Path) -> None:
    async def main() -> None:
        store, writer = await _prepared(tmp_path / "r")
        connection = store._writing().connection
        connection.execute("BEGIN IMMEDIATE")
        beating = asyncio.get_running_loop().run_in_executor(None, writer.beat)
        for _ in range(10):
            await asyncio.sleep(0.002)
        assert not beating.done()
        connection.execute("COMMIT")
        assert await beating is True
        await store.aclose()
        assert await asyncio.to_thread(writer.beat) is False

    asyncio.run(main())


def test_a_lock_is_no_proof_that_the_lease_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        store, writer = await _prepared(tmp_path / "r")
        monkeypatch.setattr("loom_store_sqlite.beats.BEAT_LIMIT_S", 0.02)
        age = writer.lease_age_s()
        holder = apsw.Connection(str(tmp_path / "r"))
        holder.execute("BEGIN IMMEDIATE")
        assert await asyncio.to_thread(writer.beat) is True
        assert writer.lease_age_s() > age
        holder.close()
        await store.aclose()

    asyncio.run(main())


def test_two_processes_that_write_all_the_time_both_get_their_turn(tmp_path: Path) -> None:
    code = """
async def main():
    store = SQLiteStore.open(path, "create")
    writer = (await store.create_run(new_run(sys.argv[2]), OWNER, 30)).writer
    for n in range(400):
        await writer.commit(n, encode({"n": n}))
    await store.aclose()
    print("done")
input()
asyncio.run(main())
"""
    with child(code, tmp_path / "r", "a") as one, child(code, tmp_path / "r", "b") as two:
        tell(one, "go")
        tell(two, "go")
        assert (said(one), said(two)) == ("done", "done")

    async def check() -> None:
        store = opened(tmp_path / "r", "read")
        assert [(await store.get_run(i)).step_index for i in ("a", "b")] == [400, 400]
        assert list(await store.verify()) == []

    asyncio.run(check())
