"""What SQLite's errors mean to the person who reads them."""

from __future__ import annotations

import apsw

from loom_core.errors import LoomError, StoreUnusable


def is_busy(error: apsw.Error) -> bool:
    """Return True if somebody else's lock is the cause, so that the same thing may work a moment later."""
    return isinstance(error, (apsw.BusyError, apsw.LockedError, apsw.ProtocolError))


def as_loom_error(error: apsw.Error, location: str) -> LoomError:
    """Return the error to raise from ``error``: one sentence and what to do. What was being written was rolled back."""
    detail = str(error)
    match error:
        case apsw.NotADBError():
            return not_sqlite(location)
        case apsw.CorruptError():
            return damaged(location, detail)
        case apsw.FullError():
            return StoreUnusable(
                f"{location} cannot grow, the disk is full; what was being written was rolled back",
                hint="free some space, then resume the run",
            )
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
            return StoreUnusable(
                f"{location} cannot be written: {detail}", hint="check the permissions of the file and of its folder"
            )
        case apsw.CantOpenError():
            return StoreUnusable(
                f"{location} cannot be opened: {detail}", hint="check the permissions of the file and of its folder"
            )
        case apsw.TooBigError() | apsw.NoMemError():
            return StoreUnusable(f"a value is larger than {location} can hold: {detail}")
        case apsw.ConnectionClosedError() | apsw.CursorClosedError():
            return StoreUnusable(f"{location} was closed by this program and cannot be used any more")
        case apsw.SQLError():
            return StoreUnusable(
                f"{location} does not have the tables of a run database: {detail}", hint=_integrity_hint(location)
            )
        case _:
            return StoreUnusable(
                f"{location} failed: {type(error).__name__}: {detail}; what was being written was rolled back",
                hint="check the disk (dmesg, free space), then resume the run",
            )


def not_sqlite(location: str) -> StoreUnusable:
    """Return the error for a file that is something else."""
    return StoreUnusable(f"{location} is not a SQLite database", hint="name the file that holds the runs: --db FILE")


def damaged(location: str, detail: str) -> StoreUnusable:
    """Return the error for stored data that contradicts itself."""
    return StoreUnusable(f"{location} is damaged: {detail}", hint=_integrity_hint(location))


def _integrity_hint(location: str) -> str:
    return f"keep a copy, stop all runs, then see: sqlite3 '{location}' 'PRAGMA integrity_check'"
