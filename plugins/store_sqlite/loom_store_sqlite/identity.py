"""Whether a file is a run database of this version, asked through a connection; and making it one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import apsw

from loom_core.errors import StoreEmpty, StoreUnusable
from loom_store_sqlite.files import DatabaseFile, is_being_created
from loom_store_sqlite.queries import all_rows
from loom_store_sqlite.schema import APPLICATION_ID, MIGRATIONS


class Identity(NamedTuple):
    """What the header of a database file says; all three are 0 in a file that nobody has made tables in."""

    application_id: int
    version: int
    schema_cookie: int

    @property
    def is_empty(self) -> bool:
        """True for a file that belongs to nobody yet."""
        return self == (0, 0, 0)


def identify(connection: apsw.Connection) -> Identity:
    """Read the header."""
    return Identity(
        _number(connection, "application_id"),
        _number(connection, "user_version"),
        _number(connection, "schema_version"),
    )


def check_ours(identity: Identity, name: str, newest: int = len(MIGRATIONS)) -> None:
    """Raise ``StoreUnusable`` for another application's database and for one of a newer version; empty is neither."""
    if identity.is_empty:
        return
    if identity.application_id != APPLICATION_ID:
        raise StoreUnusable(
            f"{name} is a SQLite database of another application, not a run database",
            hint="name another file; a new one is created by the first run: --db runs.sqlite",
        )
    if identity.version > newest:
        raise StoreUnusable(
            f"{name} was written by a newer Loom (its schema is version {identity.version}, this Loom knows {newest})",
            hint="upgrade: pip install --upgrade loom-stack",
        )


def check_created(file: DatabaseFile) -> None:
    """Raise ``StoreEmpty`` before a file is read that its creator left half made: it would look damaged."""
    if is_being_created(file):
        raise empty(file.name)


def empty(name: str) -> StoreEmpty:
    """Return the error for a file that no run was ever started in."""
    return StoreEmpty(f"{name} is empty: no run was ever started in it", hint="start one: loom-runner run …")


def check_readable(identity: Identity, name: str, newest: int = len(MIGRATIONS)) -> None:
    """Raise ``StoreUnusable`` for what cannot be read without changing it."""
    check_ours(identity, name, newest)
    if identity.is_empty:
        raise empty(name)
    if identity.version < newest:
        raise StoreUnusable(
            f"{name} was written by an older Loom (its schema is version {identity.version}, this Loom's {newest})",
            hint="it is upgraded by the next command that writes to it, such as loom-runner resume",
        )


def migrate(connection: apsw.Connection, name: str, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the file to the newest version in one transaction, also if several processes try at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = identify(connection)
        check_ours(found, name, len(migrations))
        for number in range(found.version, len(migrations)):
            all_rows(connection, migrations[number])
            connection.execute(f"PRAGMA user_version = {number + 1}")
        if found.is_empty:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if not connection.getautocommit():
            connection.execute("ROLLBACK")
        raise


def _number(connection: apsw.Connection, pragma: str) -> int:
    rows = all_rows(connection, f"PRAGMA {pragma}")
    value: int = rows[0][0]
    return value
