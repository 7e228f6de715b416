"""What a person decides on is never cut; what was decided, and what was said, is told where it happened."""

from __future__ import annotations

import json

from loom_core.contracts.stores import AgentRecord, ErrorRecord, Settlement
from loom_core.runtime.explain.text import MAX_WHOLE
from tests.core.explain.support import Scene, encoded, end, error, play, text_of

CHAT = AgentRecord(name="loom-run chat", reference="loom-run")
LONG = "account " + "0123456789 " * 40 + "END"


def squeezed(text: str) -> str:
    return " ".join(text.split())


async def doubtful(arguments: dict[str, object]) -> Scene:
    scene = await Scene.begin()
    lost = error("TimeoutError", f"no answer from {LONG}", "transient")
    await scene.call(0, end(0, "unknown", error=lost), arguments=json.dumps(arguments))
    await scene.store.keep_late_result("r", 0, "0", 0, json.dumps(LONG))
    await scene.writer.settle(Settlement(step_index=0, status="waiting", reason="doubt:0/0"))
    return scene


def test_every_argument_of_a_doubtful_call_is_shown_whole_on_a_narrow_terminal() -> None:
    async def main() -> None:
        arguments = {"to": LONG, "amount": 12.5, "note": {"deep": [1, 2]}}
        lines = (await (await doubtful(arguments)).explained()).lines(width=60)
        assert max(map(len, lines)) <= 60
        below = squeezed("\n".join(lines[lines.index("In doubt: may or may not have happened") :]))
        assert f'to="{LONG}" amount=12.5 note={{"deep": [1, 2]}}' in below
        assert f"ended in TimeoutError: no answer from {LONG}" in below
        assert f'evidence: after that it returned "{LONG}"' in below
        assert "[once], started 2" in below

    play(main)


def test_a_value_that_nobody_reads_to_its_end_is_cut_with_a_word() -> None:
    async def main() -> None:
        told = await (await doubtful({"body": "x" * 100_000})).explained()
        text = text_of(told, width=None)
        assert "(cut here: 100,002 characters in all)" in text
        assert max(map(len, text.splitlines())) < 2 * MAX_WHOLE
        assert json.loads(told.in_doubt[0].arguments)["body"] == "x" * 100_000

    play(main)


def test_the_status_is_wrapped_and_says_the_error_to_its_end() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        why = ErrorRecord(type="ValueError", message=LONG, category="validation")
        await scene.writer.settle(Settlement(step_index=0, status="failed", error=why))
        lines = (await scene.explained()).lines(width=60)
        assert max(map(len, lines)) <= 60
        assert f"status failed: at step 0: ValueError: {LONG} since" in squeezed("\n".join(lines))

    play(main)


def test_without_a_width_no_line_of_the_timeline_is_cut_and_with_all_it_is_wrapped() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(0)
        scene.clocks.advance(60)
        await scene.claim()
        await scene.call(1, end(1, "failed", error=error(message=LONG)), effect="read")
        told = await scene.explained()
        reason = "the previous owner, process 101 on box, had died or fallen silent"
        assert reason in text_of(told, width=None)
        assert f"FAILED (ValueError: {LONG})" in text_of(told, width=None)
        wrapped = told.lines(width=50, all=True)
        assert max(map(len, wrapped)) <= 50
        assert reason in squeezed("\n".join(wrapped))
        assert f"FAILED (ValueError: {LONG})" in squeezed("\n".join(wrapped))
        assert reason not in squeezed("\n".join(told.lines(width=50)))

    play(main)


def test_steps_are_grouped_in_sentences_and_plain_in_commands() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(*range(2500))
        await scene.call(2500, end(2500, "unknown"))
        failed = ErrorRecord(type="E", message="m", category="unknown")
        await scene.writer.settle(Settlement(step_index=2500, status="failed", error=failed))
        told = await scene.explained()
        assert told.standing.words == "at step 2,500: E: m"
        assert "Tries step 2,500 again, from its start." in told.resuming.what
        assert "step 2500" not in text_of(told)
        assert "call 2500/0" in text_of(told)

    play(main)


