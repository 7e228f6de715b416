"""Pause and cancel, whatever the run is doing: another process's, waiting, paused, queued, orphaned."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs
import pytest

from loom_core import AgentRunner, Complete, Continue, Person, RunCancelled, Sleep, Wait, open_store, tool
from loom_core.contracts.people import CANCEL, PAUSE
from loom_core.contracts.stores import Owner, Store
from loom_core.errors import BadInput
from loom_core.runtime.controlling import cancel_run, pause_run, signal_run
from loom_core.runtime.owners import this_owner
from loom_core.runtime.wishes import cancel_payload, pause_payload, read_cancel
from loom_core.testing.store_values import new_run
from tests.core.runtime.support import play, runner

ANN = Person(name="ann", user="root")
DEAD = Owner(host="elsewhere", pid=1, nonce="gone")


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def another(place: Path) -> Store:
    """Open the database as another process would."""
    from loom_core import open_store

    return open_store(str(place / "runs.sqlite"), "write")


def test_a_run_of_another_process_is_paused_after_its_step_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def step(state: int, ctx: Any) -> Any:
        begun.set()
        await asyncio.sleep(0.001)
        return Continue(state + 1) if not ended else Complete(state)

    ended: list[bool] = []

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            task = asyncio.create_task(one.start(run_id="r", initial_state=0))
            await begun.wait()
            store = await another(tmp_path)
            asked = await pause_run(store, "r", ANN, "lunch")
            assert asked.owner is not None and asked.record.status == "running"
            left = await task
            assert (left.status, left.reason) == ("paused", "person:ann")
            (wish,) = await store.get_signals("r")
            assert (wish.name, wish.sender, wish.consumed_by) == (PAUSE, ANN, left.step_index)
            again = await pause_run(store, "r", ANN)
            assert again.already and len(await store.get_signals("r")) == 1
            ended.append(True)
            result = await one.resume(run_id="r")
            assert (result.status, result.step_index) == ("completed", left.step_index + 1)
            await store.aclose()

    play(main)


def test_a_step_that_takes_long_is_told_of_its_cancellation_and_cleans_up_with_managed_calls(tmp_path: Path) -> None:
    made: list[str] = []

    @tool
    async def work(name: str) -> str:
        "Work."
        made.append(name)
        return name

    async def step(state: int, ctx: Any) -> Any:
        begun.set()
        try:
            while True:
                await ctx.call_tool("work", "on")
                while ctx.cancellation is None:
                    await asyncio.sleep(0.005)
        except Exception:
            raise AssertionError("a cancellation is no failure") from None
        finally:
            await ctx.call_tool("work", "undo")
            await ctx.call_tool("work", "say so")

    begun = asyncio.Event()

    async def main() -> None:
        async with runner(tmp_path, step, work) as one:
            task = asyncio.create_task(one.start(run_id="r", initial_state=0))
            await begun.wait()
            store = await another(tmp_path)
            asked = await cancel_run(store, "r", ANN, "no longer wanted")
            assert asked.owner is not None
            left = await task
            assert (left.status, left.reason, left.step_index) == ("cancelled", "cancelled:ann", 0)
            assert made == ["on", "undo", "say so"]
            record = await store.get_run("r")
            assert (record.status, record.error, record.ended_at is not None) == ("cancelled", None, True)
            assert [c.status for c in await store.get_calls("r")] == ["done", "done", "done"]
            assert list(await store.verify("r")) == []
            again = await one.resume(run_id="r")
            assert again.status == "cancelled"
            await store.aclose()

    play(main)


def test_at_its_deadline_a_step_that_does_not_end_is_cut_off_and_its_call_is_in_doubt(tmp_path: Path) -> None:
    begun = asyncio.Event()

    @tool
    async def work() -> str:
        "Work."
        begun.set()
        await asyncio.Event().wait()
        return "never"

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("work"))

    async def main() -> None:
        async with runner(tmp_path, step, work) as one:
            task = asyncio.create_task(one.start(run_id="r", initial_state=0))
            await begun.wait()
            store = await another(tmp_path)
            await cancel_run(store, "r", ANN, within_s=0)
            left = await task
            assert (left.status, left.reason) == ("cancelled", "cancelled:ann")
            assert [c.status for c in await store.get_calls("r")] == ["unknown"]
            assert list(await store.verify("r")) == []
            assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
            await store.aclose()

    play(main)


def test_after_the_deadline_clean_up_makes_no_further_call(tmp_path: Path) -> None:
    made: list[str] = []
    begun = asyncio.Event()

    @tool
    async def work(name: str) -> str:
        "Work."
        made.append(name)
        return name

    async def step(state: int, ctx: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(RunCancelled):
                await ctx.call_tool("work", "too late")

    async def main() -> None:
        async with runner(tmp_path, step, work) as one:
            task = asyncio.create_task(one.start(run_id="r", initial_state=0))
            await begun.wait()
            store = await another(tmp_path)
            await cancel_run(store, "r", ANN, within_s=0.05)
            assert (await task).status == "cancelled"
            assert made == []
            await store.aclose()

    play(main)


def test_branches_under_way_finish_their_calls_before_a_cancelled_step_cleans_up(tmp_path: Path) -> None:
    begun, made = asyncio.Event(), []

    @tool
    async def work(name: str) -> str:
        "Work."
        made.append(f"{name} begins")
        begun.set()
        if name != "undo":
            await release.wait()
        made.append(f"{name} ends")
        return name

    release = asyncio.Event()

    async def branch(name: str, ctx: Any) -> str:
        await ctx.call_tool("work", name)
        return await ctx.call_tool("work", f"{name} again")

    async def step(state: int, ctx: Any) -> Any:
        try:
            await ctx.gather(branch("a", ctx), branch("b", ctx))
        except RunCancelled as cancelled:
            assert cancelled.by == "ann"
            await ctx.call_tool("work", "undo")
            raise

    async def main() -> None:
        async with runner(tmp_path, step, work) as one:
            task = asyncio.create_task(one.start(run_id="r", initial_state=0))
            await begun.wait()
            store = await another(tmp_path)
            await cancel_run(store, "r", ANN)
            await until(lambda: one._inboxes._watched[0].cancellation is not None)
            release.set()
            assert (await task).status == "cancelled"
            assert sorted(made[:4]) == ["a begins", "a ends", "b begins", "b ends"]
            assert made[4:] == ["undo begins", "undo ends"]
            await store.aclose()

    play(main)


def test_a_step_that_ends_although_it_was_cancelled_is_committed_and_a_completed_run_is_completed(
    tmp_path: Path,
) -> None:
    begun = asyncio.Event()

    async def step(state: str, ctx: Any) -> Any:
        begun.set()
        while ctx.cancellation is None:
            await asyncio.sleep(0.005)
        return Complete("done") if state == "last" else Continue("next")

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            for state, expected in (("first", ("cancelled", 1)), ("last", ("completed", 1))):
                begun.clear()
                task = asyncio.create_task(one.start(run_id=state, initial_state=state))
                await begun.wait()
                store = await another(tmp_path)
                await cancel_run(store, state, ANN)
                left = await task
                assert (left.status, left.step_index) == expected
                assert list(await store.verify(state)) == []
                await store.aclose()

    play(main)


def test_what_clean_up_raises_is_kept_with_the_cancelled_run(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def step(state: int, ctx: Any) -> Any:
        begun.set()
        while ctx.cancellation is None:
            await asyncio.sleep(0.005)
        raise ValueError("could not undo")

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            task = asyncio.create_task(one.start(run_id="r", initial_state=0))
            await begun.wait()
            store = await another(tmp_path)
            await cancel_run(store, "r", ANN)
            assert (await task).status == "cancelled"
            record = await store.get_run("r")
            assert record.error is not None and record.error.message == "could not undo"
            assert record.counters.failed_attempts == 0
            await store.aclose()

    play(main)


def test_the_wait_before_a_retry_ends_with_a_wish(tmp_path: Path) -> None:
    from loom_core import ExponentialBackoff, RetryPolicy

    failed = asyncio.Event()

    async def step(state: int, ctx: Any) -> Any:
        failed.set()
        raise ConnectionError("not now")

    async def main() -> None:
        slow = RetryPolicy(max_attempts=9, backoff=ExponentialBackoff(initial_s=5, max_s=5))
        for wish, expected in ((pause_run, "paused"), (cancel_run, "cancelled")):
            failed.clear()
            async with runner(tmp_path, step, retry_policy=slow) as one:
                task = asyncio.create_task(one.start(run_id=expected, initial_state=0))
                await failed.wait()
                await until(lambda: one._opened)
                store = await another(tmp_path)
                await wish(store, expected, ANN)
                assert (await task).status == expected
                await store.aclose()

    play(main)


def test_a_run_that_nobody_works_on_is_paused_or_cancelled_at_once(tmp_path: Path) -> None:
    async def step(state: str, ctx: Any) -> Any:
        return Wait("woken", signal="go") if state == "new" else Complete(ctx.signal.payload)

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            for run_id in ("paused", "cancelled"):
                await one.start(run_id=run_id, initial_state="new")
            store = one._store("write")
            left = await pause_run(store, "paused", ANN)
            assert (left.record.status, left.record.reason, left.owner) == ("paused", "person:ann", None)
            gone = await cancel_run(store, "cancelled", ANN)
            assert (gone.record.status, gone.record.reason) == ("cancelled", "cancelled:ann")
            for run_id in ("paused", "cancelled"):
                (wish,) = await store.get_signals(run_id)
                assert wish.consumed_by == 1
                assert list(await store.verify(run_id)) == []
            again = await cancel_run(store, "cancelled", ANN)
            assert again.already
            with pytest.raises(BadInput, match="is cancelled, and reads no signals"):
                await signal_run(store, "cancelled", "go", "1", ANN)
            with pytest.raises(BadInput, match="is cancelled; it cannot be paused"):
                await pause_run(store, "cancelled", ANN)

            # Resumed, it waits on for what it waited for, and is woken by nothing else.
            waiting = await one.resume(run_id="paused")
            assert (waiting.status, waiting.reason, waiting.state) == ("waiting", "signal:go", "woken")
            await pause_run(store, "paused", ANN)
            await signal_run(store, "paused", "go", '"payload"', ANN)
            assert (await one.resume(run_id="paused")).result == "payload"
            with pytest.raises(BadInput, match="is completed; it cannot be cancelled"):
                await cancel_run(store, "paused", ANN)

    play(main)


def test_a_run_that_was_paused_while_it_asked_asks_the_same_question_when_it_is_resumed(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(bool(await ctx.ask("Go on?", expires=3600)))

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            await one.start(run_id="r", initial_state=0)
            store = one._store("write")
            await pause_run(store, "r", ANN)
            assert (await one.resume(run_id="r")).reason == "approval:0/0"
            assert len(await store.get_approvals("r")) == 1

    play(main)


@pytest.mark.parametrize("wish", ["pause", "cancel"])
def test_a_wish_that_an_owner_did_not_live_to_see_holds_when_its_run_is_taken_over(tmp_path: Path, wish: str) -> None:
    async def step(state: int, ctx: Any) -> Any:
        raise AssertionError("no step is executed")

    async def main() -> None:
        async with runner(tmp_path, step, name="counter") as one:
            store = one._store("create")
            await store.create_run(new_run("r"), DEAD, 0.0)
            await store.send_signal("r", PAUSE if wish == "pause" else CANCEL, "{}", sender=ANN)
            left = await one.resume(run_id="r")
            assert left.status == ("paused" if wish == "pause" else "cancelled")
            assert (await store.get_signals("r"))[0].consumed_by == 0

    play(main)


def test_an_orphaned_run_is_cancelled_by_the_command_itself(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(0)

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            store = one._store("create")
            await store.create_run(new_run("r"), DEAD, 0.0)
            left = await cancel_run(store, "r", ANN)
            assert (left.record.status, left.owner) == ("cancelled", None)

    play(main)


def test_a_wish_to_pause_that_came_too_late_does_not_pause_the_run_when_it_is_resumed(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete("done") if state else Continue(1)

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            await one.start(run_id="r", initial_state=0, max_steps=1)
            await one._store("write").send_signal("r", PAUSE, "{}", sender=ANN)
            assert (await one.resume(run_id="r")).status == "completed"

    play(main)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201, "loom:pause", "loom:mine"])
def test_a_signal_has_a_name_that_is_not_the_runtimes_own(tmp_path: Path, name: str) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Wait(0, signal="go")

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            await one.start(run_id="r", initial_state=0)
            with pytest.raises(BadInput):
                await one.send_signal("r", name, 1)
            with pytest.raises(BadInput):
                await signal_run(one._store("write"), "r", name, "1", ANN)
            assert list(await one._store("write").get_signals("r")) == []

    play(main)


@pytest.mark.parametrize(
    "payload", ['{"note": 5, "within_s": "x"}', "null", "[1]", '{"within_s": -1}', '{"within_s": true}']
)
def test_a_cancellation_that_another_program_wrote_badly_is_still_one(payload: str) -> None:
    assert read_cancel(payload) == (None, 10.0)
    assert read_cancel(cancel_payload("why", 3)) == ("why", 3.0)


def test_ctrl_c_during_a_cancellation_is_raised_and_the_cancellation_holds(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def step(state: int, ctx: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            task = asyncio.create_task(one.start(run_id="r", initial_state=0))
            await begun.wait()
            store = await another(tmp_path)
            await cancel_run(store, "r", ANN, within_s=3600)
            await until(lambda: one._inboxes._watched[0].cancellation is not None)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            left = await one.resume(run_id="r")
            assert left.status == "cancelled"
            await store.aclose()

    play(main)


def test_nothing_is_left_behind_when_the_last_run_of_a_runner_ends(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(0)

    async def main() -> None:
        made: AgentRunner = runner(tmp_path, step)
        async with made as one:
            await one.start(run_id="r", initial_state=0)
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    play(main)
    assert attrs.asdict(ANN) == {"name": "ann", "user": "root"}


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("outcome", [Sleep(1, seconds=0.01), Wait(1, signal="go", timeout=3600)], ids=["sleep", "wait"])
@pytest.mark.parametrize(("wish", "status"), [(pause_run, "paused"), (cancel_run, "cancelled")])
def test_a_wish_that_comes_as_the_step_goes_to_sleep_is_fulfilled_all_the_same(
    tmp_path: Path, wish: Any, status: str, outcome: Any, heard: bool
) -> None:
    """Its sender was told that the owner would do it, and the owner is about to leave the run."""

    async def step(state: int, ctx: Any) -> Any:
        if state:
            raise AssertionError("it went on")
        store = await another(tmp_path)
        assert (await wish(store, "r", ANN)).owner is not None
        await store.aclose()
        if heard:
            await until(lambda: ctx._run.wishes.paused_by or ctx.cancellation)
        return outcome

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            result = await one.start(run_id="r", initial_state=0)
            assert (result.status, result.step_index, (result.reason or "").partition(":")[2]) == (status, 1, "ann")
            assert (await one.get_run("r")).status == status
            assert (await one.verify_run("r")).ok

    play(main)


def test_a_wish_to_pause_that_nobody_lived_to_hear_holds_for_a_worker_and_not_for_a_person(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(state)

    async def main() -> None:
        async with runner(tmp_path, step) as one:
            for run_id in ("w", "p"):
                await one.submit(run_id=run_id, initial_state=0)
                store = await another(tmp_path)
                await store.send_signal(run_id, PAUSE, pause_payload(None), sender=ANN)
                await store.aclose()
            assert (await one.resume(run_id="w", unasked=True)).status == "paused"
            assert (await one.resume(run_id="p")).status == "completed"

    play(main)


@pytest.mark.parametrize("what", ["resume", "pause", "submit"])
def test_who_is_cancelled_behind_its_claim_holds_no_run(tmp_path: Path, what: str) -> None:
    """The writes are those of a group, so that a claim and what gives the run back are turns of the loop apart."""

    async def step(state: int, ctx: Any) -> Any:
        return Sleep(1, seconds=3600)

    async def main() -> None:
        store = open_store(str(tmp_path / "runs.sqlite"), "create")
        one = AgentRunner(step=step, store=store)
        for run_id in ("beside", "beside too"):
            await store.create_run(new_run(run_id), this_owner(), 1e9)
        for turns in range(12):
            run_id = f"run-{turns}"
            if what != "submit":
                await one.start(run_id=run_id, initial_state=0, wait_s=0)
            if what == "resume":
                await pause_run(store, run_id, ANN)
            works = {
                "resume": lambda: one.resume(run_id=run_id, wait_s=0),  # noqa: B023 - called in this turn
                "pause": lambda: pause_run(store, run_id, ANN),  # noqa: B023
                "submit": lambda: one.submit(run_id=run_id, initial_state=0),  # noqa: B023
            }
            going = asyncio.ensure_future(works[what]())
            for _ in range(turns):
                await asyncio.sleep(0)
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
        held = [run.run_id for run in await store.list_runs(status="running")]
        assert sorted(held) == ["beside", "beside too"]
        await store.aclose()

    play(main)
