"""`run`, `resume` and `resolve`: what they do for each status, what they print where, what they end with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from loom_core import open_store
from tests.apps.runner.support import AGENT, Shell

EXAMPLE = Path(__file__).parents[3] / "examples" / "counter_agent.py"


def send_signal(name: str) -> None:
    async def main() -> None:
        store = open_store("runs.sqlite", "write")
        await store.send_signal("r", name, "null")
        await store.aclose()

    asyncio.run(main())


def test_the_example_pauses_after_its_slice_and_is_completed_by_resume(shell: Shell) -> None:
    place = ("--run-id", "demo", "--db", "runs.sqlite")
    begun = shell("run", str(EXAMPLE), *place, "--max-steps", "5")
    assert (begun.status, begun.out) == (0, "")
    assert "run `demo` is paused at step 5" in begun.err
    assert "next: loom-runner resume --run-id demo --db runs.sqlite" in begun.err
    done = shell("resume", str(EXAMPLE), *place)
    assert (done.status, done.out) == (0, "10\n")
    explained = shell("explain", str(EXAMPLE), *place)
    assert explained.status == 0
    assert "completed: after 10 steps" in explained.out
    assert shell("history", *place, "--json").data["steps"][-1]["outcome"] == "complete"


def test_run_of_a_completed_run_prints_its_stored_result_for_the_same_input_only(shell: Shell) -> None:
    first = shell.run(target=3)
    before = shell.snapshot()
    again = shell.run(target=3)
    assert (again.status, again.out) == (0, first.out)
    assert "stored result" in again.err
    assert "step 0" not in again.err
    other = shell.run(target=4)
    assert (other.status, other.out) == (2, "")
    assert other.err.startswith("error: run `r` exists already and is completed")
    assert shell.snapshot() == before


def test_run_on_an_id_in_use_names_its_status_and_the_way_on(shell: Shell) -> None:
    shell.run("--max-steps", "1")
    again = shell.run()
    assert again.status == 2
    assert again.err.splitlines() == [
        "error: run `r` exists already and is paused",
        "hint: go on with it: loom-runner resume --run-id r --db runs.sqlite; "
        "look at it: loom-runner explain --run-id r --db runs.sqlite",
    ]


def test_json_of_run_is_one_document_whatever_the_agent_prints(shell: Shell) -> None:
    done = shell.run("--json", target=2)
    assert "step 1" in done.err
    data = done.data
    assert data["schema"] == "loom.runner.run/1"
    assert {k: data[k] for k in ("run_id", "status", "reason", "step_index", "result", "error", "next")} == {
        "run_id": "r",
        "status": "completed",
        "reason": None,
        "step_index": 2,
        "result": {"count": 2},
        "error": None,
        "next": None,
    }


def test_a_text_result_is_printed_as_it_is(shell: Shell) -> None:
    shell.write(
        "texts.py",
        "from loom_core import Agent, Complete\nasync def step(s, ctx):\n    return Complete('a\\nb \\x1b[31m')\n"
        "agent = Agent(name='t', step=step)\n",
    )
    assert shell("run", "texts.py", "--run-id", "t").out == "a\nb \\x1b[31m\n"


def test_input_may_come_from_a_file(shell: Shell) -> None:
    shell.write("state.json", '{"target": 1}')
    done = shell("run", "agent.py", "--run-id", "r", "--input", "@state.json")
    assert (done.status, json.loads(done.out)) == (0, {"count": 1})


@pytest.mark.parametrize("durability", ["standard", "strict"])
def test_durability_and_seconds_are_taken(shell: Shell, durability: str) -> None:
    paused = shell.run("--durability", durability, "--max-seconds", "0.02", "--json", target=10**9)
    assert paused.status == 0
    assert (paused.data["status"], paused.data["reason"]) == ("paused", "slice:seconds")
    done = shell("resume", "--run-id", "r", "--durability", durability, "--max-steps", "1", "--json").data
    assert (done["step_index"], done["reason"]) == (paused.data["step_index"] + 1, "slice:steps")


def test_a_failing_step_is_one_sentence_with_its_place_and_1(shell: Shell, tmp_path: Path) -> None:
    failed = shell.run(fail_at=2)
    assert (failed.status, failed.out) == (1, "")
    errors = [line for line in failed.err.splitlines() if not line.startswith("step ")]
    assert errors[0].startswith("error: run `r` failed at step 2: ValueError: no such customer (")
    assert "agent.py, line " in errors[0]
    assert errors[1:] == ["hint: when the cause is gone: loom-runner resume --run-id r --db runs.sqlite --retry-failed"]
    assert not (tmp_path / "cache").exists()


def test_a_traceback_is_shown_only_when_asked_for(shell: Shell) -> None:
    assert "Traceback" not in shell.run(fail_at=0).err
    asked = shell.run("--traceback", fail_at=0, run_id="other")
    assert 'raise ValueError("no such customer")' in asked.err


def test_json_of_a_failing_step_has_the_error_and_the_next_command(shell: Shell) -> None:
    failed = shell.run("--json", fail_at=0)
    assert failed.status == 1
    assert failed.data["status"] == "failed"
    assert failed.data["error"]["type"] == "ValueError"
    assert "agent.py" in failed.data["error"]["line"]
    assert failed.data["next"].endswith("--retry-failed")


def test_resume_of_a_failed_run_says_why_and_retries_only_when_told(shell: Shell) -> None:
    shell.run(fail_at=1, target=3)
    before = shell.snapshot()
    for argv in (("resume",), ("resume", "agent.py")):
        told = shell(*argv, "--run-id", "r")
        assert (told.status, "ValueError: no such customer" in told.err) == (1, True)
    assert shell.snapshot() == before
    shell.write("mended", "")
    again = shell("resume", "--run-id", "r", "--retry-failed")
    assert (again.status, json.loads(again.out)) == (0, {"count": 3})


def test_resume_without_agent_says_which_file_it_uses(shell: Shell) -> None:
    shell.run("--max-steps", "1", target=3)
    done = shell("resume", "--run-id", "r")
    assert done.status == 0
    assert f"using the agent that is stored with the run: {shell.place / 'agent.py'}" in done.err


def test_resume_of_a_completed_run_needs_no_agent_file(shell: Shell) -> None:
    shell.run(target=2)
    (shell.place / "agent.py").unlink()
    done = shell("resume", "--run-id", "r")
    assert (done.status, json.loads(done.out)) == (0, {"count": 2})


def test_a_waiting_run_ends_with_4_until_its_signal_comes(shell: Shell) -> None:
    waits = shell.run(wait_at=1, target=3)
    assert (waits.status, waits.out) == (4, "")
    assert "waiting at step 2, for the signal `go`" in waits.err
    assert shell("resume", "--run-id", "r", "--json").data["reason"] == "signal:go"
    send_signal("go")
    assert shell("resume", "--run-id", "r").status == 0


@pytest.mark.parametrize(
    ("decision", "status"),
    [(("--result", '"paid"'), 0), (("--fail", "refused"), 1), (("--fail",), 1), (("--retry",), 4)],
)
def test_a_doubt_waits_for_a_person_and_goes_as_decided(shell: Shell, decision: tuple[str, ...], status: int) -> None:
    waits = shell.run(doubt_at=1, target=3)
    assert waits.status == 4
    assert "for a person to decide call 1/0" in waits.err
    assert shell("resume", "--run-id", "r").status == 4
    decided = shell("resolve", "1/0", "--run-id", "r", "--as", "alice", *decision)
    assert (decided.status, decided.out) == (0, "")
    assert "is decided by alice" in decided.err
    assert "next: loom-runner resume --run-id r --db runs.sqlite" in decided.err
    assert "decided by alice" in shell("explain", "--run-id", "r").out
    assert shell("resume", "--run-id", "r").status == status


def test_json_of_resolve_shows_the_decided_call(shell: Shell) -> None:
    shell.run(doubt_at=0)
    data = shell("resolve", "0/0", "--run-id", "r", "--result", '"5"', "--json").data
    assert data["schema"] == "loom.runner.resolve/1"
    assert (data["call"]["status"], data["call"]["result"], data["status"]) == ("done", "5", "queued")


def test_a_module_with_build_runner_is_an_agent(shell: Shell) -> None:
    shell.write(
        "built.py",
        AGENT + "\ndel agent\nfrom loom_core import AgentRunner\n"
        "def build_runner(db):\n    return AgentRunner(step=step, store=db, tools=(look, charge))\n"
        "def initial_state():\n    return State(target=3)\n",
    )
    assert shell("run", "built.py", "--run-id", "r", "--max-steps", "2").status == 0
    done = shell("resume", "--run-id", "r")
    assert (done.status, json.loads(done.out)) == (0, {"count": 3})
    assert json.loads(shell("run", "built.py", "--run-id", "r").out) == {"count": 3}


def test_verbose_tells_of_calls_as_they_happen(shell: Shell) -> None:
    assert "call 0/0 look begins" in shell.run("-v", look_at=0, target=1).err


def test_quiet_says_nothing_but_the_result(shell: Shell) -> None:
    shell.write("quiet.py", AGENT.replace('print("step", state.count)', "pass"))
    done = shell("run", "quiet.py", "--run-id", "r", "-q")
    assert (json.loads(done.out), done.err) == ({"count": 10}, "")
