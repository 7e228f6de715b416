"""kill -9 at every write that the process makes to the database, before and after it, and at random instants."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.torture import ledger_agent
from tests.torture.crashing import CrashingVFS, Writes, in_child
from tests.torture.judging import bring_to_end, judge

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1500)]


def start_and_die(db: Path, ledger: Path, die_at: int, *, after: bool) -> int:
    writes = Writes(die_at=die_at, after=after)
    vfs = CrashingVFS(writes)
    ledger_agent.start(db, ledger)
    assert vfs.registered
    return writes.seen


def resume_and_die(db: Path, ledger: Path, die_at: int) -> None:
    vfs = CrashingVFS(Writes(die_at=die_at))
    ledger_agent.resume(db, ledger)
    assert vfs.registered


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def count_writes(place: Path) -> int:
    db, ledger = place / "count.sqlite", place / "count.ledger"
    ending = in_child(lambda: start_and_die(db, ledger, 0, after=False), place / "report")
    assert ending.raised is None, ending.raised
    judge(db, ledger)
    return int(ending.value)


def test_killed_at_any_write_a_run_is_resumed_without_a_step_or_an_effect_twice(
    place: Path, whole_torture: bool
) -> None:
    total = count_writes(place)
    points = range(1, total + 1, 1 if whole_torture else max(1, total // 40))
    deaths = doubts = 0
    for point in points:
        for after in (False, True):
            db, ledger = place / f"{point}{after}.sqlite", place / f"{point}{after}.ledger"
            report = place / "report"
            ending = in_child(lambda p=point, a=after, d=db, f=ledger: start_and_die(d, f, p, after=a), report)
            deaths += ending.signal == signal.SIGKILL
            doubts += bring_to_end(db, ledger, report).doubts
            judge(db, ledger)
    assert total > 30 * 5, "the writes of 30 steps were not seen"
    assert deaths == 2 * len(points), "a kill point was not reached, so nothing was tested there"
    print(f"killed at {deaths} points of {total} writes; {doubts} runs waited for a person")


def test_killed_again_and_again_while_resuming_a_run_still_comes_to_its_end(place: Path, whole_torture: bool) -> None:
    rng = random.Random(7)
    deaths = 0
    for round_ in range(40 if whole_torture else 4):
        db, ledger, report = place / f"{round_}.sqlite", place / f"{round_}.ledger", place / "report"
        first = rng.randint(100, 300)
        in_child(lambda d=db, f=ledger, p=first: start_and_die(d, f, p, after=False), report)
        for point in rng.choices(range(3, 60), k=8):
            ending = in_child(lambda d=db, f=ledger, p=point: resume_and_die(d, f, p), report)
            assert ending.raised is None, ending
            deaths += ending.signal == signal.SIGKILL
        bring_to_end(db, ledger, report)
        judge(db, ledger)
    assert deaths > 2 * round_, "the resumes ended before they could be killed"
    print(f"killed {deaths} times while resuming {round_ + 1} runs")


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_killed_at_a_random_instant_a_run_is_resumed_without_a_step_or_an_effect_twice(
    place: Path, whole_torture: bool, with_signal: int
) -> None:
    rng = random.Random(int(with_signal))
    report = place / "report"
    whole = in_child(lambda: ledger_agent.start(place / "w.sqlite", place / "w.ledger"), report).seconds
    instants = (200 if whole_torture else 15) if with_signal == signal.SIGKILL else (50 if whole_torture else 5)
    hits = 0
    for number in range(instants):
        db, ledger = place / f"{number}.sqlite", place / f"{number}.ledger"
        ending = in_child(
            lambda d=db, f=ledger: ledger_agent.start(d, f),
            report,
            kill_after_s=rng.uniform(0, whole),
            kill_with=with_signal,
        )
        hits += ending.signal == with_signal
        bring_to_end(db, ledger, report)
        judge(db, ledger)
    assert hits > instants / 4, "the kills came too late to test anything"
