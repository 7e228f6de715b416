"""Bad input: one clear sentence, exit status 2, and every file of the folder as it was."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

import pytest

from tests.apps.runner.support import AGENT, Shell

READING = ("get", "explain", "history", "attempts", "tool-calls", "verify")


def check_refused(shell: Shell, *argv: str, says: str) -> None:
    before = shell.snapshot()
    refused = shell(*argv)
    lines = refused.err.splitlines()
    assert refused.status == 2, refused
    assert refused.out == ""
    assert lines[0].startswith("error: ")
    assert says in lines[0]
    assert [line for line in lines[1:] if not line.startswith("hint: ")] == []
    assert len(lines) <= 2
    assert shell.snapshot() == before
    told = shell(*argv, "--json")
    assert told.status == 2
    assert says in told.data["error"]["message"]
    assert shell.snapshot() == before


@pytest.mark.parametrize("command", ["resume", *READING])
def test_an_unknown_run(shell: Shell, command: str) -> None:
    shell.run("--max-steps", "1")
    check_refused(shell, command, "--run-id", "nobody", says="no run `nobody` in runs.sqlite")


def test_resolving_a_call_of_an_unknown_run(shell: Shell) -> None:
    shell.run("--max-steps", "1")
    check_refused(shell, "resolve", "0/0", "--run-id", "nobody", "--retry", says="no run `nobody`")


@pytest.mark.parametrize("command", ["resume", *READING])
def test_a_missing_database_is_not_created(shell: Shell, command: str) -> None:
    check_refused(shell, command, "--run-id", "r", "--db", "none.sqlite", says="none.sqlite")


def test_listing_a_missing_database(shell: Shell) -> None:
    check_refused(shell, "list", says="runs.sqlite")


def foreign(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table customers(name)")
    connection.commit()
    connection.close()


def text(path: str) -> None:
    with open(path, "w") as file:
        file.write("dear diary, " * 1000)


def corrupt(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"SQLite format 3\x00" + b"\x5a" * 8000)


@pytest.mark.parametrize("make", [foreign, text, corrupt, os.mkdir])
@pytest.mark.parametrize("argv", [("run", "agent.py", "--run-id", "r"), ("resume", "--run-id", "r"), ("list",)])
def test_a_database_that_is_not_ours(shell: Shell, make: Callable[[str], None], argv: tuple[str, ...]) -> None:
    make("other.sqlite")
    check_refused(shell, *argv, "--db", "other.sqlite", says="other.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_database(shell: Shell) -> None:
    shell.run("--max-steps", "1")
    for name in os.listdir("."):
        if name.startswith("runs.sqlite"):
            os.chmod(name, 0o444)
    check_refused(shell, "resume", "agent.py", "--run-id", "r", says="runs.sqlite")


def test_a_database_in_a_folder_that_is_not_there(shell: Shell) -> None:
    check_refused(shell, "run", "agent.py", "--run-id", "r", "--db", "no/such/runs.sqlite", says="no/such")


def test_a_database_of_an_unknown_kind(shell: Shell) -> None:
    check_refused(shell, "list", "--db", "carrier-pigeon://loft", says="carrier-pigeon")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "does not exist"),
        ("raise RuntimeError('at dawn')", "RuntimeError: at dawn"),
        ("def broken(:", "line 1"),
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        ("x = 1", "offers no agent"),
        ("agent = 5", "offers no agent"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("def step(s, ctx): ...\nfrom loom_core import Agent\nagent = Agent(name='a', step=step)", "async"),
    ],
)
def test_an_agent_file_that_does_not_load(shell: Shell, source: str | None, says: str) -> None:
    if source is not None:
        shell.write("bad.py", source)
    check_refused(shell, "run", "bad.py", "--run-id", "r", says=says)


def test_a_name_that_the_agent_file_does_not_have(shell: Shell) -> None:
    check_refused(shell, "run", "agent.py:nobody", "--run-id", "r", says="nobody")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{not json", "--input: not JSON"),
        ("NaN", "--input: not JSON"),
        ("@missing.json", "missing.json cannot be read"),
        ('{"count": "three"}', "state.count"),
        ('{"cuont": 3}', "cuont"),
        ("[]", "state"),
    ],
)
def test_an_input_that_is_no_state(shell: Shell, given: str, says: str) -> None:
    check_refused(shell, "run", "agent.py", "--run-id", "r", "--input", given, says=says)


def test_an_initial_state_that_cannot_be_encoded(shell: Shell) -> None:
    shell.write(
        "odd.py", AGENT.replace("initial_state=State", 'initial_state={"open": print}').replace("state: State", "state")
    )
    check_refused(shell, "run", "odd.py", "--run-id", "r", says="state.open")


def test_a_stored_state_that_the_agent_no_longer_decodes(shell: Shell) -> None:
    shell.run("--max-steps", "1")
    shell.write("agent.py", AGENT.replace("count: int = 0", "counter: int = 0").replace(".count", ".counter"))
    check_refused(
        shell, "resume", "--run-id", "r", "-q", says="state of run `r` does not fit agent `tester`: state: State does"
    )


def test_the_agent_of_another_run(shell: Shell) -> None:
    shell.run("--max-steps", "1")
    shell.write("other.py", AGENT.replace('name="tester"', 'name="stranger"'))
    check_refused(shell, "resume", "other.py", "--run-id", "r", says="belongs to agent `tester`, not to `stranger`")


def test_a_run_whose_agent_was_made_in_code_has_to_be_named(shell: Shell) -> None:
    shell.write(
        "code.py",
        "import asyncio\nfrom loom_core import AgentRunner, Continue\nasync def step(s, ctx):\n    return Continue(s)\n"
        "async def main():\n    async with AgentRunner(step=step, store='runs.sqlite') as runner:\n"
        "        await runner.start(run_id='r', initial_state=1, max_steps=1)\n",
    )
    scope: dict[str, object] = {"__name__": "code"}
    exec((shell.place / "code.py").read_text(), scope)
    import asyncio

    asyncio.run(scope["main"]())  # type: ignore[operator]
    check_refused(shell, "resume", "--run-id", "r", says="was started from code")


@pytest.mark.parametrize("run_id", ["", " x", "a\nb", "a:sub:b", "x" * 201])
def test_a_run_id_that_cannot_be_one(shell: Shell, run_id: str) -> None:
    check_refused(shell, "run", "agent.py", "--run-id", run_id, says="run id")


@pytest.mark.parametrize("option", [("--max-steps", "0"), ("--max-seconds", "0"), ("--durability", "none")])
def test_a_limit_that_is_none(shell: Shell, option: tuple[str, str]) -> None:
    check_refused(shell, "run", "agent.py", "--run-id", "r", *option, says=option[0])


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        ((), "one of --result, --retry and --fail"),
        (("--retry", "--fail", "x"), "one of --result, --retry and --fail"),
        (("--result", "{"), "--result: not JSON"),
        (("--retry",), "no call `7/7` in doubt"),
    ],
)
def test_a_decision_that_is_none(shell: Shell, decision: tuple[str, ...], says: str) -> None:
    shell.run(doubt_at=0)
    check_refused(shell, "resolve", "7/7", "--run-id", "r", *decision, says=says)


def test_an_unknown_command_says_what_was_meant(shell: Shell) -> None:
    refused = shell("explian", "--run-id", "r")
    assert refused.status == 2
    assert "did you mean `explain`?" in refused.err
