"""`pending`, `approve`, `deny`, `signal`, `pause`, `cancel`: what they change, say, and end with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.apps.runner.support import Shell, spawn, wait_for

ASKING = """
import pathlib
from loom_core import Agent, Approval, ApprovalDenied, Complete, Wait, tool

@tool(approval=Approval(approvers=("ann", "bob"), expires_s=3600))
def deploy(version: str) -> str:
    "Deploy."
    pathlib.Path("deployed").write_text(version)
    return f"deployed {version}"

async def step(state: int, ctx):
    try:
        return Complete(await ctx.call_tool("deploy", "v2"))
    except ApprovalDenied as no:
        return Complete(str(no))

agent = Agent(name="asker", step=step, initial_state=0, tools=(deploy,))
"""

SLOW = """
import asyncio
import sys
from loom_core import Agent, Continue, RunCancelled

async def step(state: int, ctx):
    print("at work", file=sys.stderr, flush=True)
    try:
        while ctx.cancellation is None:
            await asyncio.sleep(0.01)
            if state == 0:
                return Continue(0)
        await ctx.call_tool("read_file", "x")
    except RunCancelled as cancelled:
        print("undone for", cancelled.by, cancelled.note, file=sys.stderr, flush=True)
        raise

agent = Agent(name="slow", step=step, initial_state=0)
"""


@pytest.fixture
def asking(shell: Shell) -> Shell:
    shell.write("asking.py", ASKING)
    begun = shell("run", "asking.py", "--run-id", "r")
    assert begun.status == 4
    assert "next: loom-runner approve 0/0 --run-id r --db runs.sqlite" in begun.err
    assert not (shell.place / "deployed").exists()
    return shell


def test_a_question_is_listed_approved_and_the_run_goes_on(asking: Shell) -> None:
    listed = asking("pending")
    assert listed.status == 0
    assert 'may it call deploy(version="v2")?' in listed.out
    assert "may be answered by: ann, bob" in listed.out
    (asked,) = asking("pending", "--json").data["questions"]
    assert (asked["run_id"], asked["approval_id"], asked["arguments"]) == ("r", "0/0", {"version": "v2"})
    assert (asked["approvers"], asked["decision"], len(asked["arguments_digest"])) == (["ann", "bob"], None, 32)
    said = asking("approve", "--run-id", "r", "--as", "ann", "--note", "checked")
    assert said.status == 0 and said.out == ""
    assert "is approved by ann" in said.err
    assert "next: loom-runner resume --run-id r --db runs.sqlite" in said.err
    assert not (asking.place / "deployed").exists()
    assert asking("pending").err.strip() == "no run asks anything"
    assert asking("resume", "--run-id", "r").out.strip() == "deployed v2"
    told = asking("explain", "--run-id", "r").out
    assert 'question 0/0: may it call deploy(version="v2")?' in told
    assert "question 0/0 approved by ann" in told and '"checked"; its call was then made' in told


def test_explain_says_what_is_asked_by_whom_and_the_commands_for_the_answer(asking: Shell) -> None:
    told = asking("explain", "--run-id", "r").out
    assert "status    waiting: for a person to answer question 0/0 until" in told
    assert "It may be answered by ann, bob until" in told
    for verb in ("approve", "deny"):
        assert f"loom-runner {verb} 0/0 --run-id r --db runs.sqlite" in told
    data = asking("explain", "--run-id", "r", "--json").data
    assert [e["kind"] for e in data["timeline"]].count("question") == 1
    assert data["reason"] == "approval:0/0"


def test_a_denial_is_told_to_the_step_and_recorded_with_its_note(asking: Shell) -> None:
    denied = asking("deny", "0/0", "--run-id", "r", "--as", "bob", "--note", "not on a Friday", "--json")
    assert denied.data["schema"] == "loom.runner.deny/1"
    question = denied.data["question"]
    assert (question["decision"], question["note"]) == ("denied", "not on a Friday")
    assert question["decided_by"]["name"] == "bob" and question["decided_by"]["user"]
    assert "not called: bob said no: not on a Friday" in asking("resume", "--run-id", "r").out
    assert not (asking.place / "deployed").exists()
    assert "DENIED by bob" in asking("explain", "--run-id", "r").out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("approve", "--run-id", "r", "--as", "eve"), "eve may not answer question 0/0 of run `r`"),
        (("approve", "7/7", "--run-id", "r", "--as", "ann"), "run `r` has no question 7/7"),
        (("approve", "--run-id", "nobody", "--as", "ann"), "no run `nobody`"),
        (("deny", "--run-id", "r", "--as", "a\tb"), "is no name"),
        (("approve", "--run-id", "r", "--as", "ann", "--db", "none.sqlite"), "none.sqlite"),
    ],
)
def test_an_answer_that_cannot_be_given_changes_nothing(asking: Shell, argv: tuple[str, ...], sentence: str) -> None:
    before = asking("get", "--run-id", "r", "--json").data
    refused = asking(*argv)
    assert refused.status == 2
    assert sentence in refused.err
    assert len([line for line in refused.err.splitlines() if line.startswith("error: ")]) == 1
    assert asking("get", "--run-id", "r", "--json").data == before
    assert not (asking.place / "none.sqlite").exists()


@pytest.mark.parametrize("second", ["approve", "deny"])
@pytest.mark.parametrize("explicitly", [("0/0",), ()])
def test_a_question_is_answered_once(asking: Shell, second: str, explicitly: tuple[str, ...]) -> None:
    assert asking("deny", "--run-id", "r", "--as", "ann").status == 0
    again = asking(second, *explicitly, "--run-id", "r", "--as", "bob")
    assert again.status == 2
    assert "denied already, by ann" in again.err if explicitly else "is denied by ann" in again.err


def test_a_signal_wakes_the_step_that_waits_for_it_and_says_who_sent_it(shell: Shell) -> None:
    waiting = shell.run(wait_at=2)
    assert waiting.status == 4
    assert "next: loom-runner signal go --run-id r --db runs.sqlite" in waiting.err
    sent = shell("signal", "go", "--run-id", "r", "--payload", '{"n": 1}', "--as", "ann")
    assert sent.status == 0
    assert "next: loom-runner resume --run-id r" in sent.err
    assert shell("resume", "--run-id", "r").status == 0
    assert "signal `go` came from ann" in shell("explain", "--run-id", "r").out
    late = shell("signal", "go", "--run-id", "r")
    assert late.status == 2 and "is completed, and reads no signals any more" in late.err


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("signal", "go", "--run-id", "r", "--payload", "{"), "--payload: not JSON"),
        (("signal", "loom:pause", "--run-id", "r"), "a signal cannot be named `loom:pause`"),
        (("signal", "go", "--run-id", "nobody"), "no run `nobody`"),
    ],
)
def test_a_signal_that_cannot_be_sent_changes_nothing(shell: Shell, argv: tuple[str, ...], sentence: str) -> None:
    shell.run(wait_at=2)
    refused = shell(*argv)
    assert refused.status == 2 and sentence in refused.err
    assert "signal" not in shell("explain", "--run-id", "r", "--json").data["timeline"][-1]["kind"]


def test_a_waiting_run_is_paused_resumed_to_wait_on_and_cancelled_for_good(shell: Shell) -> None:
    shell.run(wait_at=2)
    paused = shell("pause", "--run-id", "r", "--as", "ann", "--note", "lunch")
    assert paused.status == 0
    assert "run `r` is paused: ann wanted it paused" in paused.err
    assert "next: loom-runner resume --run-id r" in paused.err
    assert "already" in shell("pause", "--run-id", "r").err
    assert shell("resume", "--run-id", "r").status == 4
    cancelled = shell("cancel", "--run-id", "r", "--as", "bob", "--json")
    assert cancelled.data["schema"] == "loom.runner.cancel/1"
    assert (cancelled.data["status"], cancelled.data["reason"]) == ("cancelled", "cancelled:bob")
    assert cancelled.data["next"] is None
    assert shell("resume", "--run-id", "r").status == 1
    told = shell("explain", "--run-id", "r").out
    assert "ann" in told and 'wants it paused (heard at step 3): "lunch"' in told
    assert "wants it cancelled" in told and "cancelled: by bob at step 3" in told
    assert shell("cancel", "--run-id", "r").status == 0
    gone = shell("pause", "--run-id", "r")
    assert gone.status == 2 and "is cancelled; it cannot be paused any more" in gone.err


def test_a_run_in_another_process_is_paused_after_its_step(shell: Shell) -> None:
    shell.write("slow.py", SLOW)
    with spawn(shell.place, "run", "slow.py", "--run-id", "r", "--input", "0", "--json") as process:
        wait_for(process, "at work")
        asked = shell("pause", "--run-id", "r", "--as", "ann")
        assert asked.status == 0
        # Its step may have ended before the sender looked again.
        assert (
            "works on run `r` and was asked to pause it" in asked.err
            and "next: loom-runner explain --run-id r" in asked.err
        ) or "run `r` is paused: ann wanted it paused" in asked.err
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    data = json.loads(out)
    assert (data["status"], data["reason"], data["next"]) == (
        "paused",
        "person:ann",
        "loom-runner resume --run-id r --db runs.sqlite",
    )


def test_a_run_in_another_process_is_cancelled_and_cleans_up(shell: Shell) -> None:
    shell.write("slow.py", SLOW)
    with spawn(shell.place, "run", "slow.py", "--run-id", "r", "--input", "1") as process:
        wait_for(process, "at work")
        assert shell("cancel", "--run-id", "r", "--as", "ann", "--note", "wrong customer").status == 0
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "undone for ann wrong customer" in err
    assert "run `r` is cancelled at step 0, by ann" in err
    assert shell("get", "--run-id", "r", "--json").data["stored_status"] == "cancelled"


def test_pending_in_an_empty_folder_says_that_there_is_no_database_and_makes_none(shell: Shell) -> None:
    for command in (("pending",), ("pause", "--run-id", "r"), ("approve", "--run-id", "r")):
        missing = shell(*command)
        assert missing.status == 2 and "runs.sqlite" in missing.err
    assert not Path("runs.sqlite").exists()
