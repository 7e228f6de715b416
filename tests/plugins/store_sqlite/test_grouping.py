"""Group commit: the runs that are ready in one turn of the loop share a transaction, and nothing else."""

import asyncio
from pathlib import Path

import apsw
import pytest
from loom_store_sqlite.store import SQLiteStore

from loom_core.contracts.stores import RunWriter, Settlement
from loom_core.errors import BadInput, LeaseLost, StoreBusy
from loom_core.testing.store_values import LEASE_S, OWNER, RIVAL, admit, done, encode, intent, new_run
from tests.plugins.store_sqlite.support import child, opened, said, tell
from tests.plugins.store_sqlite.test_busy import HOLD
from tests.torture.power import Recording, RecordingVFS


async def writers_of(store: SQLiteStore, count: int) -> list[RunWriter]:
    return [(await store.create_run(new_run(f"run-{n}", value=0), OWNER, LEASE_S)).writer for n in range(count)]


async def stored(store: SQLiteStore) -> dict[str, int]:
    return {record.run_id: record.step_index for record in await store.list_runs(limit=1000)}


def test_a_hundred_synced_steps_that_are_ready_together_cost_one_sync(tmp_path: Path) -> None:
    recording = Recording()
    vfs = RecordingVFS(recording)

    async def main() -> int:
        store = opened(tmp_path / "r")
        writers = await writers_of(store, 100)
        recording.events.clear()
        await asyncio.gather(*(writer.commit(0, encode(1), 0, None, True) for writer in writers))
        syncs = sum(event.kind == "sync" for event in recording.events)
        assert set((await stored(store)).values()) == {1}
        await store.aclose()
        return syncs

    try:
        assert asyncio.run(main()) == 1
    finally:
        vfs.unregister()


def test_one_member_that_must_be_synced_syncs_the_group(tmp_path: Path) -> None:
    recording = Recording()
    vfs = RecordingVFS(recording)

    async def main() -> list[int]:
        store = opened(tmp_path / "r")
        writers = await writers_of(store, 3)
        counts = []
        for step, synced in enumerate((False, True)):
            recording.events.clear()
            await asyncio.gather(
                *(writer.commit(step, encode(1), 0, None, synced and n == 1) for n, writer in enumerate(writers))
            )
            counts.append(sum(event.kind == "sync" for event in recording.events))
        await store.aclose()
        return counts

    try:
        assert asyncio.run(main()) == [0, 1]
    finally:
        vfs.unregister()


