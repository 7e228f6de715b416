"""The reading commands: what they show, as tables and as JSON, page by page, without touching anything."""

from __future__ import annotations

import json

import pytest
from loom_runner.differences import differences

from tests.apps.runner.support import AGENT, Shell

READING = ("list", "get", "explain", "history", "attempts", "tool-calls", "verify")


def run_id(command: str) -> tuple[str, ...]:
    return () if command == "list" else ("--run-id", "r")


@pytest.mark.parametrize("command", READING)
def test_reading_changes_nothing_and_needs_no_agent(shell: Shell, command: str) -> None:
    shell.run(look_at=1, fail_at=3)
    (shell.place / "agent.py").unlink()
    before = shell.snapshot()
    assert shell(command, *run_id(command)).status == 0
    told = shell(command, *run_id(command), "--json")
    assert told.status == 0
    assert told.data["schema"] in (f"loom.runner.{command}/1",)
    assert shell.snapshot() == before


@pytest.mark.parametrize("command", READING)
def test_reading_accepts_an_agent_without_loading_it(shell: Shell, command: str) -> None:
    shell.run(target=1)
    shell.write("agent.py", "raise SystemExit('loaded')")
    told = shell(command, "agent.py", *run_id(command))
    assert (told.status, told.err.count("warning")) == (0, 0)


def test_naming_another_agent_is_a_warning(shell: Shell) -> None:
    shell.run(target=1)
    told = shell("get", "other.py", "--run-id", "r")
    assert told.status == 0
    assert "was not started from other.py but from" in told.err


def test_list_shows_where_each_run_stands_and_is_narrowed_by_agent(shell: Shell) -> None:
    shell.run(run_id="done", target=1)
    shell.run("--max-steps", "1", run_id="paused")
    shell.run(run_id="failed", fail_at=0)
    shell.run(run_id="waits", wait_at=0)
    shell.run(run_id="doubt", doubt_at=0)
    shell.write("other.py", AGENT.replace('name="tester"', 'name="stranger"'))
    shell("run", "other.py", "--run-id", "strange")
    table = shell("list").out
    for words in (
        "its slice (--max-steps) was used up",
        "at step 0: ValueError: no such customer",
        "for the signal `go`",
        "for a person to decide call 0/0",
        "after 10 steps",
    ):
        assert words in table
    runs = shell("list", "--json").data["runs"]
    assert [r["run_id"] for r in runs] == ["strange", "doubt", "waits", "failed", "paused", "done"]
    assert [r["run_id"] for r in shell("list", "other.py", "--json").data["runs"]] == ["strange"]
    second = shell("list", "agent.py", "--limit", "2", "--offset", "1", "--json").data
    assert ([r["run_id"] for r in second["runs"]], second["more"]) == (["waits", "failed"], True)


def test_empty_lists_say_so(shell: Shell) -> None:
    shell.run(target=1)
    assert "run `r` has no failed attempts" in shell("attempts", "--run-id", "r").err
    assert "run `r` has made no calls" in shell("tool-calls", "--run-id", "r").err
    assert "there are no more runs" in shell("list", "--offset", "9").err


def test_get_shows_everything_in_the_runs_row(shell: Shell) -> None:
    shell.run(target=2)
    data = shell("get", "--run-id", "r", "--json").data
    assert (data["status"], data["result"], data["epoch"]) == ("completed", {"count": 2}, 1)
    assert data["agent"]["reference"] == str(shell.place / "agent.py")
    assert 'result   {"count": 2}' in shell("get", "--run-id", "r").out


def test_history_shows_states_whole_then_what_changed(shell: Shell) -> None:
    shell.run(target=3)
    text = shell("history", "--run-id", "r", "--states").out
    assert "target: 3" in text
    assert "count: 0 → 1" in text
    assert text.count("target") == 1
    steps = shell("history", "--run-id", "r", "--states", "--json").data["steps"]
    assert [s["step_index"] for s in steps] == [-1, 0, 1, 2]
    assert [s["state"] and s["state"]["count"] for s in steps] == [0, 1, 2, None]
    assert "state" not in shell("history", "--run-id", "r", "--json").data["steps"][0]


