"""Timers and workers from the command line; the workers are processes of their own, and are killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path

from loom_core.runtime.loading import load_agent
from tests.apps.runner.support import PROGRAM, Shell, spawn

SLEEPER = """
from loom_core import Agent, Complete, Sleep, Wait

async def step(state: dict, ctx):
    n = state["n"]
    if n == 2:
        return Complete({"n": n, "timed_out": ctx.signal is not None and ctx.signal.timed_out})
    following = {**state, "n": n + 1}
    if state["how"] == "wait":
        return Wait(following, signal="go", timeout=state["s"])
    return Sleep(following, seconds=state["s"])

agent = Agent(name="sleeper", step=step, initial_state={"n": 0, "how": "sleep", "s": 0.05})
"""

BOOKS = """
import asyncio, json, os
from loom_core import Agent, Complete, Continue, Sleep, ToolContext, tool

@tool
async def note(n: int, context: ToolContext) -> int:
    "Note."
    with open("ledger", "a") as ledger:
        ledger.write(json.dumps([context.run_id, n, context.epoch]) + "\\n")
    return n

@tool(effect="read")
async def look() -> int:
    "Look."
    with open("looks", "a") as looks:
        looks.write(json.dumps([os.getpid()]) + "\\n")
    return 1

async def step(state: int, ctx):
    with open("steps", "a") as steps:
        steps.write(json.dumps([ctx.run_id, ctx.step_index, os.getpid()]) + "\\n")
    await ctx.call_tool("look")
    if state == 1:
        await ctx.call_tool("note", 1)
    await asyncio.sleep(0.002)
    if state == 6:
        return Complete(state)
    return Sleep(state + 1, seconds=0.01) if state % 3 == 2 else Continue(state + 1)

agent = Agent(name="books", step=step, initial_state=0, tools=(note, look))
"""

SLOW = """
import asyncio, pathlib
from loom_core import Agent, Complete, Continue

async def step(state: int, ctx):
    pathlib.Path("begun").touch()
    await asyncio.sleep(0.3)
    return Complete(state) if state == 1 else Continue(state + 1)

agent = Agent(name="slow", step=step, initial_state=0)
"""

POISON = """
import os, signal
from loom_core import Agent, Complete

async def step(state: int, ctx):
    os.kill(os.getpid(), signal.SIGKILL)

agent = Agent(name="poison", step=step, initial_state=0)
"""


def lines(path: Path) -> list[list[object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# -- run and resume -----------------------------------------------------------------------------------------------


def test_a_timer_that_is_due_soon_is_waited_for_in_process(shell: Shell) -> None:
    shell.write("nap.py", SLEEPER)
    done = shell("run", "nap.py", "--run-id", "a", "--db", "r")
    assert (done.status, json.loads(done.out)["n"]) == (0, 2)


def test_a_timer_that_is_far_away_releases_the_run_says_until_when_and_exits_4(shell: Shell) -> None:
    shell.write("nap.py", SLEEPER)
    state = json.dumps({"n": 1, "how": "sleep", "s": 7200})
    done = shell("run", "nap.py", "--run-id", "a", "--db", "r", "--input", state)
    assert done.status == 4
    assert "run `a` is waiting at step 1, until 2" in done.err
    assert "(in 2h)" in done.err
    assert "next (when it is due): loom-runner resume --run-id a --db r" in done.err
    before = shell("get", "--run-id", "a", "--db", "r", "--json").data
    again = shell("resume", "--run-id", "a", "--db", "r", "--json")
    assert (again.status, again.data["status"], again.data["exit_status"]) == (4, "waiting", 4)
    after = shell("get", "--run-id", "a", "--db", "r", "--json").data
    assert {k: v for k, v in before.items() if k != "words"} == {k: v for k, v in after.items() if k != "words"}
    explained = shell("explain", "--run-id", "a", "--db", "r").out
    assert "it then sleeps" in explained
    assert "a worker that has its agent does so by itself" in " ".join(explained.split())


def test_wait_0_waits_for_nothing(shell: Shell) -> None:
    shell.write("nap.py", SLEEPER)
    done = shell("run", "nap.py", "--run-id", "a", "--db", "r", "--wait", "0")
    assert done.status == 4
    while (done := shell("resume", "--run-id", "a", "--db", "r", "--wait", "0", "--json")).status == 4:
        pass
    assert done.data["result"] == {"n": 2, "timed_out": False}


def test_a_wait_with_a_timeout_goes_on_without_its_signal_and_history_says_so(shell: Shell) -> None:
    shell.write("nap.py", SLEEPER)
    state = json.dumps({"n": 1, "how": "wait", "s": 0.05})
    done = shell("run", "nap.py", "--run-id", "a", "--db", "r", "--input", state)
    assert json.loads(done.out) == {"n": 2, "timed_out": True}


def test_ctrl_c_during_the_wait_is_an_interruption_and_the_timer_stays(shell: Shell) -> None:
    shell.write("nap.py", SLEEPER)
    state = json.dumps({"n": 1, "how": "sleep", "s": 50})
    process = spawn(shell.place, "run", "nap.py", "--run-id", "a", "--db", "r", "--input", state)
    until_status(shell, "waiting", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert shell("get", "--run-id", "a", "--db", "r", "--json").data["status"] == "waiting"


def until_status(shell: Shell, status: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        seen = shell("get", "--run-id", "a", "--db", "r", "--json")
        if seen.status == 0 and seen.data["status"] == status:
            return
        assert process.poll() is None, process.communicate()
    raise AssertionError(f"the run is not {status}")


# -- worker -------------------------------------------------------------------------------------------------------


def submit(shell: Shell, agent: str, *run_ids: str) -> None:
    async def main() -> None:
        async with load_agent(str(shell.place / agent)).runner(str(shell.place / "r")) as runner:
            for run_id in run_ids:
                await runner.submit(run_id=run_id)

    asyncio.run(main())


def statuses(shell: Shell) -> dict[str, str]:
    listed = shell("list", "--db", "r", "--json", "--limit", "1000").data["runs"]
    return {run["run_id"]: run["stored_status"] for run in listed}


def ended(shell: Shell, *, patience_s: float = 60) -> dict[str, str]:
    """Wait until no run has anything left that a worker could do."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        runs = shell("list", "--db", "r", "--json", "--limit", "1000").data["runs"]
        if all(r["stored_status"] in ("completed", "failed") or str(r["reason"]).startswith("doubt:") for r in runs):
            return {run["run_id"]: run["stored_status"] for run in runs}
    raise AssertionError(statuses(shell))


