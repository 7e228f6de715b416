"""Every command that is printed can be pasted as it is, leads somewhere, and nothing that is decided on is cut."""

from __future__ import annotations

import asyncio
import re
import shlex

import pytest
from loom_run.main import main as loom_run

from loom_core import open_store
from loom_core.contracts.stores import Settlement
from loom_core.testing.store_values import LEASE_S, OWNER, new_run
from tests.apps.runner.support import AGENT, Shell, spawn, wait_for

RUN_ID, DB = "it-is.v1", "a b.sqlite"
PLACE = ("--run-id", RUN_ID, "--db", DB)
LONG = "word " * 60


def commands(text: str) -> list[list[str]]:
    """Return every command line in a text as a shell would split it."""
    found = re.findall(r"(?:loom-runner|loom-run) [^;\n]*", text)
    return [shlex.split(line) for line in found]


def names_the_place(command: list[str]) -> bool:
    return command[command.index("--run-id") + 1] == RUN_ID and command[command.index("--db") + 1] == DB


@pytest.fixture
def begun(shell: Shell) -> Shell:
    assert shell("run", "agent.py", *PLACE, "--input", '{"doubt_at": 0}').status == 4
    return shell


def test_hints_name_the_database_and_survive_a_shell(begun: Shell) -> None:
    for argv in (("run", "agent.py", *PLACE), ("resolve", "7/7", *PLACE, "--retry"), ("resume", *PLACE)):
        told = begun(*argv)
        assert commands(told.err), told.err
        assert all(map(names_the_place, commands(told.err))), told.err


def test_no_call_in_doubt_names_those_that_are_and_explain(begun: Shell) -> None:
    told = begun("resolve", "7/7", *PLACE, "--retry")
    assert told.status == 2
    assert ": 0/0; see what happened: loom-runner explain" in told.err


