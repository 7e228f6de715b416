"""Promise 5 and "Waiting" of docs/promises.md: timers on a clock that nobody can set, and waits that end once.

Every test that sleeps for hours here is over in milliseconds: the world's clock is virtual.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import math
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from loom_core import (
    AgentRunner,
    Complete,
    Continue,
    ErrorCategory,
    Person,
    RetryPolicy,
    Sleep,
    StepExecutionError,
    Wait,
    tool,
)
from loom_core.runtime.admission import Admission
from loom_core.runtime.controlling import pause_run
from loom_core.runtime.owners import this_owner
from loom_core.runtime.waking import DURABLE_BACKOFF_S
from loom_core.testing import MemoryStore, VirtualClock
from tests.core.runtime.support import play

HOUR = 3600.0
Make = Callable[..., AgentRunner]


class Place:
    """A clock, a store that outlives runners, and runners as one process after another has them."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(wall=self.clock.wall, boot=self.clock.boot)

    def runner(self, step: Any, *tools: Any, **options: Any) -> AgentRunner:
        return AgentRunner(step=step, store=self.store, tools=tools, world=self.clock.world(), name="agent", **options)


async def nap(state: int, ctx: Any) -> Any:
    return Complete(state) if state == 3 else Sleep(state + 1, seconds=HOUR)


# -- Sleep --------------------------------------------------------------------------------------------------------


def test_hours_of_sleep_are_waited_for_in_process_when_there_is_patience() -> None:
    async def main() -> None:
        place = Place()
        result = await place.runner(nap).start(run_id="a", initial_state=0, wait_s=math.inf)
        assert (result.status, result.result, round(place.clock.slept_s)) == ("completed", 3, 3 * HOUR)

    play(main)


def test_a_timer_further_away_than_the_patience_releases_the_run_and_says_when_it_is_due() -> None:
    async def main() -> None:
        place = Place()
        began = place.clock.wall()
        result = await place.runner(nap).start(run_id="a", initial_state=0)
        assert (result.status, result.reason, result.step_index, result.state) == ("waiting", "timer", 1, 1)
        assert result.wake_at == began + HOUR
        record = await place.store.get_run("a")
        assert (record.owner, record.lease, place.clock.slept_s) == (None, None, 0)

    play(main)


def test_resume_before_the_time_changes_nothing_and_after_it_goes_on() -> None:
    async def main() -> None:
        place = Place()
        await place.runner(nap).start(run_id="a", initial_state=0)
        before = await place.store.get_run("a")
        place.clock.advance(HOUR - 61)
        result = await place.runner(nap).resume(run_id="a")
        assert (result.status, result.reason, result.wake_at) == ("waiting", "timer", before.wake_at)
        assert await place.store.get_run("a") == before
        place.clock.advance(1.5)
        # Within the default patience of a minute now.
        assert (await place.runner(nap).resume(run_id="a")).step_index == 2
        assert (await place.store.get_claims("a"))[1].found == "waiting"

    play(main)


@pytest.mark.parametrize("step_s", [-7 * 24 * HOUR, 7 * 24 * HOUR])
def test_a_span_is_as_long_as_it_says_when_the_wall_clock_steps(step_s: float) -> None:
    """It fires neither early (the clock was set forward) nor hangs (it was set back)."""

    async def main() -> None:
        place = Place()
        await place.runner(nap).start(run_id="a", initial_state=0)
        place.clock.set_wall(place.clock.wall() + step_s)
        place.clock.advance(HOUR - 1)
        assert (await place.runner(nap).resume(run_id="a", wait_s=0)).status == "waiting"
        place.clock.advance(1)
        assert (await place.runner(nap).resume(run_id="a", wait_s=0)).step_index == 2

    play(main)


def test_a_wall_clock_that_steps_during_the_wait_in_process_changes_nothing() -> None:
    async def main() -> None:
        place = Place()
        going = asyncio.ensure_future(place.runner(nap).start(run_id="a", initial_state=2, wait_s=2 * HOUR))
        while not place.clock.slept_s:
            await asyncio.sleep(0)
        place.clock.set_wall(place.clock.wall() - 30 * HOUR)
        assert (await going).status == "completed"
        assert round(place.clock.slept_s) == HOUR

    play(main)


