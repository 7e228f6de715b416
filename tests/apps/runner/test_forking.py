"""`fork`, `diff`, `watch` and `history --step`: what they print, what they ask, what they end with."""

from __future__ import annotations

import json

import pytest

from tests.apps.runner.support import Shell


def _with_effects(shell: Shell) -> None:
    text = (shell.place / "agent.py").read_text()
    agent = text.replace('    raise TimeoutError("no answer")', "    return amount")
    shell.write("agent.py", agent.replace('-> str:\n    "Charge', '-> int:\n    "Charge'))
    shell.run(doubt_at=4)


def test_a_fork_prints_its_id_and_the_next_command_and_goes_on(shell: Shell) -> None:
    shell.run()
    told = shell("fork", "--run-id", "r", "--from-step", "3")
    assert (told.status, told.out) == (0, "r-fork-3\n")
    assert told.err.splitlines() == [
        "run `r-fork-3` is forked from `r` at step 3",
        "next: loom-runner resume --run-id r-fork-3 --db runs.sqlite",
    ]
    assert shell("get", "--run-id", "r-fork-3", "--json").data["reason"] == "forked"
    assert shell("resume", "--run-id", "r-fork-3").out == '{\n  "count": 10\n}\n'
    assert shell("diff", "r", "r-fork-3").status == 0
    assert shell("verify").status == 0


def test_effects_that_happen_again_are_listed_and_need_a_yes_where_there_is_no_terminal(shell: Shell) -> None:
    _with_effects(shell)
    before = shell.snapshot()
    told = shell("fork", "--run-id", "r", "--from-step", "3")
    assert told.status == 2
    assert "  call 4/0: charge(amount=5) [once], it happened" in told.err
    assert "hint: say that they may: --yes" in told.err
    assert shell.snapshot() == before
    assert shell("fork", "--run-id", "r", "--from-step", "3", "--json").status == 2
    assert shell("fork", "--run-id", "r", "--from-step", "5").status == 0
    made = shell("fork", "--run-id", "r", "--from-step", "3", "--yes", "--new-id", "second", "--json")
    assert made.status == 0
    assert (made.data["schema"], made.data["forked_from"], made.data["forked_step"]) == ("loom.runner.fork/1", "r", 3)
    assert [call["call_id"] for call in made.data["again"]["effects"]] == ["4/0"]
    assert made.data["next"] == "loom-runner resume --run-id second --db runs.sqlite"


def test_a_fork_of_what_is_not_there_is_bad_input_and_makes_nothing(shell: Shell) -> None:
    shell.run()
    for options in (("r", "11"), ("r", "99"), ("never", "0")):
        told = shell("fork", "--run-id", options[0], "--from-step", options[1])
        assert (told.status, told.out) == (2, "")
    assert shell("fork", "--run-id", "r", "--from-step", "1", "--new-id", "r").status == 2
    assert len(shell("list", "--json").data["runs"]) == 1
    assert shell("fork", "--run-id", "r", "--from-step", "1", "--db", "missing.sqlite").status == 2
    assert not (shell.place / "missing.sqlite").exists()


def test_diff_names_the_first_place_and_says_it_by_its_status(shell: Shell) -> None:
    shell.run(run_id="a")
    shell.run(run_id="b", target=8)
    told = shell("diff", "a", "b")
    assert (told.status, told.out.splitlines()[0]) == (1, "they part at the first state: state.target")
    data = shell("diff", "a", "b", "--json").data
    assert (data["schema"], data["same"]) == ("loom.runner.diff/1", False)
    assert data["first"] == {
        "step_index": -1,
        "what": "state",
        "path": "state.target",
        "a": "10",
        "b": "8",
        "call_id": None,
    }
    same = shell("diff", "a", "a")
    assert (same.status, same.out) == (0, "`a` and `a` did the same: 11 steps and 0 calls compared\n")
    shell.run("--db", "other.sqlite", run_id="a")
    assert shell("diff", "a", "a", "--db-b", "other.sqlite").status == 0
    assert shell("diff", "a", "never").status == 2
    assert shell("diff", "a", "a", "--db-b", "missing.sqlite").status == 2
    assert not (shell.place / "missing.sqlite").exists()


