"""Opening a database for writing: refuse what is not ours before anything is touched, create, migrate, configure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from loom_core.errors import StoreUnusable
from loom_store_sqlite.busy import LIMIT_S, patiently_blocking
from loom_store_sqlite.faults import not_sqlite
from loom_store_sqlite.files import DatabaseFile, check_is_file, create, is_being_created, stat_of
from loom_store_sqlite.identity import Identity, check_ours, empty, identify, migrate
from loom_store_sqlite.schema import MIGRATIONS, PAGE_SIZE, TEMPORARY_OBJECTS
from loom_store_sqlite.snapshot import Snapshot
from loom_store_sqlite.turnstile import Turnstile

_HEADER_BYTES: Final = 100

WAL_PAGES: Final = 1000
"""Pages of log before it is carried over into the file. Measured from 250 to 4,000: docs/storage.md."""


def open_for_writing(
    file: DatabaseFile, *, may_create: bool, limit_s: float = LIMIT_S, migrations: Sequence[str] = MIGRATIONS
) -> apsw.Connection:
    """Return a connection to a run database of the newest version, in WAL mode, that never waits for a lock by itself.

    Raises ``StoreUnusable`` and ``StoreBusy``. Blocks while another process creates or migrates the file.
    """
    if may_create and stat_of(file.path) is None:
        create(file)
    check_is_file(file)
    patiently_blocking(lambda: _refuse_foreign(file, len(migrations)), file.name, limit_s)
    return patiently_blocking(lambda: _open(file, may_create=may_create, migrations=migrations), file.name, limit_s)


def connect(file: DatabaseFile) -> apsw.Connection:
    """Return a plain connection to a file that is there; raises ``apsw.Error``."""
    return apsw.Connection(file.path, flags=apsw.SQLITE_OPEN_READWRITE)


def _refuse_foreign(file: DatabaseFile, newest: int) -> None:
    # By reading only: SQLite's own opening for writing would carry a log left behind over into a file that is not ours.
    found = stat_of(file.path)
    if found is None or found.st_size == 0 or is_being_created(file):
        return
    if found.st_size < _HEADER_BYTES:
        # SQLite takes a file of one byte for an empty one.
        raise not_sqlite(file.name)
    with Snapshot(file) as snapshot:
        check_ours(identify(snapshot.connection), file.name, newest)


def _open(file: DatabaseFile, *, may_create: bool, migrations: Sequence[str]) -> apsw.Connection:
    connection = connect(file)
    try:
        if connection.readonly("main"):
            raise StoreUnusable(f"{file.name} cannot be written", hint="check the permissions of the file")
        # SQLite lays out the log's index anew if it believes that it is the first, which must not happen in the middle
        # of somebody's write.
        turnstile = Turnstile(file)
        turnstile.enter()
        try:
            _prepare(connection, identify(connection), file, may_create=may_create, migrations=migrations)
            _configure(connection, file)
        finally:
            turnstile.leave()
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(
    connection: apsw.Connection,
    found: Identity,
    file: DatabaseFile,
    *,
    may_create: bool,
    migrations: Sequence[str],
) -> None:
    check_ours(found, file.name, len(migrations))
    if found.is_empty:
        if not may_create:
            raise empty(file.name)
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    if found.version < len(migrations):
        migrate(connection, file.name, migrations)


def _configure(connection: apsw.Connection, file: DatabaseFile) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchall()[0][0]
    if mode != "wal":
        raise StoreUnusable(
            f"{file.name} is on a file system without shared memory, which SQLite's log needs",
            hint="put the database on a local disk",
        )
    for pragma in (
        "synchronous = NORMAL",
        f"wal_autocheckpoint = {WAL_PAGES}",
        "temp_store = MEMORY",
        # A file that somebody else could have prepared must not run functions by its schema.
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute(TEMPORARY_OBJECTS).fetchall()
    # Opens the log and its index, which FileGuard looks for.
    connection.execute("SELECT 1 FROM heads LIMIT 1").fetchall()