def test_after_another_boot_the_wall_clock_counts() -> None:
    async def main() -> None:
        place = Place()
        await place.runner(nap).start(run_id="a", initial_state=0)
        place.clock.reboot()
        place.clock.advance(HOUR - 1)
        assert (await place.runner(nap).resume(run_id="a", wait_s=0)).status == "waiting"
        place.clock.advance(1)
        assert (await place.runner(nap).resume(run_id="a", wait_s=0)).step_index == 2

    play(main)


def test_a_system_without_a_boot_clock_goes_by_the_wall_clock() -> None:
    async def main() -> None:
        place = Place()
        place.clock.boot_s = None
        await place.runner(nap).start(run_id="a", initial_state=0)
        place.clock.advance(HOUR)
        assert (await place.runner(nap).resume(run_id="a", wait_s=0)).step_index == 2

    play(main)


def test_a_time_of_the_calendar_comes_when_the_wall_clock_says_so() -> None:
    async def main() -> None:
        place = Place()
        nine = dt.datetime.fromtimestamp(place.clock.wall() + HOUR, dt.timezone(dt.timedelta(hours=5, minutes=45)))

        async def until_nine(state: int, ctx: Any) -> Any:
            return Complete(state) if state else Sleep(1, until=nine)

        result = await place.runner(until_nine).start(run_id="a", initial_state=0)
        assert result.wake_at == nine.timestamp()
        place.clock.set_wall(nine.timestamp())
        assert (await place.runner(until_nine).resume(run_id="a", wait_s=0)).status == "completed"

    play(main)