def test_history_shows_any_state_whole(shell: Shell) -> None:
    shell.run(target=4)
    told = shell("history", "--run-id", "r", "--step", "1")
    assert json.loads(told.out)["count"] == 2
    assert "this is what step 2 starts with" in told.err
    data = shell("history", "--run-id", "r", "--step", "-1", "--json").data
    assert (data["step"]["step_index"], data["step"]["state"]["count"]) == (-1, 0)
    assert "completed run `r` and left no state" in shell("history", "--run-id", "r", "--step", "3").err
    assert shell("history", "--run-id", "r", "--step", "4").status == 2


def test_a_thinned_history_is_paged_without_showing_a_step_twice(shell: Shell) -> None:
    agent = (
        (shell.place / "agent.py")
        .read_text()
        .replace(
            "initial_state=State,", "initial_state=State, checkpoint_policy=CheckpointPolicy(mode='interval', every=3),"
        )
    )
    shell.write(
        "agent.py", agent.replace("from loom_core import Agent,", "from loom_core import Agent, CheckpointPolicy,")
    )
    shell.run()
    shown = shell("history", "--run-id", "r", "--json").data["steps"]
    assert [step["step_index"] for step in shown] == [-1, 2, 5, 8, 9]
    told = shell("history", "--run-id", "r", "--limit", "2")
    assert "there are more: --offset 4" in told.err
    rest = shell("history", "--run-id", "r", "--offset", "4", "--json").data["steps"]
    assert [step["step_index"] for step in rest] == [5, 8, 9]
    assert "the history of run `r` no longer has step 4" in shell("history", "--run-id", "r", "--step", "4").err
    assert "is no longer kept" in shell("fork", "--run-id", "r", "--from-step", "5").err
    assert "history   no longer has steps 0–7" in shell("explain", "--run-id", "r").out


@pytest.mark.parametrize(("state", "status"), [({}, 0), ({"fail_at": 3}, 1), ({"wait_at": 3}, 4), ({"doubt_at": 1}, 4)])
def test_watch_ends_as_the_run_did_once_nobody_works_on_it(shell: Shell, state: dict[str, int], status: int) -> None:
    shell.run(**state)
    before = shell.snapshot()
    told = shell("watch", "--run-id", "r", "--from-step", "0")
    assert told.status == status
    assert "step 0 committed: continue" in told.out
    lines = shell("watch", "--run-id", "r", "--jsonl").out.splitlines()
    assert {json.loads(line)["schema"] for line in lines} == {"loom.runner.watch/1"}
    assert json.loads(lines[-1])["kind"] == "run"
    data = shell("watch", "--run-id", "r", "--json").data
    assert (data["events"][-1]["kind"], data["exit_status"]) == ("run", status)
    assert shell.snapshot() == before


def test_watch_of_a_paused_run_ends_and_of_an_unknown_one_is_refused(shell: Shell) -> None:
    shell.run("--max-steps", "7")
    told = shell("watch", "--run-id", "r")
    assert told.status == 0
    assert "step 1 committed" not in told.out
    assert shell("watch", "--run-id", "never").status == 2


def test_a_run_continued_by_changed_code_is_explained_and_a_state_that_no_longer_fits_is_named(shell: Shell) -> None:
    shell.run("--max-steps", "3")
    agent = (shell.place / "agent.py").read_text()
    shell.write("agent.py", agent.replace("look_at: int = -1", "look_at: str = ''"))
    before = shell("get", "--run-id", "r", "--json").data
    told = shell("resume", "--run-id", "r")
    assert told.status == 2
    assert "state.look_at" in told.err
    assert "Agent(version=…, upgrades=(Upgrade(…),))" in told.err
    assert shell("get", "--run-id", "r", "--json").data == before
    shell.write("agent.py", agent + "\n# changed\n")
    assert shell("resume", "--run-id", "r").status == 0
    assert "with other code: its source is another" in shell("explain", "--run-id", "r").out