def test_a_decided_doubt_is_told_twice_once_as_it_was_and_once_as_it_was_decided() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0)
        scene.clocks.advance(60)
        await scene.claim()
        await scene.writer.settle(Settlement(step_index=0, status="waiting", reason="doubt:0/0"))
        scene.clocks.advance(600)
        await scene.claim(decide=True)
        await scene.writer.end_call(end(0, "done", decided_by="alice"))
        await scene.writer.settle(Settlement(step_index=0, status="queued", reason="resolved"))
        scene.clocks.advance(600)
        await scene.claim()
        await scene.commit(0)
        told = await scene.explained()
        assert [e.kind for e in told.timeline] == [
            "created",
            "step",
            "call",
            "claimed",
            "decided",
            "claimed",
            "step",
            "committed",
        ]
        call, decided = told.timeline[2], told.timeline[4]
        assert call.at is not None
        assert decided.at is not None
        assert decided.at - call.at > 600
        text = text_of(told)
        assert "call 0/0 no certain end recorded: charge(amount=12.5) [once]\n" in text
        assert 'decided by alice: it happened, result "ok" (process 202 on box)' in text

    play(main)


def test_a_decision_that_took_the_run_from_a_dead_owner_does_not_hide_that() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0)
        scene.clocks.advance(60)
        await scene.claim(decide=True)
        await scene.writer.end_call(end(0, "done", decided_by="alice"))
        await scene.writer.settle(Settlement(step_index=0, status="queued", reason="resolved"))
        text = text_of(await scene.explained())
        assert "found running: the previous owner, process 101 on box, had died or fallen silent" in text
        assert 'decided by alice: it happened, result "ok"' in text

    play(main)


def test_a_claim_that_worked_is_not_folded_into_a_decision() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0, "unknown"))
        await scene.writer.settle(Settlement(step_index=0, status="paused", reason="interrupt"))
        await scene.claim()
        await scene.writer.end_call(end(0, "failed", not_started=True, decided_by="reconcile"))
        await scene.commit(0)
        text = text_of(await scene.explained())
        assert "claimed by process 202 on box at step 0 (epoch 2), found paused" in text
        assert "decided by its reconcile: it did not happen and may be made again" in text

    play(main)


def test_a_failed_run_names_how_to_decide_again_what_a_person_decided() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0, "done", result="5", decided_by="alice"))
        await scene.writer.settle(Settlement(step_index=0, status="failed", error=error()))
        told = await scene.explained()
        assert [c.line for c in told.resuming.commands] == [
            "loom-runner resume --run-id r --db memory --retry-failed",
            "loom-runner resolve 0/0 --result JSON --run-id r --db memory",
            "loom-runner resolve 0/0 --retry --run-id r --db memory",
        ]
        assert "if what alice decided of call 0/0 was wrong, decide it again:" in text_of(told)

    play(main)


def test_a_conversation_tells_what_the_person_said() -> None:
    async def main() -> None:
        scene = await Scene.begin(CHAT, state=json.dumps({"messages": [{"role": "user", "content": 'say "hi"\x1b'}]}))
        await scene.call(0, end(0), kind="model", name="mock:m", effect="idempotent")
        wait = Settlement(
            step_index=0,
            status="waiting",
            outcome="wait",
            state=encoded("1"),
            reason="signal:message",
            wake_signal="message",
        )
        await scene.writer.settle(wait)
        scene.clocks.advance(5)
        await scene.store.send_signal("r", "message", json.dumps({"role": "user", "content": "and then?"}))
        lines = [line.strip()[10:] for line in (await scene.explained()).lines(width=None)]
        assert 'you (not taken up yet): "and then?"' in lines
        await scene.claim()
        await scene.commit(1)
        await scene.store.send_signal("r", "message", "17")
        lines = [line.strip()[10:] for line in (await scene.explained()).lines(width=None)]
        assert 'you: "say \\"hi\\"\\u001b"' in lines
        assert lines.index('you: "and then?"') == lines.index("step 1") - 1
        assert 'you (not taken up yet): "17"' in lines
        assert not any("signal `message` came" in line for line in lines)

    play(main)
