"""Reading a file of an older version: by a copy in memory, brought up to date there, so that nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from loom_core.errors import StoreUnusable
from loom_store_sqlite.identity import check_ours, check_readable, identify, migrate
from loom_store_sqlite.queries import one_row
from loom_store_sqlite.schema import MIGRATIONS

MAX_BYTES = 1 << 30
"""Larger files of an older version wait for a command that writes, which brings them up to date themselves."""


@contextmanager
def readable(connection: apsw.Connection, name: str) -> Iterator[apsw.Connection]:
    """Give a connection that can be asked about a file, given one to the file itself; raises ``StoreUnusable``."""
    found = identify(connection)
    check_ours(found, name)
    size = one_row(connection, "PRAGMA page_count")[0] * one_row(connection, "PRAGMA page_size")[0]
    if found.is_empty or found.version == len(MIGRATIONS) or size > MAX_BYTES:
        check_readable(found, name)
        yield connection
        return
    copy = apsw.Connection(":memory:")
    try:
        with copy.backup("main", connection, "main") as backup:
            backup.step(-1)
        migrate(copy, name)
        yield copy
    except apsw.CantOpenError as error:
        raise StoreUnusable(f"{name} cannot be copied to be read: {error}") from error
    finally:
        copy.close()
