"""What an explanation says of a run of each kind: where it stands, what happened, what resuming would do."""

from __future__ import annotations

import json

import pytest

from loom_core.contracts.stores import AgentRecord, Settlement
from loom_core.errors import RunNotFound
from loom_core.runtime.explain import explain
from loom_core.testing import MemoryStore
from tests.core.explain.support import Scene, encoded, end, error, play, text_of


def commands(explanation: object) -> list[str]:
    return [c.line for c in explanation.resuming.commands]  # type: ignore[attr-defined]


def test_a_completed_run_says_its_result_and_that_nothing_is_left() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(0, 1)
        await scene.writer.settle(Settlement(step_index=2, status="completed", outcome="complete", result='"42"'))
        told = await scene.explained()
        text = text_of(told)
        assert told.standing.status == "completed"
        assert 'result    "42"' in text
        assert "steps 0–2: 3 steps without calls" in text
        assert "Nothing is left to do" in text
        assert commands(told) == ["loom-runner resume --run-id r --db memory"]

    play(main)


def test_a_run_held_by_a_living_owner_names_it_and_says_to_wait() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(0)
        await scene.call(1)
        told = await scene.explained()
        assert told.standing.status == "running"
        assert "process 101 on box works on step 1" in text_of(told)
        assert "wait until it is done" in text_of(told)
        assert told.in_doubt == ()
        assert commands(told) == ["loom-runner explain --run-id r --db memory"]

    play(main)


def test_a_run_whose_owner_fell_silent_is_orphaned_and_its_open_call_is_in_doubt() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(0)
        await scene.call(1)
        scene.clocks.advance(60)
        told = await scene.explained()
        text = text_of(told)
        assert told.standing.status == "orphaned"
        assert "process 101 on box, has been silent for longer than its lease" in text
        assert [d.call_id for d in told.in_doubt] == ["1/0"]
        assert "may or may not have happened" in text
        assert "it started, and no end is recorded" in text
        assert "Takes the run over at once and executes step 1 again, from its start." in text
        assert "`charge` (once, call 1/0) may or may not have happened: its reconcile is asked if it has one" in text
        assert (
            told.resuming.what[0]
            == "Find out first whether call 1/0 happened, and say so with a command below. Then resuming:"
        )
        assert commands(told) == [
            "loom-runner resolve 1/0 --result JSON --run-id r --db memory",
            "loom-runner resolve 1/0 --retry --run-id r --db memory",
            "loom-runner resolve 1/0 --fail MESSAGE --run-id r --db memory",
            "loom-runner resume --run-id r --db memory",
        ]

    play(main)


def test_a_takeover_says_who_was_dead() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(0)
        scene.clocks.advance(60)
        await scene.claim()
        text = text_of(await scene.explained())
        assert "claimed by process 202 on box at step 1 (epoch 2), found running" in text
        assert "the previous owner, process 101 on box, had died or fallen silent" in text

    play(main)


def test_a_doubt_gives_the_three_commands_that_decide_it() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0, "unknown", error=error("TimeoutError", "after 30 s", "transient")))
        await scene.store.keep_late_result("r", 0, "0", 0, '"charged after all"')
        await scene.writer.settle(Settlement(step_index=0, status="waiting", reason="doubt:0/0"))
        told = await scene.explained()
        text = text_of(told)
        assert "waiting: for a person to decide call 0/0" in text
        assert "it started, and ended in TimeoutError: after 30 s" in text
        assert 'evidence: after that it returned "charged after all"' in text
        assert "IN DOUBT" in text
        assert commands(told) == [
            "loom-runner resolve 0/0 --result JSON --run-id r --db memory",
            "loom-runner resolve 0/0 --retry --run-id r --db memory",
            "loom-runner resolve 0/0 --fail MESSAGE --run-id r --db memory",
            "loom-runner resume --run-id r --db memory",
        ]

    play(main)


