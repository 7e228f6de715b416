"""Files of runs: JSON lines with checksums, written and read as a stream. The format is in ``docs/upkeep.md``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import attrs

from loom_core.contracts.dumps import BudgetNode, CallNode, MessageNode, Part
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.retention import Gap
from loom_core.contracts.stores import AttemptRecord, ClaimRecord, RunRecord, SignalRecord, StepRecord
from loom_core.errors import BadInput
from loom_core.history import DELTA, HistoryCorrupt, apply
from loom_core.history.deltas import fields_delta, text_delta
from loom_core.history.fields import split

FORMAT = 1
_GROUP = 64
_SHORT = 256
_KINDS: dict[str, type[Any]] = {
    "run": RunRecord,
    "gap": Gap,
    "claim": ClaimRecord,
    "step": StepRecord,
    "attempt": AttemptRecord,
    "message": MessageNode,
    "call": CallNode,
    "signal": SignalRecord,
    "budget": BudgetNode,
    "approval": ApprovalRecord,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class RunFileWriter:
    """Writes parts to a binary stream; ``close`` writes the end, without which a file is refused."""

    def __init__(self, stream: IO[bytes], *, location: str, at: float) -> None:
        self._stream = stream
        self._all = blake2b(digest_size=16)
        self._run: Any = None
        self._run_id = ""
        self._lines = self.runs = 0
        self._states = _Shortener()
        self._write({"loom": "runs", "format": FORMAT, "from": location, "at": at})

    def take(self, part: Part) -> None:
        """Write a part."""
        if isinstance(part, RunRecord):
            self._end_run()
            self._run, self._run_id, self._lines = blake2b(digest_size=16), part.run_id, 0
            self._states = _Shortener()
        data = attrs.asdict(part, value_serializer=_plain)
        if isinstance(part, StepRecord):
            data |= self._states.shorten(data.pop("state"))
        self._write({_NAMES[type(part)]: data})

    def close(self) -> None:
        """Write the end of the file; the stream stays open."""
        self._end_run()
        self._write({"end": {"runs": self.runs, "blake2b": self._all.hexdigest()}})

    def _end_run(self) -> None:
        if self._run is not None:
            run, self._run = self._run, None
            self._write({"end_run": {"run_id": self._run_id, "lines": self._lines, "blake2b": run.hexdigest()}})
            self.runs += 1

    def _write(self, data: dict[str, Any]) -> None:
        line = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        self._all.update(line)
        if self._run is not None:
            self._run.update(line)
            self._lines += 1
        self._stream.write(line)


@attrs.frozen(kw_only=True)
class RunFile:
    """A file that was read to its end and is whole: where it is, which store it came from, which runs it has."""

    path: Path
    location: str
    at: float
    run_ids: tuple[str, ...]

    def parts(self) -> Iterator[Part]:
        """Yield the parts; raises ``BadInput`` for a line that is no record."""
        states = _Restorer()
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                (kind, data), *_ = json.loads(line).items()
                if kind not in _KINDS:
                    continue
                try:
                    if kind == "run":
                        states = _Restorer()
                    elif kind == "step":
                        data = states.restored(data)
                    yield _structure()(data, _KINDS[kind])
                except (BadInput, HistoryCorrupt, ValueError, TypeError, KeyError, ExceptionGroup) as error:
                    raise _damaged(self.path, number, f"its `{kind}` is none") from error


def open_run_file(path: Path) -> RunFile:
    """Check a file from its first to its last line; raises ``BadInput`` with one sentence for what cannot be used."""
    try:
        with path.open("rb") as stream:
            return _checked(path, stream)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error


def _checked(path: Path, stream: Iterable[bytes]) -> RunFile:
    whole = blake2b(digest_size=16)
    run: Any = None
    run_id, lines, run_ids = "", 0, list[str]()
    header: dict[str, Any] | None = None
    ended = False
    number = 0
    for number, line in enumerate(stream, start=1):
        kind, data = _entry(path, number, line, is_first=header is None)
        if ended:
            raise _damaged(path, number, "it goes on after its end")
        if header is None:
            header = data
        elif kind == "end":
            ended = True
            if run is not None or data != {"runs": len(run_ids), "blake2b": whole.hexdigest()}:
                raise _damaged(path, number, "it is not what was written")
        elif kind == "end_run":
            if run is None or data != {"run_id": run_id, "lines": lines, "blake2b": run.hexdigest()}:
                raise _damaged(path, number, f"run `{run_id}` is not what was written")
            run_ids.append(run_id)
            run = None
        else:
            if kind == "run" and run is None:
                run, run_id, lines = blake2b(digest_size=16), str(data.get("run_id")), 0
            elif run is None or kind == "run":
                raise _damaged(path, number, "a run does not begin or end where it should")
            run.update(line)
            lines += 1
        whole.update(line)
    if header is None or not ended:
        raise BadInput(f"{path} is cut off after line {number}", hint="export it again, or copy it again")
    return RunFile(path=path, location=str(header.get("from")), at=header.get("at", 0.0), run_ids=tuple(run_ids))


def _entry(path: Path, number: int, line: bytes, *, is_first: bool) -> tuple[str, dict[str, Any]]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise (_foreign(path) if is_first else _damaged(path, number, "it is no JSON")) from error
    if is_first:
        if not isinstance(entry, dict) or entry.get("loom") != "runs":
            raise _foreign(path)
        if entry.get("format") != FORMAT:
            raise BadInput(
                f"{path} was written by a newer Loom (its format is {entry.get('format')}, this Loom reads {FORMAT})",
                hint="upgrade: pip install --upgrade loom-stack",
            )
        return "header", entry
    known = isinstance(entry, dict) and len(entry) == 1 and isinstance(next(iter(entry.values())), dict)
    if not known or next(iter(entry)) not in (*_KINDS, "end", "end_run"):
        raise _damaged(path, number, "it is no part of a run")
    kind, data = next(iter(entry.items()))
    return str(kind), data


def _foreign(path: Path) -> BadInput:
    return BadInput(f"{path} is not a file of runs", hint="such a file is made by: loom store export -o FILE")


def _damaged(path: Path, number: int, why: str) -> BadInput:
    return BadInput(f"{path} is damaged at line {number}: {why}", hint="export it again, or copy it again")


class _Shortener:
    """Writes a state whole, as a difference to the one before, or as the same."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._distance = 0

    def shorten(self, text: str | None) -> dict[str, Any]:
        before = self._text
        if text is None:
            return {"state": None}
        self._text = text
        if before is None or self._distance + 1 >= _GROUP:
            self._distance = 0
            return {"state": text}
        self._distance += 1
        if text == before:
            return {"same": True}
        if len(text) > _SHORT:
            old, new = split(before), split(text)
            delta = text_delta(before, text) if old is None or new is None else fields_delta(old, new)
            if len(delta) * 2 <= len(text):
                return {"delta": delta}
        self._distance = 0
        return {"state": text}


class _Restorer:
    """Undoes what ``_Shortener`` did."""

    def __init__(self) -> None:
        self._text: str | None = None

    def restored(self, data: dict[str, Any]) -> dict[str, Any]:
        if "state" in data:
            self._text = data["state"] if data["state"] is not None else self._text
            return data
        if self._text is None:
            raise BadInput("a difference has no state before it")
        plain = {key: value for key, value in data.items() if key not in ("same", "delta")}
        if not data.get("same"):
            self._text = apply(self._text, DELTA, data["delta"].encode())
        return {**plain, "state": self._text}


def _plain(_instance: object, _field: object, value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


@functools.cache
def _structure() -> Callable[[Any, Any], Any]:
    """Return what makes records of JSON data; made once, and cattrs only imported by those who read a file."""
    import cattrs

    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(bytes, lambda text, _: bytes.fromhex(text))
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _only(kind))
    converter.register_structure_hook(float, lambda value, _: float(_only(float, int)(value, float)))
    return converter.structure


def _only(*types: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) not in types:
            raise TypeError(f"expected {types[0].__name__}, found {type(value).__name__}")
        return value

    return structure