@pytest.mark.parametrize("command", ["run", "resume"])
def test_an_id_of_a_conversation_points_to_loom_run(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("LOOM_MODEL", "mock:default")
    assert loom_run(["chat", "hello", *PLACE]) == 0
    told = shell(command, "agent.py", *PLACE)
    assert told.status == 2
    first = commands(told.err)[0]
    assert first[:2] == (["loom-run", "chat"] if command == "run" else ["loom-run", "resume"])
    assert names_the_place(first)
    assert loom_run(first[1:]) == 0


def test_a_conversation_command_on_a_run_points_to_explain(begun: Shell) -> None:
    begun.capture.readouterr()
    assert loom_run(["show", *PLACE]) == 2
    told = commands(begun.capture.readouterr().err)
    assert [c[:2] for c in told] == [["loom-runner", "explain"]]
    assert names_the_place(told[0])
    assert begun(*told[0][1:]).status == 0


def test_a_live_run_is_waited_for_and_not_resumed(shell: Shell) -> None:
    shell.write(
        "slow.py",
        AGENT.replace('    print("step", state.count)', '    print("step", state.count)\n    await sleep(600)').replace(
            "import attrs", "import attrs\nfrom asyncio import sleep"
        ),
    )
    process = spawn(shell.place, "run", "slow.py", *PLACE)
    try:
        wait_for(process, "step 0")
        for argv in (("run", "slow.py", *PLACE), ("resume", *PLACE)):
            told = shell(*argv)
            assert "hint: wait until it is done, or stop that process" in told.err
            assert [c[:2] for c in commands(told.err)] == [["loom-runner", "explain"]]
    finally:
        process.kill()
        process.communicate()


def test_a_completed_run_of_other_input_is_looked_at_and_not_resumed(shell: Shell) -> None:
    shell.run(target=1)
    told = shell.run(target=2)
    assert told.status == 2
    assert "resume" not in told.err
    assert "or choose another id" in told.err


def test_an_explanation_in_a_pipe_is_not_cut(shell: Shell) -> None:
    shell.write("long.py", AGENT.replace("no such customer", LONG))
    shell("run", "long.py", "--run-id", "r", "--input", '{"fail_at": 1}')
    told = shell("explain", "--run-id", "r").out
    assert f"not tried again (validation): ValueError: {LONG.rstrip()}" in told


def test_a_result_that_the_tool_could_not_return_decides_nothing(begun: Shell) -> None:
    before = begun.snapshot()
    told = begun("resolve", "0/0", *PLACE, "--result", "5")
    assert told.status == 2
    assert "--result is nothing that tool `charge` could return" in told.err
    assert {k: v for k, v in begun.snapshot().items() if "-" not in k} == {
        k: v for k, v in before.items() if "-" not in k
    }
    assert begun("get", *PLACE, "--json").data["reason"] == "doubt:0/0"
    assert begun("resolve", "0/0", *PLACE, "--result", '"5"').status == 0
    assert begun("resume", *PLACE).status == 0


def test_a_result_is_checked_by_a_runner_that_was_built(shell: Shell) -> None:
    built = (
        "\ndel agent\nfrom loom_core import AgentRunner\n"
        "def build_runner(db):\n    return AgentRunner(step=step, store=db, tools=(look, charge))\n"
        "def initial_state():\n    return State(doubt_at=0)\n"
    )
    shell.write("built.py", AGENT + built)
    assert shell("run", "built.py", *PLACE).status == 4
    assert shell("resolve", "0/0", *PLACE, "--result", "[]").status == 2
    told = shell("resolve", "0/0", *PLACE, "--result", '"5"')
    assert (told.status, "warning" in told.err) == (0, False)


def test_a_result_that_cannot_be_checked_is_taken_and_said_so(begun: Shell) -> None:
    (begun.place / "agent.py").unlink()
    told = begun("resolve", "0/0", *PLACE, "--result", "5")
    assert told.status == 0
    assert "warning: it is not checked that tool `charge` could return this: agent file" in told.err


def test_steps_are_grouped_in_sentences(shell: Shell) -> None:
    told = shell.run("--max-steps", "1500", target=5000)
    assert "is paused at step 1,500" in told.err


def test_a_wrong_decision_of_a_failed_run_is_decided_again_as_explain_says(shell: Shell) -> None:
    picky = AGENT.replace(
        'await ctx.call_tool("charge", 5)',
        'receipt = await ctx.call_tool("charge", 5)\n'
        '        if receipt != "right":\n            raise ValueError(receipt)',
    )
    shell.write("picky.py", picky)
    assert shell("run", "picky.py", *PLACE, "--input", '{"doubt_at": 0}').status == 4
    assert shell("resolve", "0/0", *PLACE, "--result", '"wrong"').status == 0
    assert shell("resume", *PLACE).status == 1
    data = shell("explain", *PLACE, "--json").data["resuming"]["commands"]
    again = next(shlex.split(c["command"]) for c in data if "resolve" in c["command"])
    assert shell(*('"right"' if word == "JSON" else word for word in again[1:])).status == 0
    assert shell("resume", *PLACE).status == 0


@pytest.mark.parametrize(("reason", "signal"), [("approval:0/0", None), ("signal:go", "go")])
def test_what_nobody_answered_in_time_is_resumed_and_not_answered(
    shell: Shell, reason: str, signal: str | None
) -> None:
    async def wait_in_vain() -> None:
        store = open_store(DB, "create")
        writer = (await store.create_run(new_run(RUN_ID), OWNER, LEASE_S)).writer
        await writer.settle(Settlement(step_index=0, status="waiting", reason=reason, wake_signal=signal, wake_at=1.0))
        await store.aclose()

    asyncio.run(wait_in_vain())
    told = shell("signal", "something-else", *PLACE)
    assert told.status == 0
    assert commands(told.err)[-1][:2] == ["loom-runner", "resume"]
    assert "which has come" in shell("get", *PLACE).out
