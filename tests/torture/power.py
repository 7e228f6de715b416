"""Power loss: a SQLite VFS that writes down what is written and synced, and a disk that forgets what was not synced.

A disk keeps what was synced. Of what was written after that, each sector may have reached it or not, in any order: a
write can be lost, torn, or overtaken by a later one. A new name is kept once the file was synced, a removal once the
folder was: SQLite syncs that when it removes a file durably, and with the first sync of a new log or journal.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Literal

import apsw
import attrs

SECTOR = 512
Survival = Literal["nothing", "everything", "prefix", "sectors"]
SURVIVALS: tuple[Survival, ...] = ("nothing", "everything", "prefix", "sectors")


@attrs.frozen
class Event:
    """One thing that happened: to a database file (``write``, ``truncate``, ``sync``, ``remove``), or a ``promise``."""

    kind: str
    file: str = ""
    offset: int = 0
    data: bytes = b""
    promise: Any = None


@attrs.define
class Recording:
    """What happened, in order."""

    events: list[Event] = attrs.field(factory=list)

    def promise(self, *what: Any) -> None:
        """Note that somebody was told something, or that an effect happened."""
        self.events.append(Event("promise", promise=what))

    def save(self, path: Path) -> None:
        path.write_bytes(pickle.dumps([attrs.astuple(event) for event in self.events]))

    @classmethod
    def load(cls, path: Path) -> Recording:
        return cls([Event(*fields) for fields in pickle.loads(path.read_bytes())])


class RecordingVFS(apsw.VFS):
    """The system's VFS, made the default of this process for as long as it is kept, writing down what passes."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        super().__init__("recording", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _RecordingFile(name, flags, self._recording)

    def xDelete(self, name: str, sync_folder: bool) -> None:
        super().xDelete(name, sync_folder)
        self._recording.events.append(Event("remove", _suffix(name), offset=int(sync_folder)))


class _RecordingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], recording: Recording) -> None:
        self._recording = recording
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._file = _suffix(path) if path else None
        super().__init__("unix", name, flags)

    def xLock(self, level: int) -> None:
        try:
            super().xLock(level)
        except apsw.IOError as error:
            # As in crashing.py: APSW takes a plain "no" on closing for an exception.
            raise apsw.BusyError(str(error)) from error

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._note("write", offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._note("truncate", size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._note("sync")

    def _note(self, kind: str, offset: int = 0, data: bytes = b"") -> None:
        if self._file is not None:
            self._recording.events.append(Event(kind, self._file, offset, data))


def _suffix(path: str) -> str:
    """Return which of the database's files this is: the name without the database's own."""
    base = os.path.basename(path)
    for suffix in ("-wal", "-journal", "-shm"):
        if base.endswith(suffix):
            return suffix
    return "main"


@attrs.define
class _File:
    durable: bytearray | None = None
    pending: list[Event] = attrs.field(factory=list)


@attrs.define
class Disk:
    """The database's files as a power loss would leave them."""

    files: dict[str, _File] = attrs.field(factory=dict)

    def apply(self, event: Event) -> None:
        """Take one event of the recording."""
        if event.kind == "promise":
            return
        file = self.files.setdefault(event.file, _File())
        if event.kind == "sync":
            if file.durable is None and event.file != "main":
                self._sync_folder()
            file.durable = _image(file, len(file.pending))
            file.pending.clear()
        elif event.kind == "remove" and event.offset:
            self.files[event.file] = _File()
        else:
            file.pending.append(event)

    def _sync_folder(self) -> None:
        for name, file in self.files.items():
            removals = [n for n, event in enumerate(file.pending) if event.kind == "remove"]
            if removals:
                self.files[name] = _File(pending=file.pending[removals[-1] + 1 :])

    def after_power_loss(self, survival: Survival, random: Random) -> dict[str, bytes]:
        """Return what each file contains; a file that is not there is left out."""
        found: dict[str, bytes] = {}
        for name, file in self.files.items():
            image = _survivor(file, survival, random)
            if image is not None:
                found[name] = bytes(image)
        return found


def cuts(recording: Recording) -> Iterator[tuple[int, Disk, list[Any]]]:
    """Yield, after every event, its number, the disk, and what had been promised by then.

    Disk and promises are the same objects every time and go on changing.
    """
    disk = Disk()
    promises: list[Any] = []
    for number, event in enumerate(recording.events):
        disk.apply(event)
        if event.kind == "promise":
            promises.append(event.promise)
        yield number, disk, promises


def lay_out(files: dict[str, bytes], database: Path) -> None:
    """Write the files as they were left, beside nothing else; ``-shm`` never survives."""
    for suffix in ("", "-wal", "-journal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    for name, content in files.items():
        if name != "-shm":
            database.with_name(database.name + name.removeprefix("main")).write_bytes(content)


def _image(file: _File, count: int) -> bytearray:
    image = bytearray(file.durable or b"")
    for event in file.pending[:count]:
        _put(image, event)
    return image


def _put(image: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del image[event.offset :]
    elif event.kind == "remove":
        image.clear()
    else:
        missing = event.offset - len(image)
        if missing > 0:
            image.extend(bytes(missing))
        image[event.offset : event.offset + len(event.data)] = event.data


def _survivor(file: _File, survival: Survival, random: Random) -> bytearray | None:
    if survival == "nothing":
        return None if file.durable is None else bytearray(file.durable)
    if file.durable is None and not file.pending:
        return None
    if survival == "everything":
        return _without_removed(file, len(file.pending))
    if survival == "prefix":
        return _without_removed(file, random.randint(0, len(file.pending)))
    image = bytearray(file.durable or b"")
    for event in file.pending:
        if event.kind != "write":
            if random.random() < 0.5:
                _put(image, event)
            continue
        for start in range(0, len(event.data), SECTOR):
            if random.random() < 0.5:
                sector = event.data[start : start + SECTOR]
                _put(image, Event("write", event.file, event.offset + start, sector))
    return image


def _without_removed(file: _File, count: int) -> bytearray | None:
    taken = file.pending[:count]
    if taken and taken[-1].kind == "remove":
        return None
    return _image(file, count) if taken or file.durable is not None else None