def test_a_member_that_lost_its_lease_fails_alone(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writers = await writers_of(store, 4)
        rival = await store.claim("run-2", RIVAL, LEASE_S, admit)
        answers = await asyncio.gather(
            *(writer.commit(0, encode(1)) for writer in writers[:3]),
            writers[3].settle(Settlement(step_index=0, status="paused", reason="interrupt")),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [type(None), type(None), LeaseLost, type(None)]
        assert await stored(store) == {"run-0": 1, "run-1": 1, "run-2": 0, "run-3": 0}
        assert (await store.get_run("run-2")).epoch == rival.writer.epoch
        await store.aclose()

    asyncio.run(main())


def test_a_member_that_is_refused_leaves_nothing_of_its_own_behind(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        one, other = await writers_of(store, 2)
        await one.begin_call(intent(0))
        await one.end_call(done(0))
        before = await store.get_run("run-0")
        answers = await asyncio.gather(one.end_call(done(0)), other.begin_call(intent(0)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [BadInput, type(None)]
        # The fence renews the lease before the end is refused; neither may remain.
        assert await store.get_run("run-0") == before
        assert [call.status for call in await store.get_calls("run-1")] == ["started"]
        await store.aclose()

    asyncio.run(main())


def test_a_write_that_is_cancelled_before_its_transaction_is_withdrawn(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writers = await writers_of(store, 3)
        tasks = [asyncio.ensure_future(writer.begin_call(intent(0))) for writer in writers]
        # One turn: the tasks run up to their wait, behind which the group's own turn comes.
        await asyncio.sleep(0)
        tasks[1].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [type(None), asyncio.CancelledError, type(None)]
        assert [len(await store.get_calls(f"run-{n}")) for n in range(3)] == [1, 0, 1]
        await store.aclose()

    asyncio.run(main())


def test_a_write_that_is_cancelled_with_its_transaction_is_known_to_be_written(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        one, other = await writers_of(store, 2)
        seen: list[str] = []

        async def write() -> None:
            await one.begin_call(intent(0))
            seen.append("written")
            await asyncio.sleep(0)
            seen.append("never")

        task = asyncio.ensure_future(write())
        beside = asyncio.ensure_future(other.begin_call(intent(0)))
        beside.add_done_callback(lambda _: seen.append("beside"))
        while not await store.get_calls("run-0"):
            await asyncio.sleep(0)
            if await store.get_calls("run-0") and not task.done():
                task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "written" in seen
        assert "never" not in seen
        await beside
        await store.aclose()

    asyncio.run(main())


def test_a_group_waits_for_a_lock_of_somebody_elses_and_the_loop_stays_free(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writers = await writers_of(store, 3)
        with child(HOLD, tmp_path / "r") as holder:
            assert said(holder) == "locked"
            writing = [asyncio.ensure_future(writer.commit(0, encode(1))) for writer in writers]
            for _ in range(30):
                await asyncio.sleep(0.002)
            assert not any(task.done() for task in writing)
            assert set((await stored(store)).values()) == {0}
            tell(holder, "go")
            await asyncio.gather(*writing)
        assert set((await stored(store)).values()) == {1}
        await store.aclose()

    asyncio.run(main())


def test_a_lock_that_stays_is_told_to_every_member_and_nothing_is_written(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r", busy_limit_s=0.2)
        writers = await writers_of(store, 3)
        with child(HOLD, tmp_path / "r") as holder:
            assert said(holder) == "locked"
            answers = await asyncio.gather(*(writer.commit(0, encode(1)) for writer in writers), return_exceptions=True)
            assert [type(answer) for answer in answers] == [StoreBusy] * 3
            tell(holder, "go")
        assert set((await stored(store)).values()) == {0}
        # The state that was not stored is no base for the next difference.
        await asyncio.gather(*(writer.commit(0, encode(2)) for writer in writers))
        assert [await store.get_state(f"run-{n}") for n in range(3)] == ["2"] * 3
        await store.aclose()

    asyncio.run(main())


class FullDisk(apsw.VFS):
    """The system's VFS, on which the next ``fail`` writes to the log find no room."""

    def __init__(self) -> None:
        self.fail = 0
        super().__init__("full", "unix", makedefault=True)

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:
        return _FullFile(name, flags, self)


class _FullFile(apsw.VFSFile):
    def __init__(self, name: object, flags: list[int], disk: FullDisk) -> None:
        self._disk = disk
        super().__init__("unix", name, flags)  # type: ignore[arg-type]

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.fail > 0:
            self._disk.fail -= 1
            raise apsw.FullError("no room")
        super().xWrite(data, offset)


def test_a_transaction_that_fails_as_a_whole_is_done_again_member_by_member(tmp_path: Path) -> None:
    disk = FullDisk()

    async def main() -> None:
        store = opened(tmp_path / "r")
        writers = await writers_of(store, 3)
        disk.fail = 1
        await asyncio.gather(*(writer.commit(0, encode(1)) for writer in writers))
        assert disk.fail == 0
        assert set((await stored(store)).values()) == {1}
        await store.aclose()

    try:
        asyncio.run(main())
    finally:
        disk.unregister()


def test_a_run_alone_commits_without_a_turn_of_the_loop(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        (alone,) = await writers_of(store, 1)
        committing = alone.commit(0, encode(1))
        with pytest.raises(StopIteration):
            committing.send(None)
        assert await stored(store) == {"run-0": 1}
        await store.aclose()

    asyncio.run(main())


def test_a_writer_that_lost_its_run_is_counted_no_longer(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        paused = Settlement(step_index=0, status="paused", reason="interrupt")
        lost = (await store.create_run(new_run(value=0), OWNER, LEASE_S)).writer
        winner = (await store.claim("run", RIVAL, LEASE_S, admit)).writer
        with pytest.raises(LeaseLost):
            await lost.settle(paused)
        await winner.settle(paused)
        assert store._database is not None and store._database.writers == 0
        await store.aclose()

    asyncio.run(main())


def test_a_group_that_waited_in_a_loop_that_was_closed_holds_up_no_later_loop(tmp_path: Path) -> None:
    store = opened(tmp_path / "r")

    async def first() -> None:
        writers = await writers_of(store, 2)
        with child(HOLD, tmp_path / "r") as holder:
            assert said(holder) == "locked"
            going = [asyncio.ensure_future(writer.commit(0, encode(1))) for writer in writers]
            for _ in range(30):
                await asyncio.sleep(0.002)
            for each in going:
                each.cancel()
            await asyncio.gather(*going, return_exceptions=True)
            tell(holder, "go")

    async def second() -> None:
        async with asyncio.timeout(10):
            await store.create_run(new_run("later", value=0), OWNER, LEASE_S)
        assert await stored(store) == {"run-0": 0, "run-1": 0, "later": 0}
        await store.aclose()

    asyncio.run(first())
    asyncio.run(second())
