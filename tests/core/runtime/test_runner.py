"""Starting, resuming, slicing, failing: what a run's row says afterwards, and what is never done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs
import pytest

from loom_core import (
    AgentRunner,
    Complete,
    Continue,
    LeaseLost,
    RunBusy,
    RunExists,
    RunNotFound,
    StepExecutionError,
    Wait,
)
from loom_core.errors import BadInput, StoreUnusable, ValueNotDecodable, ValueNotEncodable
from tests.core.runtime.support import AT_ONCE, play, runner


@attrs.frozen
class Counter:
    n: int


async def count_to_five(state: Counter, ctx: Any) -> Any:
    return Complete(state.n) if state.n == 5 else Continue(Counter(state.n + 1))


def test_a_run_ends_with_its_result_and_its_last_state(tmp_path: Path) -> None:
    async def main() -> None:
        async with runner(tmp_path, count_to_five) as r:
            result = await r.start(run_id="a", initial_state=Counter(0))
            assert (result.status, result.step_index, result.state, result.result) == ("completed", 6, Counter(5), 5)

    play(main)


def test_a_slice_pauses_and_resume_goes_on_where_it_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with runner(tmp_path, count_to_five) as r:
            first = await r.start(run_id="a", initial_state=Counter(0), max_steps=2)
            assert (first.status, first.reason, first.step_index, first.state) == (
                "paused",
                "slice:steps",
                2,
                Counter(2),
            )
            second = await r.resume(run_id="a", max_steps=1)
            assert (second.status, second.step_index) == ("paused", 3)
            assert (await r.resume(run_id="a")).result == 5
            assert (await r.resume(run_id="a")).result == 5
            assert [s.state for s in await r.get_history("a")][:3] == [{"n": 0}, {"n": 1}, {"n": 2}]
            assert (await r.verify_run("a")).ok

    play(main)


def test_a_time_slice_pauses(tmp_path: Path) -> None:
    async def forever(state: Counter, ctx: Any) -> Any:
        await asyncio.sleep(0)
        return Continue(Counter(state.n + 1))

    async def main() -> None:
        async with runner(tmp_path, forever) as r:
            result = await r.start(run_id="a", initial_state=Counter(0), max_seconds=0.05)
            assert (result.status, result.reason) == ("paused", "slice:seconds")

    play(main)


def test_an_id_in_use_an_unknown_one_and_a_bad_one_are_told_and_change_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with runner(tmp_path, count_to_five) as r:
            with pytest.raises(StoreUnusable):
                await r.resume(run_id="a")
            await r.start(run_id="a", initial_state=Counter(0))
            with pytest.raises(RunExists) as exists:
                await r.start(run_id="a", initial_state=Counter(0))
            assert exists.value.status == "completed"
            assert isinstance(exists.value, ValueError)
            with pytest.raises(RunNotFound) as unknown:
                await r.resume(run_id="b")
            assert isinstance(unknown.value, KeyError)
            for bad in ("", " a", "a\n", "x" * 201, "a:sub:b"):
                with pytest.raises(BadInput):
                    await r.start(run_id=bad, initial_state=Counter(0))
            assert [run.run_id for run in await r.list_runs()] == ["a"]

    play(main)


def test_an_initial_state_that_cannot_be_encoded_creates_no_database(tmp_path: Path) -> None:
    async def main() -> None:
        async with runner(tmp_path, count_to_five) as r:
            with pytest.raises(ValueNotEncodable):
                await r.start(run_id="a", initial_state=Counter("one"))  # type: ignore[arg-type]

    play(main)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_cannot_be_encoded_later_fails_the_run_there_and_keeps_the_last_one(tmp_path: Path) -> None:
    async def spoil(state: Counter, ctx: Any) -> Any:
        return Continue(Counter(state.n + 1 if state.n < 2 else float("nan")))  # type: ignore[arg-type]

    async def main() -> None:
        async with runner(tmp_path, spoil) as r:
            with pytest.raises(ValueNotEncodable):
                await r.start(run_id="a", initial_state=Counter(0))
            record = await r.get_run("a")
            assert (record.status, record.step_index) == ("failed", 2)
            assert record.error is not None
            assert record.error.category == "validation"
            assert (await r.get_history("a"))[-1].state == {"n": 2}

    play(main)


def test_a_transient_failure_is_tried_again_with_a_fresh_state(tmp_path: Path) -> None:
    seen: list[tuple[int, list[int]]] = []

    async def step(state: list[int], ctx: Any) -> Any:
        seen.append((ctx.attempt_index, list(state)))
        state.append(99)
        if ctx.attempt_index < 2:
            raise ConnectionError("away")
        return Complete(len(state))

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            assert (await r.start(run_id="a", initial_state=[1])).result == 2
            attempts = await r.get_attempts("a")
            assert [(a.attempt_index, a.error.type, a.error.category) for a in attempts] == [
                (0, "ConnectionError", "transient"),
                (1, "ConnectionError", "transient"),
            ]

    play(main)
    assert seen == [(0, [1]), (1, [1]), (2, [1])]


def test_a_failure_that_is_not_worth_it_fails_the_run_and_reaches_the_caller(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        raise LookupError("no such customer")

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            with pytest.raises(LookupError, match="no such customer"):
                await r.start(run_id="a", initial_state=1)
            again = await r.resume(run_id="a")
            assert (again.status, again.error and again.error.type) == ("failed", "LookupError")
            assert len(await r.get_attempts("a")) == 1

    play(main)


def test_a_failed_run_goes_on_when_the_cause_is_gone(tmp_path: Path) -> None:
    broken = [True]

    async def step(state: int, ctx: Any) -> Any:
        if state == 1 and broken:
            raise StepExecutionError("closed on sundays")
        return Complete("ok") if state == 1 else Continue(1)

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            with pytest.raises(StepExecutionError):
                await r.start(run_id="a", initial_state=0)
            broken.clear()
            assert (await r.resume(run_id="a")).status == "failed"
            assert (await r.resume(run_id="a", retry_failed=True)).result == "ok"
            assert (await r.verify_run("a")).ok

    play(main)


def test_retrying_a_failed_run_gives_all_attempts_of_the_policy_again(tmp_path: Path) -> None:
    tries: list[int] = []

    async def step(state: int, ctx: Any) -> Any:
        tries.append(ctx.attempt_index)
        if len(tries) < 6:
            raise ConnectionError
        return Complete("at last")

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            with pytest.raises(ConnectionError):
                await r.start(run_id="a", initial_state=0)
            assert (await r.resume(run_id="a", retry_failed=True)).result == "at last"

    play(main)
    assert tries == [0, 1, 2, 3, 4, 5]


def test_none_is_a_state_like_any_other(tmp_path: Path) -> None:
    async def step(state: None, ctx: Any) -> Any:
        return Complete(state is None)

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            assert (await r.start(run_id="a", initial_state=None)).result is True

    play(main)


def test_a_step_that_returns_no_outcome_fails_with_a_word_about_what_to_return(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return state

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            with pytest.raises(StepExecutionError, match="no outcome") as error:
                await r.start(run_id="a", initial_state=0)
            assert error.value.hint is not None

    play(main)


def test_a_waiting_run_goes_on_only_when_its_signal_is_there_and_consumes_it_once(tmp_path: Path) -> None:
    async def step(state: list[str], ctx: Any) -> Any:
        if ctx.signal is not None:
            return Wait([*state, ctx.signal.payload], signal="go") if ctx.signal.payload != "end" else Complete(state)
        return Wait(state, signal="go")

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            waiting = await r.start(run_id="a", initial_state=[])
            assert (waiting.status, waiting.reason) == ("waiting", "signal:go")
            before = await r.get_run("a")
            assert (await r.resume(run_id="a")).status == "waiting"
            assert await r.get_run("a") == before
            await r.send_signal("a", "other", "not this one")
            assert (await r.resume(run_id="a")).status == "waiting"
            await r.send_signal("a", "go", "x")
            await r.send_signal("a", "go", "end")
            assert (await r.resume(run_id="a")).state == ["x"]
            assert (await r.resume(run_id="a")).result == ["x"]
            assert (await r.verify_run("a")).ok

    play(main)


def test_a_live_owner_keeps_its_run(tmp_path: Path) -> None:
    async def main() -> None:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def step(state: int, ctx: Any) -> Any:
            entered.set()
            await leave.wait()
            return Complete(state)

        async with runner(tmp_path, step) as one, runner(tmp_path, step) as two:
            running = asyncio.create_task(one.start(run_id="a", initial_state=1))
            await entered.wait()
            with pytest.raises(RunBusy, match="process"):
                await two.resume(run_id="a")
            leave.set()
            assert (await running).result == 1

    play(main)


def test_a_cancelled_task_leaves_its_run_paused_and_resumable(tmp_path: Path) -> None:
    async def main() -> None:
        entered = asyncio.Event()
        hang = [True]

        async def step(state: int, ctx: Any) -> Any:
            if state == 1 and hang:
                entered.set()
                await asyncio.Event().wait()
            return Continue(state + 1) if state < 3 else Complete(state)

        async with runner(tmp_path, step) as r:
            running = asyncio.create_task(r.start(run_id="a", initial_state=0))
            await entered.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            record = await r.get_run("a")
            assert (record.status, record.reason, record.step_index) == ("paused", "interrupt", 1)
            hang.clear()
            assert (await r.resume(run_id="a")).result == 3

    play(main)


def test_a_stop_request_ends_after_the_step_under_way_and_cuts_the_wait_before_a_retry(tmp_path: Path) -> None:
    from loom_core import ExponentialBackoff, RetryPolicy

    async def main() -> None:
        policy = RetryPolicy(max_attempts=3, backoff=ExponentialBackoff(initial_s=5, max_s=5))

        async def step(state: int, ctx: Any) -> Any:
            asyncio.get_running_loop().call_later(0.01, r.request_stop)
            raise ConnectionError

        async with runner(tmp_path, step, retry_policy=policy) as r:
            result = await r.start(run_id="a", initial_state=0)
            assert (result.status, result.reason, result.step_index) == ("paused", "interrupt", 0)
            assert (await r.get_run("a")).attempt_index == 1

    play(main)


def test_a_stored_state_that_no_longer_fits_is_told_and_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    async def old(state: dict[str, int], ctx: Any) -> Any:
        return Continue(state)

    async def main() -> None:
        async with runner(tmp_path, old) as r:
            await r.start(run_id="a", initial_state={"m": 1}, max_steps=1)
            before = await r.get_run("a")
        async with runner(tmp_path, count_to_five) as r:
            with pytest.raises(ValueNotDecodable, match="state"):
                await r.resume(run_id="a")
            assert await r.get_run("a") == before

    play(main)


def test_another_agents_run_is_not_resumed(tmp_path: Path) -> None:
    async def main() -> None:
        async with runner(tmp_path, count_to_five, name="one") as r:
            await r.start(run_id="a", initial_state=Counter(0), max_steps=1)
        async with runner(tmp_path, count_to_five, name="two") as r:
            with pytest.raises(BadInput, match="belongs to agent `one`"):
                await r.resume(run_id="a")

    play(main)


def test_an_owner_that_was_replaced_writes_nothing(tmp_path: Path) -> None:
    """The lease is long expired on every clock, and another runner claims the run while the first is in its step."""

    async def main() -> None:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def slow(state: int, ctx: Any) -> Any:
            entered.set()
            await leave.wait()
            return Complete("late")

        async def quick(state: int, ctx: Any) -> Any:
            return Complete("in time")

        async with runner(tmp_path, slow, lease_s=0.01) as one, runner(tmp_path, quick) as two:
            one._keeper.watch = lambda writer: None  # type: ignore[method-assign]
            late = asyncio.create_task(one.start(run_id="a", initial_state=0))
            await entered.wait()
            await asyncio.sleep(0.05)
            assert (await two.resume(run_id="a")).result == "in time"
            leave.set()
            with pytest.raises(LeaseLost):
                await late
            assert (await two.get_run("a")).result == '"in time"'
            assert (await two.verify_run("a")).ok

    play(main)


def test_a_step_longer_than_its_lease_keeps_it_even_while_it_blocks_the_event_loop(tmp_path: Path) -> None:
    import threading

    async def main() -> None:
        renewed = threading.Event()

        async def blocking(state: int, ctx: Any) -> Any:
            assert renewed.wait(10)
            return Complete("kept")

        async with runner(tmp_path, blocking, lease_s=0.15) as r:
            claimed: list[Any] = []
            watch = r._keeper.watch

            def watch_and_see(writer: Any) -> None:
                beat = writer.beat
                claimed.append(writer)

                class Seen:
                    lease_age_s = staticmethod(writer.lease_age_s)

                    @staticmethod
                    def beat() -> bool:
                        kept: bool = beat()
                        renewed.set()
                        return kept

                watch(Seen)  # type: ignore[arg-type]

            r._keeper.watch = watch_and_see  # type: ignore[method-assign]
            assert (await r.start(run_id="a", initial_state=0)).result == "kept"

    play(main)


def test_a_million_steps_would_not_grow_the_stack(tmp_path: Path) -> None:
    import sys

    async def step(state: int, ctx: Any) -> Any:
        return Complete(state) if state == 3 * sys.getrecursionlimit() else Continue(state + 1)

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == 3 * sys.getrecursionlimit()

    play(main)


def test_encoders_given_by_hand_are_used(tmp_path: Path) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    async def step(state: Point, ctx: Any) -> Any:
        return Complete(Point(state.x)) if state.x == 2 else Continue(Point(state.x + 1))

    async def main() -> None:
        codec = {"encode_state": lambda p: [p.x], "decode_state": lambda d: Point(*d)}
        results = {"encode_result": lambda p: p.x, "decode_result": Point}
        async with AgentRunner(step=step, store=tmp_path / "r.sqlite", retry_policy=AT_ONCE, **codec, **results) as r:
            assert (await r.start(run_id="a", initial_state=Point(0), max_steps=1)).state.x == 1
            assert (await r.resume(run_id="a")).result.x == 2
            assert [s.state for s in await r.get_history("a")][:2] == [[0], [1]]

    play(main)
