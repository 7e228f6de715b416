"""Ctrl-C once and twice, cancellation, and a database that somebody else has locked, all at random instants."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from loom_core import AgentRunner
from loom_core.errors import StoreUnusable
from tests.torture import commanding, ledger_agent
from tests.torture.crashing import in_child
from tests.torture.judging import bring_to_end, judge

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1500)]

PROMPT_S = 10.0
"""More than any of these runs takes on a busy machine, and less than any wait that would be a freeze."""


@pytest.mark.parametrize("again_after_s", [None, 0.0, 0.01], ids=["once", "twice at once", "twice"])
def test_ctrl_c_at_a_random_instant_leaves_a_run_that_is_resumed(
    tmp_path: Path, whole_torture: bool, again_after_s: float | None
) -> None:
    rng = random.Random(3)
    report = tmp_path / "report"
    whole = in_child(lambda: commanding.run(tmp_path / "w.sqlite", tmp_path / "w.ledger"), report)
    assert whole.value["status"] == 0, whole
    statuses: dict[int | None, int] = {}
    doubts = 0
    for number in range(100 if whole_torture else 8):
        db, ledger = tmp_path / f"{number}.sqlite", tmp_path / f"{number}.ledger"
        ending = in_child(
            lambda d=db, f=ledger: commanding.run(d, f),
            report,
            kill_after_s=rng.uniform(0, whole.seconds),
            kill_with=signal.SIGINT,
            again_after_s=again_after_s,
            patience_s=PROMPT_S,
        )
        # Before and after the command itself, an interrupt is the test program's own, which leaves no report then.
        status = None if ending.value is None else ending.value["status"]
        assert status in (None, 0, 130), ending
        assert "Traceback" not in (ending.value or {}).get("err", "")
        statuses[status] = statuses.get(status, 0) + 1
        verdict = bring_to_end(db, ledger, report)
        doubts += verdict.doubts
        assert again_after_s is not None or not verdict.doubts, "one Ctrl-C lets the step under way finish"
        judge(db, ledger)
    assert statuses.get(130, 0) > 0, "no interrupt hit the run"
    print(f"ended with {statuses}; {doubts} runs waited for a person")


def test_a_task_cancelled_at_a_random_instant_leaves_a_run_that_is_resumed(tmp_path: Path, whole_torture: bool) -> None:
    rng = random.Random(5)
    report = tmp_path / "report"
    whole = in_child(lambda: ledger_agent.start(tmp_path / "w.sqlite", tmp_path / "w.ledger"), report).seconds / 2
    cancelled = doubts = 0
    instants = 100 if whole_torture else 12
    for number in range(instants):
        db, ledger = tmp_path / f"{number}.sqlite", tmp_path / f"{number}.ledger"
        after_s = rng.uniform(0, whole)
        ending = in_child(lambda d=db, f=ledger, s=after_s: _cancel(d, f, s), report, patience_s=PROMPT_S)
        assert ending.raised is None, ending
        cancelled += ending.value == "cancelled"
        doubts += bring_to_end(db, ledger, report).doubts
        judge(db, ledger)
    assert cancelled > instants / 8
    print(f"cancelled {cancelled} of {instants} runs; {doubts} waited for a person")


def _cancel(db: Path, ledger: Path, after_s: float) -> str:
    async def main() -> str:
        async with AgentRunner(agent=ledger_agent.make_agent(ledger), store=db) as runner:
            task = asyncio.ensure_future(runner.start(run_id=ledger_agent.RUN_ID))
            asyncio.get_running_loop().call_later(after_s, task.cancel)
            try:
                return (await task).status
            except asyncio.CancelledError:
                return "cancelled"

    return asyncio.run(main())


@pytest.mark.parametrize("act", [ledger_agent.start, ledger_agent.resume], ids=["start", "resume"])
def test_a_run_waits_for_a_database_that_another_process_has_locked_and_goes_on(
    tmp_path: Path, whole_torture: bool, act: Callable[[Path, Path], dict[str, Any]]
) -> None:
    rng = random.Random(9)
    held_s = 20.0 if whole_torture else 3.0
    report = tmp_path / "report"
    hits = 0
    # One run that meets the lock is enough for the slice; on a fast machine the first may have ended before it.
    for number in range(5):
        if hits and not whole_torture:
            break
        db, ledger = tmp_path / f"{number}.sqlite", tmp_path / f"{number}.ledger"
        if act is ledger_agent.resume:
            in_child(lambda d=db, f=ledger: _begin(d, f), report)
        after_s = rng.uniform(0.0, 0.1) / (1 + number)
        ending = in_child(lambda d=db, f=ledger, s=after_s: _beside_a_lock(act, d, f, s, held_s), report)
        assert ending.raised is None, ending
        assert ending.value["status"] == "completed", ending
        assert ending.value["result"] == ledger_agent.expected_result()
        hits += ending.value["seconds"] >= held_s * 0.9
        assert ending.value["longest_gap_s"] < 1.0, "the event loop was frozen"
        judge(db, ledger)
        assert len(ledger_agent.lines(ledger)) == ledger_agent.STEPS
    assert hits > 0, "no run met the lock"
    print(f"{hits} of {number + 1} runs met a lock of {held_s:g} s")


def _begin(db: Path, ledger: Path) -> None:
    async def main() -> None:
        async with AgentRunner(agent=ledger_agent.make_agent(ledger), store=db) as runner:
            await runner.start(run_id=ledger_agent.RUN_ID, max_steps=3)

    asyncio.run(main())


def _beside_a_lock(act: Any, db: Path, ledger: Path, after_s: float, held_s: float) -> dict[str, Any]:
    """Run while a process of its own locks the database; return the result, and how long the loop stood still."""
    locker = os.fork()
    if locker == 0:
        try:
            time.sleep(after_s)
            _hold_lock(db, held_s)
        finally:
            os._exit(0)
    started = time.monotonic()
    gaps: list[float] = []

    async def main() -> dict[str, Any]:
        ticking = asyncio.ensure_future(_tick(gaps))
        try:
            async with AgentRunner(agent=ledger_agent.make_agent(ledger), store=db) as runner:
                method = runner.start if act is ledger_agent.start else runner.resume
                result = await method(run_id=ledger_agent.RUN_ID)
        finally:
            ticking.cancel()
        return {"status": result.status, "result": result.result}

    answer = asyncio.run(main())
    seconds = time.monotonic() - started
    os.waitpid(locker, 0)
    return {**answer, "seconds": seconds, "longest_gap_s": max(gaps, default=0.0)}


async def _tick(gaps: list[float]) -> None:
    last = time.monotonic()
    while True:
        await asyncio.sleep(0.01)
        now = time.monotonic()
        gaps.append(now - last)
        last = now


def _hold_lock(db: Path, held_s: float) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            connection = apsw.Connection(str(db), flags=apsw.SQLITE_OPEN_READWRITE)
        except (apsw.Error, StoreUnusable):
            time.sleep(0.002)
            continue
        connection.set_busy_timeout(2000)
        if connection.execute("PRAGMA journal_mode").fetchall()[0][0] != "wal":
            connection.close()
            time.sleep(0.002)
            continue
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(held_s)
        connection.execute("ROLLBACK")
        connection.close()
        return
