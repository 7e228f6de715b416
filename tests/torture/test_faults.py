"""A tool that opens the database's own files, one that blocks, a database that is locked: each with Ctrl-C and without.

Real processes, `loom-runner run`. A task that ticks beside the step shows whether the event loop stood still.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import attrs
import pytest

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

PROGRAM = (sys.executable, "-c", "import sys; from loom_runner.main import main; sys.exit(main())")
NOTICE = "stopping after the step under way; press Ctrl-C again to stop now"
STEPS = 12

AGENT = """
import asyncio, os, pathlib, time
from loom_core import Agent, Complete, Continue, ExponentialBackoff, RetryPolicy, ToolFailed, tool

HERE = pathlib.Path(__file__).parent
STEPS = {steps}

def note(name, line):
    descriptor = os.open(HERE / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (str(line) + "\\n").encode())
    os.close(descriptor)

@tool(effect="read", timeout_s=5)
def peek(times: int) -> int:
    "Open, read and close every file of the run database, as a search through the folder does."
    for _ in range(times):
        for name in os.listdir(HERE):
            if name.startswith("runs.sqlite"):
                try:
                    (HERE / name).read_bytes()
                except FileNotFoundError:
                    pass
    return times

@tool(effect="read", timeout_s=0.2)
def block() -> str:
    "Block for 8 seconds."
    note("began", "block")
    time.sleep(8)
    return "late"

@tool(effect="once", timeout_s=0.2)
def block_once() -> str:
    "Block for 8 seconds; must not be repeated."
    note("began", "block_once")
    time.sleep(8)
    return "late"

@tool(effect="once")
async def pay(amount: int) -> int:
    "Pay."
    note("ledger", amount)
    return amount

async def tick():
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.01)
        now = time.monotonic()
        note("gaps", now - last)
        last = now

async def step(state: dict, ctx):
    n, fault = state["n"], state["fault"]
    ticking = asyncio.ensure_future(tick())
    try:
        await ctx.call_tool("pay", n)
        if fault == "peek":
            await ctx.gather(*(ctx.call_tool("peek", 20) for _ in range(4)))
        elif fault == "block" and n == 1:
            try:
                await ctx.call_tool("block")
            except ToolFailed as error:
                note("failed", error.error_category)
        elif fault == "block_once" and n == 1 and not (HERE / "free").exists():
            await ctx.call_tool("block_once")
        elif fault == "lock" and n == 1:
            note("began", "lock")
            while not (HERE / "locked").exists():
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
    finally:
        ticking.cancel()
    return Complete(n) if n == STEPS else Continue({{"n": n + 1, "fault": fault}})

agent = Agent(name="faulty", step=step, initial_state={{"n": 0, "fault": "none"}},
              tools=(peek, block, block_once, pay),
              retry_policy=RetryPolicy(max_attempts=2, backoff=ExponentialBackoff(initial_s=0, max_s=0)))
