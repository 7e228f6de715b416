"""Conversations: a tree of messages, so that the same beginning is stored once however often it is sent.

A model call names its last message; the way from there to the root is what was sent. A conversation that grows by one
message per call so adds one small row per call.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from loom_store_sqlite import payloads
from loom_store_sqlite.queries import all_rows


class Conversation:
    """The messages of the run's last model call and their rows, kept so that the common beginning is not looked up."""

    __slots__ = ("_nodes", "_root", "_texts")

    def __init__(self, run_no: int) -> None:
        self._root = -run_no
        self._texts: Sequence[str] = ()
        self._nodes: list[int] = []

    def place(self, connection: apsw.Connection, texts: Sequence[str]) -> list[int]:
        """Return the row of each message, those that are new inserted; inside a transaction."""
        nodes = self._nodes[: _common(self._texts, texts)]
        parent = nodes[-1] if nodes else self._root
        may_exist = True
        for text in texts[len(nodes) :]:
            body = payloads.put(connection, payloads.prepare(text))
            found = _child(connection, parent, body) if may_exist else None
            if found is None:
                # What is below a new message is new.
                may_exist = False
                connection.execute("INSERT INTO messages(parent, body) VALUES(?, ?)", (parent, body))
                found = connection.last_insert_rowid()
            nodes.append(found)
            parent = found
        return nodes

    def remember(self, texts: Sequence[str], nodes: list[int]) -> None:
        """Keep what ``place`` returned, once its transaction is committed."""
        self._texts = texts
        self._nodes = nodes


def read(connection: apsw.Connection, last: int) -> list[str]:
    """Return the messages of a call, given its last one's row."""
    rows = all_rows(
        connection,
        """
        WITH RECURSIVE sent(id, parent, body) AS (
            SELECT id, parent, body FROM messages WHERE id = ?
            UNION ALL
            SELECT m.id, m.parent, m.body FROM messages m JOIN sent ON m.id = sent.parent AND m.id < sent.id
        )
        SELECT parent, body FROM sent ORDER BY id
        """,
        (last,),
    )
    if not rows or rows[0][0] >= 0:
        raise apsw.CorruptError(f"message {last} or one before it is missing")
    return [payloads.load_required(connection, body) for _, body in rows]


def _child(connection: apsw.Connection, parent: int, body: payloads.Reference) -> int | None:
    rows = all_rows(connection, "SELECT id FROM messages WHERE parent = ? AND body = ?", (parent, body))
    return rows[0][0] if rows else None


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
