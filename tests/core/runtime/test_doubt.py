"""What nobody knows the end of is doubt, however it came about; found by a hostile review, one test for each way in."""

from __future__ import annotations

import asyncio
import threading
import urllib.error
from pathlib import Path
from typing import Any

import apsw
import pytest

from loom_core import Complete, Continue, ToolContext, ToolFailed, Wait, tool
from loom_core.errors import BadInput, LoomError, StepExecutionError
from loom_core.runtime.doubt import is_lost_connection
from loom_core.runtime.keeper import LeaseKeeper
from loom_core.runtime.resolving import resolve_call
from tests.core.runtime.support import play, runner


def lock(place: Path) -> apsw.Connection:
    connection = apsw.Connection(str(place / "runs.sqlite"))
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_an_end_that_a_time_limit_of_the_step_cuts_off_is_written_all_the_same(tmp_path: Path) -> None:
    paid: list[int] = []

    async def main() -> None:
        @tool(effect="once")
        async def pay() -> int:
            """Pay, and find the database locked when it is to be written down."""
            paid.append(1)
            held = lock(tmp_path)
            asyncio.get_running_loop().call_later(0.3, held.close)
            return 7

        async def step(state: int, ctx: Any) -> Any:
            async with asyncio.timeout(0.1 if ctx.attempt_index == 0 else None):
                return Complete(await ctx.call_tool("pay"))

        async with runner(tmp_path, step, pay) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == 7

    play(main)
    assert paid == [1]


def test_a_once_call_that_the_steps_own_time_limit_cuts_off_is_doubt_even_if_the_step_goes_on(tmp_path: Path) -> None:
    @tool(effect="once")
    async def pay() -> None:
        """Pay for ever."""
        await asyncio.Event().wait()

    async def step(state: int, ctx: Any) -> Any:
        try:
            async with asyncio.timeout(0.02):
                await ctx.call_tool("pay")
        except TimeoutError:
            return Complete("went on")

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            left = await r.start(run_id="a", initial_state=0)
            assert (left.status, left.reason) == ("waiting", "doubt:0/0")

    play(main)


def test_a_call_under_way_in_a_task_is_waited_for_by_the_next_attempt_and_by_the_commit(tmp_path: Path) -> None:
    paid: list[int] = []
    release: list[asyncio.Event] = []
    tasks: list[asyncio.Task[Any]] = []

    @tool(effect="once")
    async def pay() -> int:
        """Pay slowly."""
        paid.append(1)
        await release[0].wait()
        return 7

    async def step(state: int, ctx: Any) -> Any:
        if state == 1:
            return Complete(await ctx.call_tool("pay", idempotency_key="k"))
        if ctx.attempt_index == 0:
            tasks.append(asyncio.create_task(ctx.call_tool("pay", idempotency_key="k")))
            await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.05, release[0].set)
            raise ConnectionError
        tasks.append(asyncio.create_task(ctx.call_tool("pay", idempotency_key="k")))
        await asyncio.sleep(0)
        return Continue(1)

    async def main() -> None:
        release.append(asyncio.Event())
        async with runner(tmp_path, step, pay) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == 7
            assert [c.status for c in await r.get_tool_calls("a")] == ["done"]
            assert (await r.verify_run("a")).ok
        assert await asyncio.gather(*tasks) == [7, 7]

    play(main)
    assert paid == [1]


def test_a_fact_is_on_disk_before_any_effect_that_may_rest_on_it(tmp_path: Path) -> None:
    seen: list[str] = []

    async def main() -> None:
        @tool(effect="once")
        async def pay(number: str) -> None:
            """Look what is on disk by now."""
            (call,) = [c for c in await r.get_tool_calls("a") if c.arguments == f'{{"number":"{number}"}}']
            seen.append(call.facts or "")

        async def step(state: int, ctx: Any) -> Any:
            number = str(ctx.uuid4())
            held = lock(tmp_path)
            asyncio.get_running_loop().call_later(0.15, held.close)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await ctx.call_tool("pay", number="first")
            await ctx.call_tool("pay", number=number)
            return Complete(number)

        async with runner(tmp_path, step, pay) as r:
            number = (await r.start(run_id="a", initial_state=0)).result
            assert number in seen[0]

    play(main)


