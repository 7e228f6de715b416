"""What explain says of runs that wait, slept, timed out, or were quarantined."""

from __future__ import annotations

from typing import Any

from loom_core.contracts.people import Person
from loom_core.contracts.stores import Settlement
from loom_core.contracts.timers import BootTime
from loom_core.runtime.controlling import pause_run
from loom_core.runtime.owners import boot_id
from tests.core.explain.support import Scene, encoded, play


def words(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


async def parked(reason: str, **wait: Any) -> Scene:
    scene = await Scene.begin()
    kind = "wait" if reason.startswith("signal:") else "sleep"
    await scene.writer.settle(
        Settlement(step_index=0, status="waiting", reason=reason, outcome=kind, state=encoded("1"), **wait)  # type: ignore[arg-type]
    )
    return scene


def test_a_sleeping_run_says_until_when_and_how_long_that_is() -> None:
    async def main() -> None:
        scene = await parked("timer", wake_at=1_750_000_000.0 + 7201)
        told = words((await scene.explained()).lines())
        assert "(in 2h)" in told
        assert "it then sleeps" in told
        assert "Nothing yet: it waits until" in told

    play(main)


def test_the_time_left_is_told_by_the_clock_that_counts() -> None:
    async def main() -> None:
        here = boot_id()
        if here is None:
            return
        scene = await parked("timer", wake_at=0.0, wake_boot=BootTime(boot_id=here, at_s=1_000.0 + 61))
        explanation = await scene.explained()
        assert explanation.standing.words.endswith("(in 1m)")
        assert not explanation.standing.due

    play(main)


def test_a_timer_that_has_come_is_something_to_go_on_with() -> None:
    async def main() -> None:
        scene = await parked("timer", wake_at=1_750_000_000.0 + 0.5)
        explanation = await scene.explained()
        assert explanation.standing.words.endswith("which has come")
        assert explanation.resuming.what[0].startswith("Goes on: executes step 1")

    play(main)


def test_a_wait_with_a_timeout_names_both_the_signal_and_the_time() -> None:
    async def main() -> None:
        scene = await parked("signal:go", wake_signal="go", wake_at=1_750_000_000.0 + 61)
        told = words((await scene.explained()).lines())
        assert "for the signal `go`, until" in told
        assert "(in 1m)" in told
        assert "or its time is over" in told

    play(main)


def test_a_retry_that_is_far_away_says_which_attempt_it_is_for() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        attempt = await scene.fail_attempt(0, 0, delay_s=None)
        await scene.writer.settle(
            Settlement(step_index=0, status="waiting", reason="retry", wake_at=1_750_003_600.0, attempt=attempt)
        )
        told = words((await scene.explained()).lines())
        assert "to try step 0 again (attempt 2)" in told
        assert "Then step 0 is executed again, from its start" in told

    play(main)


def test_a_step_that_went_on_without_its_signal_says_so_before_and_after_its_commit() -> None:
    async def main() -> None:
        scene = await parked("signal:go", wake_signal="go", wake_at=1_750_000_000.5)
        claimed = await scene.claim()
        assert claimed.record.timed_out
        await scene.call(1)
        under_way = words((await scene.explained()).lines())
        assert "step 1, without the signal `go`: its time was over" in under_way
        await scene.writer.commit(1, encoded("2"), 0, '{"timed_out":"go"}')
        told = words((await scene.explained()).lines())
        assert "step 1, without the signal `go`: its time was over" in told
        assert "found waiting for what had come" in told

    play(main)


def test_queued_runs_say_why_nobody_works_on_them() -> None:
    async def main() -> None:
        for reason, said in (
            ("submitted", "for a worker to begin it"),
            ("drained", "the worker that had it was stopped"),
        ):
            scene = await Scene.begin()
            await scene.writer.settle(Settlement(step_index=0, status="queued", reason=reason))
            assert said in (await scene.explained()).standing.words

    play(main)


def test_a_run_that_was_paused_while_it_waited_waits_on_when_it_is_resumed() -> None:
    async def main() -> None:
        waits = {
            "(in 1m). Then step 1": await parked("timer", wake_at=1_750_000_000.0 + 61),
            "It waits on for the signal `go`. Then": await parked("signal:go", wake_signal="go"),
            "executes step 1": await parked("timer", wake_at=1_750_000_000.0 + 0.5),
        }
        for told, scene in waits.items():
            await pause_run(scene.store, scene.run_id, Person(name="ann"))
            explanation = await scene.explained()
            assert explanation.standing.status == "paused"
            assert told in explanation.resuming.what[0]

    play(main)
