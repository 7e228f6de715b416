"""What explain says of a run's origin, of its code, and of what its history no longer has."""

from __future__ import annotations

import attrs
import pytest

from loom_core.contracts.origins import RunOrigin
from loom_core.contracts.retention import Gap
from loom_core.contracts.stores import AgentRecord, RunRecord
from loom_core.runtime.explain.descent import changed_code, descent_lines, gap_lines
from loom_core.runtime.explain.reading import Material, read
from loom_core.testing import MemoryStore
from loom_core.testing.store_values import LEASE_S, OWNER, new_run
from tests.core.runtime.support import play

AGENT = AgentRecord(name="a", version="1", reference="a.py", code_hash="0123456789ab", schema_hash="s")


def _material(**changes: object) -> Material:
    async def main() -> Material:
        store = MemoryStore()
        await store.create_run(new_run(), OWNER, LEASE_S)
        return await read(store, "run")

    found: Material = play(main)
    return attrs.evolve(found, **changes)


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        ((), []),
        ((Gap(first=-1, last=-1),), ["history   no longer has the first state"]),
        ((Gap(first=-1, last=0),), ["history   no longer has step 0"]),
        ((Gap(first=-1, last=63),), ["history   no longer has steps 0–63"]),
        (
            (Gap(first=0, last=1998, every=100),),
            ["history   no longer has steps 0–1,998 but those after which 100 divides the number of steps"],
        ),
        (
            tuple(Gap(first=n, last=n) for n in (3, 5, 7, 9, 11)),
            ["history   no longer has step 3, step 5, step 7, and 2 more stretches"],
        ),
    ],
)
def test_gaps_are_told_in_words(gaps: tuple[Gap, ...], words: list[str]) -> None:
    assert list(gap_lines(_material(gaps=gaps))) == words


def test_what_lies_before_a_fork_is_no_gap() -> None:
    record: RunRecord = attrs.evolve(_material().record, origin=RunOrigin(forked_from="x", forked_step=7))
    assert list(gap_lines(_material(record=record, gaps=(Gap(first=-1, last=5),)))) == []
    assert list(descent_lines(record)) == ["forked    from `x` at step 7"]
    assert list(descent_lines(_material().record)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "2"}, "version 1 → 2"),
        ({"reference": None}, "file a.py → none"),
        ({"name": "b"}, "agent a → b"),
        ({"code_hash": "fedcba9876"}, "its source is another (01234567 → fedcba98)"),
        ({"code_hash": None}, "its source is another (01234567 → not known)"),
        ({"schema_hash": "t"}, "its state has another shape"),
    ],
)
def test_other_code_is_told_by_what_is_different(change: dict[str, str | None], words: str) -> None:
    assert changed_code(AGENT, attrs.evolve(AGENT, **change)) == words