def test_a_time_that_has_passed_is_due_at_once() -> None:
    async def main() -> None:
        place = Place()
        past = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)

        async def step(state: int, ctx: Any) -> Any:
            return {0: Sleep(1, until=past), 1: Sleep(2, seconds=0)}.get(state) or Complete(state)

        result = await place.runner(step).start(run_id="a", initial_state=0, wait_s=0)
        assert (result.status, place.clock.slept_s) == ("completed", 0)

    play(main)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Sleep(0), ValueError),
        (lambda: Sleep(0, seconds=1, until=dt.datetime.now(dt.UTC)), ValueError),
        (lambda: Sleep(0, seconds=-1), ValueError),
        (lambda: Sleep(0, seconds=math.nan), ValueError),
        (lambda: Sleep(0, seconds=math.inf), ValueError),
        (lambda: Sleep(0, seconds=1e12), ValueError),
        (lambda: Sleep(0, seconds="60"), TypeError),
        (lambda: Sleep(0, seconds=True), TypeError),
        (lambda: Sleep(0, until=dt.datetime.now()), ValueError),
        (lambda: Sleep(0, until=1_750_000_000), TypeError),
        (lambda: Wait(0, signal="go", timeout=-1), ValueError),
        (lambda: Wait(0, signal="go", timeout=dt.timedelta(1)), TypeError),
        (lambda: Wait(0, signal=""), ValueError),
    ],
)
def test_an_outcome_that_says_no_time_is_refused_where_it_is_made(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


# -- Wait ---------------------------------------------------------------------------------------------------------


async def ask(state: Any, ctx: Any) -> Any:
    if state == "begin":
        return Wait("asked", signal="answer", timeout=HOUR)
    return Complete([ctx.signal.name, ctx.signal.payload, ctx.signal.timed_out])


def test_a_signal_in_time_wakes_the_step_and_its_timer_is_forgotten() -> None:
    async def main() -> None:
        place = Place()
        assert (await place.runner(ask).start(run_id="a", initial_state="begin")).reason == "signal:answer"
        await place.store.send_signal("a", "answer", '"yes"')
        assert (await place.runner(ask).resume(run_id="a")).result == ["answer", "yes", False]

    play(main)


def test_without_a_signal_the_step_is_executed_when_the_time_is_over() -> None:
    async def main() -> None:
        place = Place()
        result = await place.runner(ask).start(run_id="a", initial_state="begin", wait_s=2 * HOUR)
        assert result.result == ["answer", None, True]
        (step,) = await place.store.get_steps("a", first=1)
        assert step.notes == '{"timed_out":"answer"}'

    play(main)


def test_a_signal_that_is_there_when_the_run_goes_on_wins_over_the_time() -> None:
    async def main() -> None:
        place = Place()
        await place.runner(ask).start(run_id="a", initial_state="begin")
        place.clock.advance(2 * HOUR)
        await place.store.send_signal("a", "answer", '"late, but there"')
        assert (await place.runner(ask).resume(run_id="a")).result == ["answer", "late, but there", False]

    play(main)


def test_a_signal_wakes_a_run_that_is_waited_for_in_process() -> None:
    async def main() -> None:
        place = Place()
        going = asyncio.ensure_future(place.runner(ask).start(run_id="a", initial_state="begin", wait_s=2 * HOUR))
        while not place.clock.slept_s:
            await asyncio.sleep(0)
        await place.store.send_signal("a", "answer", "1")
        assert (await going).result == ["answer", 1, False]
        assert place.clock.slept_s < 60

    play(main)


def test_a_wait_that_ran_out_while_its_run_was_paused_has_timed_out() -> None:
    async def main() -> None:
        place = Place()
        await place.runner(ask).start(run_id="a", initial_state="begin", wait_s=0)
        await pause_run(place.store, "a", Person(name="ann"))
        place.clock.advance(2 * HOUR)
        assert (await place.runner(ask).resume(run_id="a")).result == ["answer", None, True]

    play(main)


def test_a_span_is_as_long_as_it_says_also_when_its_run_is_paused_meanwhile() -> None:
    async def main() -> None:
        place = Place()
        await place.runner(nap).start(run_id="a", initial_state=2, wait_s=0)
        await pause_run(place.store, "a", Person(name="ann"))
        place.clock.set_wall(place.clock.wall() + 10 * HOUR)
        assert (await place.runner(nap).resume(run_id="a", wait_s=0)).status == "waiting"
        place.clock.advance(HOUR)
        assert (await place.runner(nap).resume(run_id="a", wait_s=0)).status == "completed"

    play(main)


def test_once_a_step_goes_on_without_its_signal_every_execution_of_it_does() -> None:
    """A crash in its middle and a signal that comes then must not make the step see another world."""
    seen: list[tuple[bool, Any]] = []

    async def step(state: Any, ctx: Any) -> Any:
        if state == "begin":
            return Wait("asked", signal="answer", timeout=HOUR)
        seen.append((ctx.signal.timed_out, ctx.signal.payload))
        if len(seen) == 1:
            raise asyncio.CancelledError  # nobody asked for it, so it is a failure; the next attempt is another process
        return Complete(ctx.signal.timed_out)

    async def main() -> None:
        place = Place()
        await place.runner(step).start(run_id="a", initial_state="begin")
        place.clock.advance(HOUR)
        with pytest.raises(StepExecutionError):
            await place.runner(step).resume(run_id="a")
        await place.store.send_signal("a", "answer", '"too late"')
        result = await place.runner(step).resume(run_id="a", retry_failed=True)
        assert (result.result, seen) == (True, [(True, None), (True, None)])
        (signal,) = await place.store.get_signals("a")
        assert signal.consumed_by is None

    play(main)


# -- retries ------------------------------------------------------------------------------------------------------


class Flaky:
    """Fails so often, each time with what it is told to."""

    def __init__(self, failures: int, error: Callable[[], Exception]) -> None:
        self.failures, self.error = failures, error
        self.at: list[float] = []

    def step(self, clock: VirtualClock) -> Any:
        async def step(state: int, ctx: Any) -> Any:
            self.at.append(clock.wall())
            if len(self.at) <= self.failures:
                raise self.error()
            return Complete([ctx.attempt_index, len(self.at)])

        return step


def overloaded(after_s: float) -> Callable[[], Exception]:
    def make() -> Exception:
        error = StepExecutionError("come back later", error_category=ErrorCategory.TRANSIENT)
        error.retry_after_s = after_s  # type: ignore[attr-defined]
        return error

    return make


def test_a_retry_after_is_a_timer_of_the_run_and_no_sleep_of_the_process() -> None:
    async def main() -> None:
        place = Place()
        flaky = Flaky(1, overloaded(HOUR))
        left = await place.runner(flaky.step(place.clock)).start(run_id="a", initial_state=0)
        assert (left.status, left.reason, left.wake_at) == ("waiting", "retry", flaky.at[0] + HOUR)
        record = await place.store.get_run("a")
        assert (record.attempt_index, record.counters.failed_attempts, record.owner) == (1, 1, None)
        (attempt,) = await place.store.get_attempts("a")
        assert attempt.retry_at == record.wake_at
        assert (await place.runner(flaky.step(place.clock)).resume(run_id="a")).status == "waiting"
        place.clock.advance(HOUR)
        assert (await place.runner(flaky.step(place.clock)).resume(run_id="a")).result == [1, 2]

    play(main)


def test_a_short_backoff_stays_in_process() -> None:
    async def main() -> None:
        place = Place()
        flaky = Flaky(2, overloaded(DURABLE_BACKOFF_S))
        result = await place.runner(flaky.step(place.clock)).start(run_id="a", initial_state=0, wait_s=0)
        assert (result.result, len(await place.store.get_claims("a"))) == ([2, 3], 1)

    play(main)


def test_a_retry_that_was_paused_meanwhile_is_still_a_retry() -> None:
    async def main() -> None:
        place = Place()
        step = Flaky(1, overloaded(HOUR)).step(place.clock)
        first = await place.runner(step).start(run_id="a", initial_state=0, wait_s=0)
        await pause_run(place.store, "a", Person(name="ann"))
        again = await place.runner(step).resume(run_id="a", wait_s=0)
        assert (again.status, again.reason, again.wake_at) == ("waiting", "retry", first.wake_at)

    play(main)


def test_attempts_are_counted_over_durable_backoffs() -> None:
    async def main() -> None:
        place = Place()
        flaky = Flaky(9, overloaded(HOUR))
        policy = RetryPolicy(max_attempts=4)
        with pytest.raises(StepExecutionError):
            await place.runner(flaky.step(place.clock), retry_policy=policy).start(
                run_id="a", initial_state=0, wait_s=math.inf
            )
        assert [round(at - flaky.at[0]) for at in flaky.at] == [0, 3600, 7200, 10800]
        assert [a.attempt_index for a in await place.store.get_attempts("a")] == [0, 1, 2, 3]

    play(main)


def test_a_retry_of_a_step_that_a_signal_woke_waits_for_its_time_and_keeps_the_signal() -> None:
    async def main() -> None:
        place = Place()
        tries: list[Any] = []

        async def step(state: Any, ctx: Any) -> Any:
            if state == 0:
                return Wait(1, signal="go", timeout=10 * HOUR)
            tries.append((ctx.signal.payload, ctx.signal.timed_out))
            if len(tries) == 1:
                raise overloaded(HOUR)()
            return Complete(len(tries))

        await place.runner(step).start(run_id="a", initial_state=0)
        await place.store.send_signal("a", "go", '"now"')
        assert (await place.runner(step).resume(run_id="a")).reason == "retry"
        assert (await place.runner(step).resume(run_id="a")).status == "waiting"
        place.clock.advance(HOUR)
        assert (await place.runner(step).resume(run_id="a")).result == 2
        assert tries == [("now", False), ("now", False)]
        (signal,) = await place.store.get_signals("a")
        assert signal.consumed_by == 1

    play(main)


@pytest.mark.parametrize("backoff_s", [1.0, HOUR])
def test_the_attempts_that_retry_failed_gives_are_known_to_whoever_goes_on_after_an_interruption(
    backoff_s: float,
) -> None:
    async def main() -> None:
        place = Place()
        flaky = Flaky(99, overloaded(backoff_s))
        policy = RetryPolicy(max_attempts=3)

        def runner() -> AgentRunner:
            return place.runner(flaky.step(place.clock), retry_policy=policy)

        with pytest.raises(StepExecutionError):
            await runner().start(run_id="a", initial_state=0, wait_s=math.inf)
        assert len(flaky.at) == 3
        first = runner()
        going = asyncio.ensure_future(first.resume(run_id="a", retry_failed=True, wait_s=0))
        while len(flaky.at) < 4:
            await asyncio.sleep(0)
        first.request_stop()
        assert (await going).status in ("paused", "waiting")
        place.clock.advance(backoff_s)
        with pytest.raises(StepExecutionError):
            await runner().resume(run_id="a", wait_s=math.inf)
        assert len(flaky.at) == 6
        assert [a.attempt_index for a in await place.store.get_attempts("a")] == [*range(6)]

    play(main)


# -- slices, stops, other owners ----------------------------------------------------------------------------------


def test_a_slice_of_steps_ends_before_a_step_that_a_timer_would_wake() -> None:
    async def main() -> None:
        place = Place()
        result = await place.runner(nap).start(run_id="a", initial_state=0, max_steps=2, wait_s=math.inf)
        assert (result.status, result.step_index, round(place.clock.slept_s)) == ("waiting", 2, HOUR)

    play(main)


def test_a_stop_request_ends_the_wait_and_leaves_the_run_waiting() -> None:
    async def main() -> None:
        place = Place()
        place.clock._jump = lambda: asyncio.sleep(0)  # type: ignore[method-assign]  # time stands still
        r = place.runner(nap)
        going = asyncio.ensure_future(r.start(run_id="a", initial_state=0, wait_s=math.inf))
        while not place.clock._sleepers:
            await asyncio.sleep(0)
        r.request_stop()
        result = await going
        assert (result.status, result.reason, result.step_index) == ("waiting", "timer", 1)
        place.clock.advance(HOUR)
        assert (await r.resume(run_id="a", wait_s=0)).step_index == 2

    play(main)


def test_who_waits_in_process_does_not_hold_the_run_and_the_first_one_there_goes_on() -> None:
    async def main() -> None:
        place = Place()
        runs = [place.runner(nap).resume(run_id="a", wait_s=2 * HOUR) for _ in range(3)]
        await place.runner(nap).start(run_id="a", initial_state=2, wait_s=0)
        results = await asyncio.gather(*runs, return_exceptions=True)
        assert sum(getattr(r, "status", None) == "completed" for r in results) >= 1
        assert len(await place.store.get_claims("a")) == 2
        assert [s.outcome for s in await place.store.get_steps("a")] == ["initial", "sleep", "complete"]

    play(main)


@pytest.mark.parametrize("sleeps", [True, False])
def test_a_run_whose_owner_died_before_it_was_due_is_not_woken_by_that(sleeps: bool) -> None:
    """Somebody claims a waiting run to decide a call of it, and is killed before it is given back."""

    async def main() -> None:
        place = Place()
        step, first = (nap, 2) if sleeps else (ask, "begin")
        await place.runner(step).start(run_id="a", initial_state=first)
        before = await place.store.get_run("a")
        dead = attrs.evolve(this_owner(), pid=2**22 + 1, started="1")
        await place.store.claim("a", dead, 30, Admission(decide=True))
        assert (await place.runner(step).resume(run_id="a")).status == "waiting"
        after = await place.store.get_run("a")
        for field in ("status", "reason", "step_index", "wake_at", "wake_boot", "wake_signal", "timed_out"):
            assert getattr(after, field) == getattr(before, field)
        place.clock.advance(HOUR)
        assert (await place.runner(step).resume(run_id="a")).status == "completed"

    play(main)


def test_calls_before_a_sleep_are_never_made_again() -> None:
    async def main() -> None:
        place = Place()
        made: list[int] = []

        @tool(effect="once")
        async def pay(amount: int) -> int:
            """Pay."""
            made.append(amount)
            return amount

        async def step(state: int, ctx: Any) -> Any:
            if state == 2:
                return Complete(made)
            await ctx.call_tool("pay", amount=state)
            return Sleep(state + 1, seconds=HOUR)

        assert (await place.runner(step, pay).start(run_id="a", initial_state=0, wait_s=math.inf)).result == [0, 1]

    play(main)


def test_a_run_that_sleeps_for_a_week_is_over_at_once() -> None:
    async def doze(state: int, ctx: Any) -> Any:
        return Complete(state) if state == 365 else Sleep(state + 1, seconds=24 * HOUR)

    async def main() -> None:
        place = Place()
        result = await place.runner(doze).start(run_id="a", initial_state=358, wait_s=math.inf)
        assert (result.result, round(place.clock.slept_s)) == (365, 7 * 24 * HOUR)

    play(main)


def test_a_step_that_sleeps_shows_the_state_to_the_next_one_only_when_it_is_due() -> None:
    async def step(state: list[float], ctx: Any) -> Any:
        now = ctx.now().timestamp()
        if len(state) == 3:
            return Complete([round(b - a) for a, b in itertools.pairwise(state)])
        return Sleep([*state, now], seconds=10.0) if len(state) % 2 else Continue([*state, now])

    async def main() -> None:
        place = Place()
        assert (await place.runner(step).start(run_id="a", initial_state=[])).result == [0, 10]

    play(main)
