"""Asking a connection for rows; SQLite's columns are typed by the schema, not by Python."""

from __future__ import annotations

from typing import Any

import apsw

Row = tuple[Any, ...]


def all_rows(connection: apsw.Connection, sql: str, bindings: tuple[Any, ...] = ()) -> list[Row]:
    """Return all rows of a query, and leave no statement open."""
    return connection.execute(sql, bindings).fetchall()


def one_row(connection: apsw.Connection, sql: str, bindings: tuple[Any, ...] = ()) -> Row:
    """Return the one row of a query that always has one; its absence is damage."""
    found = all_rows(connection, sql, bindings)
    if not found:
        raise apsw.CorruptError("a row that must be there is missing")
    return found[0]
