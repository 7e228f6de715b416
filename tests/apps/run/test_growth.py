"""A conversation's database grows with what is said in it, however long it is."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
from pathlib import Path

import pytest
from loom_run.main import main

from loom_core import open_store

WORDS = ["".join(random.Random(n).choices("abcdefghijklmnopqrstuvwxyz", k=3 + n % 7)) for n in range(5_000)]
TURNS = 100


def text_of(number: int) -> str:
    """Return 500 bytes of random words, which do not compress well."""
    return " ".join(random.Random(-number).choices(WORDS, k=200))[:500]


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Return the database's size after each turn: 500 bytes asked, 500 answered, each turn a command of its own."""
    place = tmp_path_factory.mktemp("growth")
    db, script = place / "runs.sqlite", place / "script.json"
    script.write_text(json.dumps([{"when": {"turn": n}, "text": text_of(1_000 + n)} for n in range(TURNS)]))
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place))
        patch.setenv("LOOM_PLUGINS__LLM_MOCK__SCRIPT", str(script))
        for number in range(TURNS):
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                assert main(["chat", text_of(number), "--run-id", "q", "--db", str(db), "--mock-llm"]) == 0
            found.append(sum(path.stat().st_size for path in place.glob("runs.sqlite*")))
    return found


def test_a_late_turn_costs_what_an_early_one_does(sizes: list[int]) -> None:
    print(f"{sizes[-1]:,} bytes after {TURNS} turns")
    early, late = sizes[40] - sizes[10], sizes[-1] - sizes[-31]
    assert late < early * 1.5
    assert sizes[-1] < TURNS * 4_400


def test_two_hundred_messages_of_five_hundred_bytes_take_no_more_than_300_kb(sizes: list[int], tmp_path: Path) -> None:
    async def empty() -> int:
        await open_store(str(tmp_path / "empty.sqlite"), "create").aclose()
        return (tmp_path / "empty.sqlite").stat().st_size

    # Every table and index has a page of its own before there is anything in it.
    assert sizes[-1] - asyncio.run(empty()) <= 300_000