def test_a_decision_is_told_with_who_took_it() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0, "unknown"))
        await scene.writer.settle(Settlement(step_index=0, status="waiting", reason="doubt:0/0"))
        await scene.claim(decide=True)
        await scene.writer.end_call(end(0, "done", decided_by="alice"))
        await scene.writer.settle(Settlement(step_index=0, status="queued", reason="resolved"))
        told = await scene.explained()
        text = text_of(told)
        assert "call 0/0 no certain end recorded: charge(amount=12.5) [once]\n" in text
        assert 'call 0/0 (charge) decided by alice: it happened, result "ok" (process 202 on box)' in text
        assert "claimed by" not in text
        assert "a call in doubt was decided; nobody has resumed the run since" in text
        assert "1 finished call of it will not be made again; the recorded result is used." in text
        assert told.in_doubt == ()

    play(main)


def test_a_call_that_reconcile_found_undone_is_called_again() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0, "failed", not_started=True, decided_by="reconcile"))
        await scene.writer.settle(Settlement(step_index=0, status="paused", reason="interrupt"))
        text = text_of(await scene.explained())
        assert "decided by its reconcile: it did not happen and may be made again" in text
        assert "`charge` (once, call 0/0) did not happen and is called again." in text

    play(main)


def test_an_undecided_once_call_of_an_earlier_step_is_told_as_passed_over() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0, "unknown"))
        await scene.commit(0)
        told = await scene.explained()
        assert [d.open for d in told.in_doubt] == [False]
        assert "the run went on without it" in text_of(told)

    play(main)


def test_a_failure_says_where_why_and_how_to_try_again() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(0)
        await scene.fail_attempt(1, 0)
        await scene.call(1, end(1, "failed", error=error()), effect="read", name="look", attempt_index=1)
        attempt = await scene.fail_attempt(1, 1, delay_s=None)
        failed = Settlement(step_index=1, status="failed", attempt_index=1, error=error(), attempt=attempt)
        await scene.writer.settle(failed)
        told = await scene.explained()
        text = text_of(told)
        assert "attempt 1 FAILED after 250ms, tried again after 500ms (transient): ConnectionError: the" in text
        assert "attempt 2 FAILED after 250ms, not tried again" in text
        assert "failed: at step 1: ValueError: no such customer" in text
        assert '/srv/agent.py, line 42, in step: await ctx.call_tool("charge")' in text
        assert "step 1, attempt 2 (validation)" in text
        assert "`look` (read, call 1/0) failed, and is called again." in text
        assert commands(told) == ["loom-runner resume --run-id r --db memory --retry-failed"]
        assert told.failed_at is not None
        assert (told.failed_at.step_index, told.failed_at.attempt_index) == (1, 1)

    play(main)


def test_a_failed_once_call_is_not_made_again_by_retrying() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0, "failed", error=error()))
        attempt = await scene.fail_attempt(0, 0, delay_s=None)
        await scene.writer.settle(Settlement(step_index=0, status="failed", error=error(), attempt=attempt))
        assert "is not called again: the step is given its recorded error" in text_of(await scene.explained())

    play(main)


def test_a_pause_says_why_and_goes_on() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(0, 1)
        await scene.writer.settle(Settlement(step_index=2, status="paused", reason="slice:steps"))
        told = await scene.explained()
        assert "paused: its slice (--max-steps) was used up" in text_of(told)
        assert "Goes on: executes step 2." in text_of(told)

    play(main)


def test_a_signal_is_told_when_it_comes_and_makes_the_run_due() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        wait = Settlement(
            step_index=0,
            status="waiting",
            outcome="wait",
            state=encoded("1"),
            reason="signal:go",
            wake_signal="go",
        )
        await scene.writer.settle(wait)
        before = await scene.explained()
        assert "waiting: for the signal `go`" in text_of(before)
        assert "Nothing until the signal `go` comes" in text_of(before)
        scene.clocks.advance(5)
        await scene.store.send_signal("r", "go", '{"by": "me"}')
        after = await scene.explained()
        lines = text_of(after).splitlines()
        assert "Goes on: executes step 1." in text_of(after)
        came = next(i for i, line in enumerate(lines) if "signal `go` came, not consumed yet" in line)
        assert "waiting: for the signal `go`" in lines[came - 1]
        await scene.claim()
        await scene.commit(1)
        assert "signal `go` came, consumed by step 1" in text_of(await scene.explained())

    play(main)


