"""The database's file: where it is, whether it may be one of ours, and how it comes into being.

Nothing here opens an existing file: closing a descriptor would drop this process's POSIX locks on it, and with them
the protection of every connection that the process holds. Everything is learnt by ``stat`` or through SQLite.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import attrs

from loom_core.errors import StoreUnusable


@attrs.frozen
class DatabaseFile:
    """A database by its real path, since SQLite puts ``-wal`` and ``-shm`` beside that; ``name`` is as it was given."""

    name: str
    path: str

    @property
    def wal(self) -> str:
        """The path of the write-ahead log."""
        return self.path + "-wal"

    @property
    def shm(self) -> str:
        """The path of the log's index, which all processes share."""
        return self.path + "-shm"

    @property
    def journal(self) -> str:
        """The path of a rollback journal, which is there only while the file is created or migrated from empty."""
        return self.path + "-journal"

    def identities(self) -> frozenset[tuple[int, int]]:
        """Return (device, inode) of the files that there are now."""
        found = (stat_of(path) for path in (self.path, self.wal, self.shm, self.journal))
        return frozenset((s.st_dev, s.st_ino) for s in found if s is not None)


def locate(location: str) -> DatabaseFile:
    """Return the file that ``location`` names; it need not exist. Raises ``StoreUnusable`` for what is no path."""
    if not location or "\0" in location:
        raise StoreUnusable(
            f"{location!r} is not the name of a database file", hint="give a path, such as --db runs.sqlite"
        )
    if location == ":memory:":
        raise StoreUnusable(
            "`:memory:` would forget its runs at exit, so Loom does not open it",
            hint="give a path, such as --db runs.sqlite; for tests: loom_core.testing.MemoryStore",
        )
    return DatabaseFile(name=location, path=os.path.realpath(location))


def check_is_file(file: DatabaseFile) -> None:
    """Raise ``StoreUnusable`` unless the path names a regular file."""
    found = stat_of(file.path)
    if found is None:
        raise StoreUnusable(
            f"the database {file.name} does not exist",
            hint="check --db and LOOM_DB; a database is created when the first run is started",
        )
    if not stat.S_ISREG(found.st_mode):
        raise StoreUnusable(
            f"{file.name} is {_kind(found.st_mode)}, not a database file", hint="name a file: --db FILE"
        )


def is_being_created(file: DatabaseFile) -> bool:
    """Return True while a process makes the tables, and after one that died at it, until somebody opens it to write."""
    journal = stat_of(file.journal)
    return journal is not None and journal.st_size > 0


def create(file: DatabaseFile) -> None:
    """Create an empty file that only its owner can read, unless something of that name is there already."""
    folder = Path(file.path).parent
    try:
        descriptor = os.open(file.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except (FileNotFoundError, NotADirectoryError):
        raise StoreUnusable(
            f"the database {file.name} cannot be created: there is no folder {folder}", hint=f"mkdir -p {folder}"
        ) from None
    except OSError as error:
        raise StoreUnusable(
            f"the database {file.name} cannot be created: {error.strerror}", hint=f"check the permissions of {folder}"
        ) from error
    # Before SQLite opens it: see the top of this module.
    os.close(descriptor)


def stat_of(path: str) -> os.stat_result | None:
    """Return what ``stat`` says, None if there is nothing of that name."""
    try:
        return os.stat(path)  # noqa: PTH116 - symmetrical with the strings that SQLite wants
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be looked at: {error.strerror}") from error


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"