def test_deciding_an_old_doubt_does_not_wake_a_run_that_waits_for_something_else(tmp_path: Path) -> None:
    @tool(effect="idempotent")
    async def look() -> None:
        """Look, and lose the connection."""
        raise ConnectionError

    async def step(state: int, ctx: Any) -> Any:
        if state == 1:
            return Complete(None if ctx.signal is None else ctx.signal.payload)
        with pytest.raises(ToolFailed):
            await ctx.call_tool("look")
        return Wait(1, signal="approve")

    async def main() -> None:
        async with runner(tmp_path, step, look) as r:
            await r.start(run_id="a", initial_state=0)
            await resolve_call(r._store("write"), "a", "0/0", fail="never mind", by="me")
            left = await r.resume(run_id="a")
            assert (left.status, left.reason) == ("waiting", "signal:approve")
            await r.send_signal("a", "approve", "yes")
            assert (await r.resume(run_id="a")).result == "yes"

    play(main)


def test_two_people_who_decide_the_same_call_leave_no_run_held(tmp_path: Path) -> None:
    @tool(effect="once")
    async def pay() -> int:
        """Pay, perhaps."""
        raise TimeoutError

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("pay"))

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            await r.start(run_id="a", initial_state=0)
            store = r._store("write")
            await resolve_call(store, "a", "0/0", result="1", by="one")
            with pytest.raises(BadInput):
                await resolve_call(store, "a", "0/0", result="2", by="two")
            assert (await r.resume(run_id="a")).result == 1

    play(main)


def test_a_decision_of_the_wrong_type_can_be_decided_again(tmp_path: Path) -> None:
    @tool(effect="once")
    async def pay() -> int:
        """Pay, perhaps."""
        raise TimeoutError

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("pay"))

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            await r.start(run_id="a", initial_state=0)
            store = r._store("write")
            await resolve_call(store, "a", "0/0", result='"yes"', by="me")
            with pytest.raises(LoomError, match="expected int"):
                await r.resume(run_id="a")
            await resolve_call(store, "a", "0/0", result="3", by="me")
            assert (await r.resume(run_id="a")).result == 3
            assert (await r.verify_run("a")).ok

    play(main)


def test_corrected_code_may_ask_something_else_in_place_of_a_read_that_failed(tmp_path: Path) -> None:
    pages = ["/old"]

    @tool(effect="read")
    async def fetch(page: str) -> str:
        """Fetch."""
        if page == "/old":
            raise LookupError("404")
        return page

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("fetch", page=pages[0]))

    async def main() -> None:
        async with runner(tmp_path, step, fetch) as r:
            with pytest.raises(ToolFailed):
                await r.start(run_id="a", initial_state=0)
            pages[0] = "/new"
            assert (await r.resume(run_id="a", retry_failed=True)).result == "/new"

    play(main)


def test_a_plugin_that_fails_leaves_no_run_behind(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(state)

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            r._bind = lambda: (_ for _ in ()).throw(LoomError("a plugin is broken"))  # type: ignore[method-assign]
            with pytest.raises(LoomError, match="broken"):
                await r.start(run_id="a", initial_state=0)
        assert not (tmp_path / "runs.sqlite").exists()

    play(main)


def test_whoever_watches_changes_nothing_by_failing(tmp_path: Path) -> None:
    @tool(effect="once")
    async def pay() -> int:
        """Pay."""
        return 1

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("pay"))

    def broken(_seen: object) -> None:
        raise BrokenPipeError

    async def main() -> None:
        async with runner(tmp_path, step, pay, observer=broken) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == 1

    play(main)