def test_a_conversation_is_resumed_by_loom_run() -> None:
    async def main() -> None:
        scene = await Scene.begin(AgentRecord(name="loom-run chat", reference="loom-run"))
        await scene.writer.settle(
            Settlement(
                step_index=0,
                status="waiting",
                outcome="wait",
                state=encoded("1"),
                reason="signal:message",
                wake_signal="message",
            )
        )
        told = await scene.explained()
        assert told.standing.words == "your turn"
        assert commands(told) == ["loom-run chat 'YOUR MESSAGE' --run-id r --db memory"]

    play(main)


def test_an_agent_made_in_code_has_to_be_named() -> None:
    async def main() -> None:
        scene = await Scene.begin(AgentRecord(name="counter"))
        await scene.writer.settle(Settlement(step_index=0, status="paused", reason="interrupt"))
        told = await scene.explained()
        assert "made in code" in text_of(told)
        assert commands(told) == ["loom-runner resume AGENT --run-id r --db memory"]

    play(main)


def test_a_model_call_shows_its_answer_its_tokens_and_its_time() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        answer = {
            "model": "m",
            "finish": "tool_calls",
            "text": "let me look",
            "tool_calls": [{"id": "1", "name": "look", "arguments": '{"x": 1}'}],
        }
        await scene.call(
            0,
            end(0, result=json.dumps(answer), tokens_in=1200, tokens_out=34),
            kind="model",
            name="mock:m",
            effect="idempotent",
            took_s=1.5,
        )
        text = text_of(await scene.explained())
        assert 'call 0/0 done, 1.5s, 1,200 + 34 tokens: model mock:m → "let me look", asks for look(x=1)' in text

    play(main)


def test_a_step_begun_again_after_a_crash_says_so_and_keeps_its_order() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(0)
        await scene.call(1, key="0", effect="read", name="look")
        scene.clocks.advance(60)
        await scene.claim()
        await scene.call(1, end(1, try_index=1), try_index=1, effect="read", name="look")
        await scene.commit(1)
        kinds = [e.to_data()["kind"] for e in (await scene.explained()).timeline]
        assert kinds == ["created", "steps", "step", "call", "claimed", "step", "call", "committed"]
        text = text_of(await scene.explained())
        assert "call 1/0 interrupted" in text
        assert "step 1, executed again from its start" in text
        assert "call 1/0~1 done, 500ms, try 2: look(amount=12.5) [read]" in text

    play(main)


def test_a_clock_that_was_set_back_does_not_shuffle_the_story() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0))
        await scene.commit(0)
        scene.clocks.wall_s -= 3600
        await scene.call(1, end(1))
        await scene.commit(1)
        steps = [e.step_index for e in (await scene.explained()).timeline if e.kind in ("step", "committed")]  # type: ignore[attr-defined]
        assert steps == [0, 0, 1, 1]

    play(main)


def test_the_data_is_json_and_holds_the_same_facts() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0, "unknown"))
        await scene.fail_attempt(0, 0)
        await scene.writer.settle(Settlement(step_index=0, status="waiting", reason="doubt:0/0"))
        data = json.loads(json.dumps((await scene.explained()).to_data(), allow_nan=False))
        assert data["schema"] == "loom.runner.explain/1"
        assert (data["run_id"], data["status"], data["reason"]) == ("r", "waiting", "doubt:0/0")
        assert [e["kind"] for e in data["timeline"]] == ["created", "step", "call", "attempt_failed", "left"]
        assert data["in_doubt"][0]["call_id"] == "0/0"
        assert data["resuming"]["commands"][1]["command"].startswith("loom-runner resolve 0/0 --retry")

    play(main)


def test_an_unknown_run_is_an_error() -> None:
    with pytest.raises(RunNotFound):
        play(lambda: explain(MemoryStore(), "nobody"))