def work(shell: Shell, agent: str, *options: str) -> subprocess.Popen[bytes]:
    said = shell.place / f"said-{time.monotonic_ns()}"
    with said.open("wb") as err:
        process = subprocess.Popen(
            (*PROGRAM, "worker", agent, "--db", "r", "--poll", "0.05", *options),
            cwd=shell.place,
            stdout=subprocess.DEVNULL,
            stderr=err,
        )
    while "working on" not in said.read_text():
        assert process.poll() is None, said.read_text()
        time.sleep(0.01)
    return process


def stop(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    return process.wait(timeout=30)


def test_two_workers_on_one_file_share_its_runs_and_never_execute_a_step_twice(shell: Shell) -> None:
    shell.write("books.py", BOOKS)
    runs = [f"run {n:02}" for n in range(16)]
    # Both are there before there is work: one alone might have done it all before the other had started.
    workers = [work(shell, "books.py", "--concurrency", "3", "--durability", m) for m in ("strict", "pipelined")]
    try:
        submit(shell, "books.py", *runs)
        assert set(ended(shell).values()) == {"completed"}
    finally:
        assert [stop(w) for w in workers] == [0, 0]
    steps = lines(shell.place / "steps")
    assert sorted((run, step) for run, step, _ in steps) == [(run, step) for run in runs for step in range(7)]
    assert {pid for _, _, pid in steps} == {w.pid for w in workers}


def test_sigterm_gives_runs_back_after_the_step_under_way_and_exits_0(shell: Shell) -> None:
    shell.write("slow.py", SLOW)
    submit(shell, "slow.py", "a")
    process = work(shell, "slow.py")
    while not (shell.place / "begun").exists():
        assert process.poll() is None
    assert stop(process) == 0
    run = shell("get", "--run-id", "a", "--db", "r", "--json").data
    assert (run["status"], run["reason"], run["step_index"]) == ("queued", "drained", 1)
    done = shell("resume", "--run-id", "a", "--db", "r")
    assert (done.status, done.out.strip()) == (0, "1")


def test_a_run_that_kills_its_workers_is_quarantined_after_five_of_them(shell: Shell) -> None:
    shell.write("poison.py", POISON)
    shell.write("books.py", BOOKS)
    submit(shell, "poison.py", "bad")
    for _ in range(5):
        process = spawn(shell.place, "worker", "poison.py", "--db", "r")
        process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL
    submit(shell, "books.py", "good")
    last = spawn(shell.place, "worker", "poison.py", "books.py", "--db", "r", "--json", "--poll", "0.05")
    assert ended(shell) == {"bad": "failed", "good": "completed"}
    last.terminate()
    out, _ = last.communicate(timeout=30)
    assert json.loads(out) == {
        "schema": "loom.runner.worker/1",
        "agents": ["poison", "books"],
        "left": {
            "quarantined": 1,
            "completed": 1,
            **{k: v for k, v in json.loads(out)["left"].items() if k == "waiting"},
        },
        "exit_status": 0,
    }
    run = shell("get", "--run-id", "bad", "--db", "r", "--json").data
    assert run["error"]["category"] == "quarantined"
    explained = " ".join(shell("explain", "--run-id", "bad", "--db", "r").out.split())
    assert "5 owners in a row died or fell silent at step 0" in explained
    assert "--retry-failed" in explained


def test_an_agent_that_does_not_load_or_is_named_twice_is_told_before_anything_is_done(shell: Shell) -> None:
    shell.write("books.py", BOOKS)
    shell.write("same.py", BOOKS)
    for argv in (("worker", "none.py"), ("worker", "books.py", "same.py", "--db", "r"), ("worker",)):
        done = shell(*argv)
        assert done.status == 2
        assert done.err.startswith("error: ")