"""


@attrs.frozen
class Ended:
    status: int
    out: str
    err: str
    seconds: float


@attrs.frozen
class Place:
    """A folder with the agent, its database, and what its tools wrote down."""

    folder: Path

    def start(self, *argv: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOOM_")}
        return subprocess.Popen(
            (*PROGRAM, *argv),
            cwd=self.folder,
            env={**environment, "HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, fault: str) -> subprocess.Popen[str]:
        state = json.dumps({"n": 0, "fault": fault})
        return self.start("run", "agent.py", "--run-id", "r", "--db", "runs.sqlite", "--input", state)

    def command(self, *argv: str) -> Ended:
        return end(self.start(argv[0], *argv[1:], "--run-id", "r", "--db", "runs.sqlite"))

    def notes(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def wait_for(self, name: str, process: subprocess.Popen[str], lines: int = 1) -> None:
        until = time.monotonic() + 30
        while len(self.notes(name)) < lines:
            assert process.poll() is None and time.monotonic() < until, f"`{name}` was not written"
            time.sleep(0.005)

    def longest_gap_s(self) -> float:
        return max(map(float, self.notes("gaps")))

    def judge(self) -> None:
        """Every payment once, the store in order."""
        assert self.notes("ledger") == [str(n) for n in range(STEPS + 1)]
        verified = self.command("verify")
        assert verified.status == 0, verified


def end(process: subprocess.Popen[str], patience_s: float = 60.0) -> Ended:
    started = time.monotonic()
    try:
        out, err = process.communicate(timeout=patience_s)
    finally:
        process.kill()
    return Ended(process.returncode, out, err, time.monotonic() - started)


def interrupt(process: subprocess.Popen[str], times: int) -> None:
    """Press Ctrl-C; the second time once the first one was heard."""
    assert process.stderr is not None
    for number in range(times):
        if number:
            assert any(line.strip() == NOTICE for line in process.stderr)
        process.send_signal(signal.SIGINT)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "agent.py").write_text(AGENT.format(steps=STEPS))
    return Place(tmp_path)


@contextlib.contextmanager
def locked(place: Place) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(place.folder / "runs.sqlite"), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(5000)
    connection.execute("BEGIN IMMEDIATE")
    (place.folder / "locked").write_text("")
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("interrupts", [0, 1, 2])
def test_tools_that_open_and_close_the_databases_own_files_lose_nothing(place: Place, interrupts: int) -> None:
    process = place.run("peek")
    if interrupts:
        place.wait_for("ledger", process, 3)
        interrupt(process, interrupts)
    first = end(process)
    assert first.status == (130 if interrupts else 0), first
    assert place.longest_gap_s() < 1.0
    if interrupts:
        resumed = place.command("resume")
        # Twice, in a `once` call: a person has to say whether it happened.
        assert resumed.status == 0 or _decided_by_the_ledger(place, resumed), resumed
    place.judge()


def _decided_by_the_ledger(place: Place, left: Ended) -> bool:
    assert left.status == 4, left
    calls = json.loads(place.command("tool-calls", "--limit", "1000", "--json").out)["calls"]
    (call,) = [c for c in calls if c["status"] == "unknown" and c["tool"] == "pay"]
    assert place.notes("ledger")[-1] == str(call["step_index"])
    assert place.command("resolve", call["call_id"], "--result", str(call["step_index"])).status == 0
    return place.command("resume").status == 0


def test_nor_do_they_while_other_processes_write_the_same_database(place: Place) -> None:
    process, others = place.run("peek"), 0
    place.wait_for("ledger", process, 2)
    while process.poll() is None:
        more = ("--run-id", f"other{others}", "--db", "runs.sqlite", "--input", '{"n": 10, "fault": "peek"}')
        aside = place.folder / f"aside{others}"
        aside.mkdir()
        (aside / "agent.py").write_text((place.folder / "agent.py").read_text())
        other = end(place.start("run", f"aside{others}/agent.py", *more))
        assert other.status == 0, other
        others += 1
    first = end(process)
    if first.status != 0:
        # The other process took itself for the last one and removed the log: noticed, said, and nothing written since.
        assert "was removed while this program used it" in first.err, first
        assert "Traceback" not in first.err
        resumed = place.command("resume")
        assert resumed.status == 0 or _decided_by_the_ledger(place, resumed), resumed
    place.judge()
    assert others > 0
    verified = end(place.start("list", "--db", "runs.sqlite", "--json"))
    runs = json.loads(verified.out)["runs"]
    assert {run["status"] for run in runs} == {"completed"}
    assert len(runs) == others + 1


@pytest.mark.parametrize("interrupts", [0, 1, 2])
def test_a_blocking_tool_of_8_s_with_a_timeout_of_200_ms_holds_nothing_up(place: Place, interrupts: int) -> None:
    process = place.run("block")
    place.wait_for("began", process)
    interrupt(process, interrupts)
    first = end(process)
    assert first.seconds < 4, "the process waited for a tool that had been given up"
    assert first.status == (130 if interrupts else 0), first
    assert place.longest_gap_s() < 1.0
    if interrupts:
        assert place.command("resume").status == 0
    assert "transient" in place.notes("failed")
    place.judge()


@pytest.mark.parametrize("interrupts", [0, 1, 2])
def test_a_blocking_once_tool_that_timed_out_is_in_doubt_and_never_repeated(place: Place, interrupts: int) -> None:
    process = place.run("block_once")
    place.wait_for("began", process)
    interrupt(process, interrupts)
    first = end(process)
    assert first.seconds < 4
    # The second Ctrl-C meets the call in its 200 ms, or a run that already waits for a person.
    assert first.status in ((4, 130) if interrupts == 2 else (4,)), first
    assert place.longest_gap_s() < 1.0
    waiting = place.command("resume")
    assert waiting.status == 4, waiting
    assert "block_once" in place.command("explain").out
    assert place.notes("began") == ["block_once"]
    assert place.command("resolve", "1/1", "--result", '"late"').status == 0
    assert place.command("resume").status == 0
    assert place.notes("began") == ["block_once"]
    place.judge()


@pytest.mark.parametrize("interrupts", [0, 1, 2])
def test_a_database_locked_under_a_running_step_is_waited_for(
    place: Place, whole_torture: bool, interrupts: int
) -> None:
    held_s = 6.0 if whole_torture else 1.5
    process = place.run("lock")
    place.wait_for("began", process)
    with locked(place):
        until = time.monotonic() + held_s
        time.sleep(0.2)
        if interrupts:
            interrupt(process, interrupts)
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        # The second Ctrl-C does not wait for the lock; the first one and none do.
        assert process.poll() is None or interrupts == 2
    first = end(process)
    assert first.seconds < 5, "the process did not go on when the lock was gone"
    assert first.status == (130 if interrupts else 0), first
    assert place.longest_gap_s() < 1.0
    if interrupts:
        assert place.command("resume").status == 0
    place.judge()


def test_the_second_ctrl_c_ends_the_process_although_the_database_stays_locked(place: Place) -> None:
    process = place.run("lock")
    place.wait_for("began", process)
    with locked(place):
        time.sleep(0.2)
        interrupt(process, 2)
        first = end(process, patience_s=15)
        assert first.status == 130, first
    assert place.command("resume").status == 0
    place.judge()
