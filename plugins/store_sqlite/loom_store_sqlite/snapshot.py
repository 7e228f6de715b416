"""Reading a database file without leaving a trace: nothing is created, nothing is locked that a run needs.

SQLite's own read-only opening of a database in WAL mode creates ``-wal`` and ``-shm`` where they are missing, and
cannot open one in a folder that it may not write to. So there are two ways, chosen by what lies beside the file:

- no log, or an empty one: everything is in the file, which is opened as immutable. It might become mutable while it is
  read; so the file is looked at before and after, and what was read is thrown away if it changed.
- a log: the file is opened read-only with a read-only index, which SQLite rebuilds in memory if its owner has died. A
  log without an index is met only where somebody copied the one and not the other; SQLite then creates the index.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import apsw

from loom_core.errors import StoreUnusable
from loom_store_sqlite.files import DatabaseFile, check_is_file, stat_of

# A log of a header and no frame, which a process leaves that dies at its first write, holds nothing; and with a
# read-only index SQLite would answer BUSY for ever (tests/torture found it).
_LOG_HEADER_BYTES: Final = 32
_FLAGS: Final = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


class SnapshotChanged(apsw.BusyError):
    """The file was written while it was read as immutable; reading it again gives a consistent answer."""


class Snapshot:
    """One read transaction on a connection of its own; a context manager that closes it.

    Raises ``StoreUnusable`` for what is no file, ``apsw.BusyError`` for what may work when tried again.
    """

    def __init__(self, file: DatabaseFile) -> None:
        check_is_file(file)
        self._file = file
        self._seen = _look(file)
        self._immutable = _log_is_empty(file)
        self._has_index = stat_of(file.shm) is not None
        try:
            self.connection = apsw.Connection(self._uri(), flags=_FLAGS)
        except apsw.CantOpenError as error:
            raise self._gone_or(error) from error

    def __enter__(self) -> Self:
        try:
            self.connection.execute("BEGIN")
            # BEGIN alone takes no snapshot.
            self.connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        except apsw.Error as error:
            self.close()
            if not self.is_intact():
                raise SnapshotChanged(str(error)) from error
            if isinstance(error, apsw.CantOpenError):
                raise self._gone_or(error) from error
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
        if not self.is_intact() and (error is None or isinstance(error, Exception)):
            raise SnapshotChanged(f"{self._file.name} was written while it was read") from error

    def is_intact(self) -> bool:
        """Return False if what was read may be a mixture of two states of the file."""
        return not self._immutable or (_look(self._file) == self._seen and _log_is_empty(self._file))

    def close(self) -> None:
        """Close the connection; may be called again."""
        self.connection.close()

    def _uri(self) -> str:
        path = quote(self._file.path)
        if self._immutable:
            return f"file:{path}?immutable=1"
        return f"file:{path}?mode=ro&readonly_shm=1" if self._has_index else f"file:{path}?mode=ro"

    def _gone_or(self, error: apsw.Error) -> Exception:
        # The log that was there a moment ago went away with its last writer.
        if not self._immutable and (_log_is_empty(self._file) or (self._has_index and stat_of(self._file.shm) is None)):
            return SnapshotChanged(str(error))
        return StoreUnusable(
            f"{self._file.name} cannot be read: {error}",
            hint="check the permissions of the file, and of the -wal and -shm files beside it",
        )


def _look(file: DatabaseFile) -> tuple[int, ...]:
    found = stat_of(file.path)
    if found is None:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _log_is_empty(file: DatabaseFile) -> bool:
    found = stat_of(file.wal)
    return found is None or found.st_size <= _LOG_HEADER_BYTES