def test_history_goes_page_by_page(shell: Shell) -> None:
    shell.run(target=5)
    first = shell("history", "--run-id", "r", "--limit", "2", "--json").data
    assert ([s["step_index"] for s in first["steps"]], first["more"]) == ([-1, 0], True)
    last = shell("history", "--run-id", "r", "--limit", "9", "--offset", "4", "--json").data
    assert ([s["step_index"] for s in last["steps"]], last["more"]) == ([3, 4], False)
    assert "--offset 2" in shell("history", "--run-id", "r", "--limit", "2").err


def test_tool_calls_have_the_promised_fields(shell: Shell) -> None:
    shell.run(look_at=1, target=3)
    call = shell("tool-calls", "--run-id", "r", "--json").data["calls"][0]
    assert {k: call[k] for k in ("call_id", "tool", "step_index", "attempt_index", "effect", "status", "key")} == {
        "call_id": "1/0",
        "tool": "look",
        "step_index": 1,
        "attempt_index": 0,
        "effect": "read",
        "status": "done",
        "key": "0",
    }
    assert (call["arguments"], call["result"]) == ({"at": 1}, "seen 1")
    assert "seen 1" in shell("tool-calls", "--run-id", "r").out


def test_attempts_say_what_failed_and_whether_it_was_tried_again(shell: Shell) -> None:
    shell.run(fail_at=1)
    text = shell("attempts", "--run-id", "r").out
    assert "given up" in text
    assert "ValueError: no such customer" in text
    assert "Traceback" not in text
    assert "Traceback" in shell("attempts", "--run-id", "r", "-v").out
    attempt = shell("attempts", "--run-id", "r", "--json").data["attempts"][0]
    assert (attempt["step_index"], attempt["error"]["category"], attempt["retry_at"]) == (1, "validation", None)


def test_verify_ends_with_1_when_something_does_not_agree(shell: Shell) -> None:
    import apsw

    shell.run(target=5)
    assert shell("verify", "--json").data == {
        "schema": "loom.runner.verify/1",
        "run_id": None,
        "ok": True,
        "findings": [],
    }
    connection = apsw.Connection("runs.sqlite")
    connection.execute("UPDATE heads SET calls = 7")
    connection.close()
    found = shell("verify", "--run-id", "r", "--json")
    assert (found.status, found.data["ok"]) == (1, False)
    assert shell("verify").status == 1


def test_an_explanation_in_json_is_the_same_facts(shell: Shell) -> None:
    shell.run(doubt_at=1)
    data = shell("explain", "--run-id", "r", "--json").data
    assert data["schema"] == "loom.runner.explain/1"
    assert data["in_doubt"][0]["call_id"] == "1/0"
    assert data["resuming"]["commands"][0]["command"] == (
        "loom-runner resolve 1/0 --result JSON --run-id r --db runs.sqlite"
    )


def test_the_database_may_come_from_the_environment(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_DB", "sqlite:///elsewhere.sqlite")
    shell.run(target=1)
    assert (shell.place / "elsewhere.sqlite").exists()
    assert json.loads(shell("list", "--json").out)["runs"][0]["run_id"] == "r"


@pytest.mark.parametrize("command", ["run", "resume", *READING, "resolve"])
def test_help_fits_a_screen_and_has_two_examples(shell: Shell, command: str) -> None:
    told = shell(command, "--help")
    assert told.status == 0
    assert len(told.out.splitlines()) <= 40
    assert told.out.count(f"loom-runner {command}") >= 3


def test_differences_name_what_changed_and_nothing_else() -> None:
    assert list(differences({"a": 1, "b": [1]}, {"a": 2, "b": [1, 2], "c": None})) == [
        "a: 1 → 2",
        "b: added 2",
        "c: null",
    ]
    assert list(differences({"a": 1, "b": 2}, {"a": 1})) == ["b: removed"]
    assert list(differences(1, 2)) == ["state: 1 → 2"]
    assert list(differences(True, 1)) == ["state: true → 1"]
    assert list(differences(None, [1], first=True)) == ["state: [1]"]
    assert list(differences([1], {"a": 1})) == ["a: 1"]
