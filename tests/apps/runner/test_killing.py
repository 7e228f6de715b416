"""Real processes, really killed: what is left is explained, and resumed at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.apps.runner.support import Shell, spawn, wait_for

BLOCKING = """
import asyncio, pathlib, sys, time
from loom_core import Agent, Complete, Continue, tool

@tool
async def charge() -> str:
    "Charge."
    print("charging", flush=True)
    await asyncio.sleep(0 if pathlib.Path("free").exists() else 60)
    return "charged"

async def step(state: dict, ctx):
    n = state["n"]
    if n == 3:
        if state["how"] == "call":
            await ctx.call_tool("charge")
        print("reached", flush=True)
        if not pathlib.Path("free").exists():
            if state["how"] == "block":
                while not pathlib.Path("go").exists():
                    time.sleep(0.01)
            elif state["how"] == "await":
                await asyncio.sleep(60)
    return Complete(n) if n == 5 else Continue({**state, "n": n + 1})

agent = Agent(name="slow", step=step, initial_state={"n": 0, "how": "await"}, tools=(charge,))
"""


def begin(shell: Shell, how: str, until: str = "reached") -> subprocess.Popen[str]:
    shell.write("slow.py", BLOCKING)
    state = json.dumps({"n": 0, "how": how})
    process = spawn(shell.place, "run", "slow.py", "--run-id", "r", "--db", "runs.sqlite", "--input", state)
    wait_for(process, until)
    return process


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


@pytest.mark.parametrize("how", ["await", "block"])
def test_a_killed_run_is_orphaned_explained_and_taken_over_at_once(shell: Shell, how: str) -> None:
    process = begin(shell, how)
    process.kill()
    finish(process)
    told = shell("explain", "--run-id", "r").out
    assert f"orphaned: its owner, process {process.pid} on " in told
    assert "is dead; it was working on step 3" in told
    assert "Takes the run over at once and executes step 3 again, from its start." in told
    assert "loom-runner resume --run-id r --db runs.sqlite" in told
    assert shell("list", "--json").data["runs"][0]["status"] == "orphaned"
    shell.write("free", "")
    resumed = shell("resume", "--run-id", "r")
    assert (resumed.status, resumed.out) == (0, "5\n")
    assert "found running: the previous owner" in shell("explain", "--run-id", "r").out


def test_a_once_call_under_way_when_the_process_was_killed_is_in_doubt(shell: Shell) -> None:
    process = begin(shell, "call", until="charging")
    process.kill()
    finish(process)
    told = shell("explain", "--run-id", "r").out
    assert "call 3/0: charge() [once]" in told
    assert "it started, and no end is recorded" in told
    shell.write("free", "")
    assert shell("resume", "--run-id", "r").status == 4
    assert shell("resolve", "3/0", "--run-id", "r", "--result", '"charged"').status == 0
    assert shell("resume", "--run-id", "r").out == "5\n"


def test_a_run_held_by_a_living_process_is_busy_and_named(shell: Shell) -> None:
    process = begin(shell, "await")
    try:
        busy = shell("resume", "--run-id", "r")
        assert busy.status == 1
        assert f"run `r` is held by process {process.pid} on " in busy.err
        again = shell("run", "slow.py", "--run-id", "r")
        assert (again.status, "exists already and is running" in again.err) == (2, True)
        assert "wait until it is done" in shell("explain", "--run-id", "r").out
    finally:
        process.kill()
        finish(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_stops_after_the_step_under_way_even_if_it_blocks(shell: Shell, number: signal.Signals) -> None:
    process = begin(shell, "block")
    process.send_signal(number)
    wait_for(process, "stopping after the step under way; press Ctrl-C again to stop now")
    shell.write("go", "")
    status, out, err = finish(process)
    assert (status, out) == (130, "")
    assert "run `r` is paused at step 4, it was interrupted" in err
    assert "next: loom-runner resume --run-id r --db runs.sqlite" in err
    assert shell("resume", "--run-id", "r").out == "5\n"


@pytest.mark.parametrize("how", ["await", "block"])
def test_two_interrupts_stop_at_once_and_leave_the_run_resumable(shell: Shell, how: str) -> None:
    process = begin(shell, how)
    process.send_signal(signal.SIGINT)
    wait_for(process, "stopping after the step under way; press Ctrl-C again to stop now")
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert (status, out) == (130, "")
    assert "Traceback" not in err
    assert "run `r` is paused at step 3, it was interrupted" in err
    shell.write("free", "")
    assert shell("resume", "--run-id", "r").out == "5\n"


def test_two_interrupts_during_a_once_call_leave_it_in_doubt(shell: Shell) -> None:
    process = begin(shell, "call", until="charging")
    process.send_signal(signal.SIGINT)
    wait_for(process, "stopping after the step under way; press Ctrl-C again to stop now")
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    assert (
        "In doubt: may or may not have happened\n  call 3/0: charge() [once]" in shell("explain", "--run-id", "r").out
    )
    assert shell("resume", "--run-id", "r").status == 4


def test_explain_starts_without_what_it_does_not_need(shell: Shell) -> None:
    shell.run(look_at=1)
    code = (
        "import sys; from loom_runner.main import main; main(['explain', '--run-id', 'r']);"
        "print(*[m for m in sys.argv[1:] if m in sys.modules], file=sys.stderr)"
    )
    unwanted = (
        "cattrs",
        "jinja2",
        "openai",
        "httpx2",
        "loom_core.runtime.runner",
        "loom_core.tools",
        "loom_core.values",
    )
    done = subprocess.run(
        (sys.executable, "-c", code, *unwanted), cwd=shell.place, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == ""


COUNTING = """
import sys
from loom_runner.main import main
calls = 0
def count(frame, event, argument):
    global calls
    calls += event == "call"
sys.setprofile(count)
try:
    main(["explain", "--run-id", sys.argv[1]])
finally:
    sys.setprofile(None)
    print(calls, file=sys.__stderr__)
"""


def test_explaining_a_hundred_thousand_steps_takes_no_more_work_than_a_thousand(shell: Shell) -> None:
    shell.write("silent.py", (shell.place / "agent.py").read_text().replace('print("step", state.count)', "pass"))
    work = {}
    for target in (1_000, 100_000):
        state = json.dumps({"target": target, "look_at": target // 2})
        assert shell("run", "silent.py", "--run-id", f"r{target}", "--input", state).status == 0
        argv = (sys.executable, "-c", COUNTING, f"r{target}")
        done = subprocess.run(argv, cwd=shell.place, capture_output=True, text=True, check=True)
        assert f"{target // 2:,} steps without calls" in done.stdout
        work[target] = int(done.stderr)
    # Calls of Python functions, which do not depend on how busy the machine is.
    assert work[100_000] < 1.2 * work[1_000]
