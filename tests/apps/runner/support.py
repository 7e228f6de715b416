"""`loom-runner` in a folder of its own: in process for speed, in a process of its own where that is the point."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from loom_runner.main import main

PROGRAM = (sys.executable, "-c", "import sys; from loom_runner.main import main; sys.exit(main())")

AGENT = """
import attrs
from loom_core import Agent, Complete, Continue, ExponentialBackoff, RetryPolicy, Wait, tool

@attrs.frozen
class State:
    count: int = 0
    target: int = 10
    wait_at: int = -1
    fail_at: int = -1
    doubt_at: int = -1
    look_at: int = -1

@tool(effect="read")
def look(at: int) -> str:
    "Look."
    return f"seen {at}"

@tool
def charge(amount: int) -> str:
    "Charge."
    raise TimeoutError("no answer")

async def step(state: State, ctx):
    print("step", state.count)
    if state.count == state.look_at:
        await ctx.call_tool("look", state.count)
    if state.count == state.doubt_at:
        await ctx.call_tool("charge", 5)
    if state.count == state.fail_at:
        import pathlib
        if not pathlib.Path("mended").exists():
            raise ValueError("no such customer")
    following = attrs.evolve(state, count=state.count + 1)
    if following.count >= state.target:
        return Complete({"count": following.count})
    if state.count == state.wait_at:
        return Wait(following, signal="go")
    return Continue(following)

agent = Agent(name="tester", step=step, initial_state=State, tools=(look, charge))
"""


@attrs.frozen
class Done:
    """What a command ended with."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@attrs.frozen
class Shell:
    """Runs commands in ``place``."""

    place: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *argv: str) -> Done:
        self.capture.readouterr()
        status = main(argv)
        captured = self.capture.readouterr()
        return Done(status, captured.out, captured.err)

    def run(self, *options: str, run_id: str = "r", **state: int) -> Done:
        return self("run", "agent.py", "--run-id", run_id, "--input", json.dumps(state), *options)

    def write(self, name: str, text: str) -> Path:
        path = self.place / name
        path.write_text(text)
        return path

    def snapshot(self) -> dict[str, str]:
        """Return the digest of every file of the folder, and of its subfolders."""
        return {
            str(path.relative_to(self.place)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in sorted(self.place.rglob("*"))
            if "__pycache__" not in path.parts
        }


def spawn(place: Path, *argv: str) -> subprocess.Popen[str]:
    """Start `loom-runner` in a process of its own."""
    return subprocess.Popen(
        (*PROGRAM, *argv),
        cwd=place,
        env={**os.environ, "XDG_CACHE_HOME": str(place / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read the process's stderr until it has said ``line``."""
    assert process.stderr is not None
    for said in process.stderr:
        if said.strip() == line:
            return
    raise AssertionError(f"the process ended without saying {line!r}")