def test_a_cancellation_that_nobody_asked_for_and_an_exit_are_failures_of_the_step(tmp_path: Path) -> None:
    async def cancelled(state: int, ctx: Any) -> Any:
        other = asyncio.ensure_future(asyncio.Event().wait())
        other.cancel()
        await other

    async def leaving(state: int, ctx: Any) -> Any:
        raise SystemExit(3)

    async def main() -> None:
        for number, step in enumerate((cancelled, leaving)):
            async with runner(tmp_path, step) as r:
                with pytest.raises(StepExecutionError):
                    await r.start(run_id=f"a{number}", initial_state=0)
                assert (await r.get_run(f"a{number}")).status == "failed"

    play(main)


def test_keys_of_ones_own_never_meet_those_that_are_counted(tmp_path: Path) -> None:
    keys: list[str] = []

    @tool(effect="once")
    async def pay(context: ToolContext) -> None:
        """Pay."""
        keys.append(context.key)

    async def step(state: int, ctx: Any) -> Any:
        await ctx.call_tool("pay")
        await ctx.call_tool("pay", idempotency_key="0/0")
        return Complete(None)

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            await r.start(run_id="a", initial_state=0)
            await r.start(run_id="a/0", initial_state=0)

    play(main)
    assert len(set(keys)) == len(keys) == 4


def test_a_time_slice_ends_the_wait_before_a_retry(tmp_path: Path) -> None:
    from loom_core import ExponentialBackoff, RetryPolicy

    async def step(state: int, ctx: Any) -> Any:
        raise ConnectionError

    async def main() -> None:
        patient = RetryPolicy(backoff=ExponentialBackoff(initial_s=5, max_s=5))
        async with runner(tmp_path, step, retry_policy=patient) as r:
            left = await r.start(run_id="a", initial_state=0, max_seconds=0.05)
            assert (left.status, left.reason) == ("paused", "slice:seconds")

    play(main)


def test_a_stop_request_is_forgotten_when_the_runs_it_was_asked_of_have_stopped(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        if state == 1:
            r.request_stop()
        return Continue(state + 1) if state < 5 else Complete(state)

    async def main() -> None:
        nonlocal r
        async with runner(tmp_path, step) as r:
            assert (await r.start(run_id="a", initial_state=0)).step_index == 2
            assert (await r.resume(run_id="a")).result == 5

    r: Any = None
    play(main)


def test_a_state_that_a_step_changes_in_place_is_not_the_next_runs_first_state(tmp_path: Path) -> None:
    first: dict[str, list[str]] = {"log": []}

    async def step(state: dict[str, list[str]], ctx: Any) -> Any:
        state["log"].append("x")
        return Complete(state["log"])

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            assert (await r.start(run_id="a", initial_state=first)).result == ["x"]
            assert (await r.start(run_id="b", initial_state=first)).result == ["x"]

    play(main)
    assert first == {"log": []}


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (urllib.error.URLError(TimeoutError("slow")), True),
        (OSError(113, "no route to host"), True),
        (type("ReadTimeout", (Exception,), {})(), True),
        (ExceptionGroup("g", [ValueError(), ConnectionResetError()]), True),
        (urllib.error.HTTPError("http://x", 400, "bad request", {}, None), False),  # type: ignore[arg-type]
        (ValueError("no"), False),
        (PermissionError(13, "denied"), False),
    ],
)
def test_a_lost_connection_is_told_in_every_librarys_words(error: BaseException, lost: bool) -> None:
    assert is_lost_connection(error) is lost
    if isinstance(error, urllib.error.HTTPError):
        error.close()


def test_a_keeper_whose_store_fails_once_goes_on_beating_and_does_not_spin() -> None:
    beaten = threading.Event()

    class Writer:
        run_id = "a"
        tries = 0

        def lease_age_s(self) -> float:
            return 1.0

        def beat(self) -> bool:
            Writer.tries += 1
            if Writer.tries == 1:
                raise OSError(37, "no locks available")
            beaten.set()
            return True

    keeper = LeaseKeeper(0.03)
    one, two = Writer(), Writer()
    keeper.watch(one)  # type: ignore[arg-type]
    keeper.unwatch(one)  # type: ignore[arg-type]
    keeper.watch(two)  # type: ignore[arg-type]
    assert beaten.wait(10)
    assert not keeper._changed.is_set()
    keeper.unwatch(two)  # type: ignore[arg-type]
