"""`loom-run chat --mock-llm`, killed at every write to its database and at random instants, and resumed."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.torture import chatting
from tests.torture.chatting import DONE, TURNS, Facts, Table
from tests.torture.crashing import Writes

FIRST_DEATHS = ((60, 120), (10, 80))
"""Writes of each turn that come after the conversation's own creation, and the message's."""

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1500)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    chatting.make_workspace(tmp_path)
    return tmp_path


def undisturbed(place: Path) -> list[Facts]:
    """Return what the store holds after each turn of a conversation that nothing happens to."""
    table, after = Table(place, "undisturbed"), []
    for turn in range(len(TURNS)):
        ending = chatting.say(table, turn)
        assert ending.value["status"] == DONE, ending
        after.append(chatting.facts(table))
        assert after[-1].is_persons_turn
        shutil.copy(table.db, place / f"turn{turn}.sqlite")
        shutil.copy(table.ledger, place / f"turn{turn}.asked")
    kinds = [[c.kind for c in each.calls] for each in after]
    assert kinds[0] == ["model", "tool", "tool", "model"]
    assert kinds[1] == [*kinds[0], "model", "tool", "model"]
    return after


def seated(place: Path, name: str, turn: int) -> Table:
    """Return a table at which the turns before ``turn`` are answered."""
    table = Table(place, name)
    if turn:
        shutil.copy(place / f"turn{turn - 1}.sqlite", table.db)
        shutil.copy(place / f"turn{turn - 1}.asked", table.ledger)
    return table


def finish(table: Table, turn: int, after: list[Facts]) -> int:
    chatting.bring_to_turn(table, turn)
    lost = chatting.judge(table, after[turn])
    for path in (table.db, table.ledger):
        path.unlink()
    return lost


@pytest.mark.parametrize("turn", range(len(TURNS)))
def test_killed_at_any_write_a_turn_is_finished_without_asking_for_a_recorded_answer_again(
    place: Path, whole_torture: bool, turn: int
) -> None:
    after = undisturbed(place)
    counted = chatting.say(seated(place, "count", turn), turn, writes=Writes())
    total = counted.value["writes"]
    assert total > 20, "the writes of a turn were not seen"
    points = range(1, total + 1, 1 if whole_torture else max(1, total // 12))
    deaths = lost = 0
    for point in points:
        for late in (False, True) if whole_torture else (point % 2 == 0,):
            table = seated(place, f"{point}{late}", turn)
            ending = chatting.say(table, turn, writes=Writes(die_at=point, after=late))
            deaths += ending.signal == signal.SIGKILL
            lost += finish(table, turn, after)
    assert deaths == len(points) * (2 if whole_torture else 1), "a kill point was not reached"
    print(f"turn {turn + 1}: killed at {deaths} points of {total} writes; {lost} questions asked a second time")


def test_killed_again_and_again_while_resuming_a_turn_is_still_finished(place: Path, whole_torture: bool) -> None:
    rng = random.Random(11)
    after = undisturbed(place)
    deaths = 0
    for round_ in range(40 if whole_torture else 2):
        turn = round_ % len(TURNS)
        table = seated(place, f"again{round_}", turn)
        first = Writes(die_at=rng.randint(*FIRST_DEATHS[turn]))
        assert chatting.say(table, turn, writes=first).signal == signal.SIGKILL
        for point in rng.choices(range(2, 16), k=4):
            ending = chatting.resume(table, writes=Writes(die_at=point))
            deaths += ending.signal == signal.SIGKILL
            assert ending.signal is not None or ending.value["status"] == DONE, ending
        chatting.bring_to_turn(table, turn)
        chatting.judge(table, after[turn])
    assert deaths > round_, "the resumes ended before they could be killed"
    print(f"killed {deaths} times while resuming {round_ + 1} turns")


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_killed_at_a_random_instant_a_turn_is_finished(place: Path, whole_torture: bool, with_signal: int) -> None:
    rng = random.Random(int(with_signal))
    after = undisturbed(place)
    whole = chatting.say(seated(place, "whole", 0), 0).seconds
    instants = (200 if with_signal == signal.SIGKILL else 50) if whole_torture else 6
    hits = 0
    for number in range(instants):
        turn = number % len(TURNS)
        table = seated(place, f"instant{number}", turn)
        ending = chatting.say(table, turn, kill_after_s=rng.uniform(0, whole), kill_with=with_signal)
        # One SIGTERM is a request to stop after the step under way: 130, or the answer if that was the last step.
        hits += ending.signal == with_signal or (ending.value or {}).get("status") == 130
        assert ending.raised is None, ending
        finish(table, turn, after)
    assert hits >= instants / 5, "the kills came too late to test anything"
    print(f"{hits} of {instants} signals hit the turn")
