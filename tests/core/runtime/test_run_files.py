"""Files of runs: what is written is read, and whatever is not what was written is refused with one sentence."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loom_core.contracts.dumps import Part
from loom_core.contracts.stores import EncodedState, StepRecord
from loom_core.errors import BadInput
from loom_core.runtime.run_files import RunFileWriter, open_run_file
from loom_core.testing import MemoryStore
from loom_core.testing.store_contract_upkeep import _everything
from loom_core.testing.store_values import LEASE_S, NASTY_TEXTS, OWNER, RIVAL, admit, digest, new_run
from tests.core.runtime.support import play


def _dumped() -> list[Part]:
    async def main() -> list[Part]:
        store = MemoryStore()
        await _everything(store, "one")
        await store.fork_run("one", 155, "fork", RIVAL, admit)
        writer = (await store.create_run(new_run("nasty"), OWNER, LEASE_S)).writer
        for number, text in enumerate(NASTY_TEXTS):
            await writer.commit(number, EncodedState(text, digest(text)))
        parts: list[Part] = []
        await store.export_runs(None, parts.append)
        return parts

    found: list[Part] = play(main)
    return found


PARTS = _dumped()


def _written(parts: list[Part] = PARTS) -> bytes:
    stream = io.BytesIO()
    writer = RunFileWriter(stream, location="runs.sqlite", at=1.5)
    for part in parts:
        writer.take(part)
    writer.close()
    return stream.getvalue()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_bytes(_written())
    found = open_run_file(path)
    assert (found.location, found.at, found.run_ids) == ("runs.sqlite", 1.5, ("one", "fork", "nasty"))
    assert list(found.parts()) == PARTS
    assert list(found.parts()) == PARTS


def test_a_file_of_no_runs_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_bytes(_written([]))
    assert (open_run_file(path).run_ids, list(open_run_file(path).parts())) == ((), [])


def test_a_file_grows_with_the_changes_and_not_with_the_states() -> None:
    steps = [part for part in PARTS if isinstance(part, StepRecord)][:150]
    states = sum(len(step.state or "") for step in steps)
    assert states > 60_000
    assert len(_written([PARTS[0], *steps])) < states


def _replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: b"", "cut off after line 0"),
        (lambda data: data[: len(data) // 2], "damaged at line|cut off"),
        (lambda data: b"".join(data.splitlines(keepends=True)[:-1]), "is cut off after line"),
        (lambda data: data + b"{}\n", "no part of a run"),
        (lambda data: data + data, "no part of a run"),
        (lambda data: data + b'{"end":{}}\n', "goes on after its end"),
        (lambda data: b"SQLite format 3\0" + b"\xff" * 100, "is not a file of runs"),
        (lambda data: b'{"loom":"other"}\n', "is not a file of runs"),
        (lambda data: b"[1,2,3]\n", "is not a file of runs"),
        (_replaced(b'"format":1', b'"format":2'), "written by a newer Loom"),
        (_replaced(b'"step_index":3,', b'"step_index":4,'), "run `one` is not what was written"),
        (_replaced(b'{"step":', b'{"step": '), "run `one` is not what was written"),
        (_replaced(b'{"claim":', b'{"klaim":'), "it is no part of a run"),
        (_replaced(b'"runs":3', b'"runs":2'), "it is not what was written"),
        (_replaced(b'"from":"runs', b'"from":"ruNs'), "it is not what was written"),
    ],
)
def test_whatever_is_not_what_was_written_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_bytes(change(_written()))
    with pytest.raises(BadInput, match=words) as caught:
        open_run_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_any_byte_that_changes_and_any_line_that_is_missing_is_found(tmp_path: Path) -> None:
    whole = _written(PARTS[:60])
    chance = random.Random(3)
    path = tmp_path / "runs.jsonl"
    for _ in range(300):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        with pytest.raises(BadInput):
            open_run_file(path)
    lines = whole.splitlines(keepends=True)
    for number in range(len(lines)):
        path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
        with pytest.raises(BadInput):
            open_run_file(path)


def test_a_line_that_is_no_record_is_named_though_its_checksums_are_right(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    data: dict[str, Any] = {}

    class Odd(RunFileWriter):
        def _write(self, line: dict[str, Any]) -> None:
            if "claim" in line:
                line = {"claim": {**line["claim"], **data}}
            super()._write(line)

    for data in ({"epoch": "1"}, {"more": 1}, {"owner": None}, {"at": []}):  # noqa: B007 - read by Odd
        stream = io.BytesIO()
        writer = Odd(stream, location="x", at=0.0)
        for part in PARTS[:40]:
            writer.take(part)
        writer.close()
        path.write_bytes(stream.getvalue())
        with pytest.raises(BadInput, match="is damaged at line 3: its `claim` is none"):
            list(open_run_file(path).parts())


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"):
            open_run_file(path)
    assert json.loads(_written([]).splitlines()[0])["loom"] == "runs"
