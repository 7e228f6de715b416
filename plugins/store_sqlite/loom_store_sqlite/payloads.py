"""Texts of any size: short ones stay in their row, each longer one is stored once, however often it is used."""

from __future__ import annotations

import zlib
from hashlib import blake2b
from typing import NamedTuple

import apsw

from loom_store_sqlite.queries import all_rows

INLINE_CHARS = 128
"""Up to here a text costs less in its row than as a row of its own."""

_COMPRESS_BYTES = 512
_FAST_BYTES = 256 * 1024

_PLAIN, _ZLIB = 0, 1


class Payload(NamedTuple):
    """A longer text, hashed and compressed before the transaction that stores it begins."""

    hash: bytes
    form: int
    body: str | bytes


Prepared = str | Payload | None
Reference = str | int | None
"""What a column holds: the text itself, the id of a payload, or nothing."""


def prepare(text: str | None, max_inline_bytes: int | None = None) -> Prepared:
    """Return what ``put`` stores for ``text``; ``max_inline_bytes`` None is what costs least."""
    if text is None or (max_inline_bytes is None and len(text) <= INLINE_CHARS):
        return text
    data = text.encode()
    if max_inline_bytes is not None and len(data) <= max_inline_bytes:
        return text
    digest = blake2b(data, digest_size=16).digest()
    if len(data) > _COMPRESS_BYTES:
        # Level 1 above 256 KB: the event loop waits for it.
        packed = zlib.compress(data, 1 if len(data) > _FAST_BYTES else 6)
        if len(packed) < len(data) * 9 // 10:
            return Payload(digest, _ZLIB, packed)
    return Payload(digest, _PLAIN, text)


def put(connection: apsw.Connection, prepared: Prepared) -> Reference:
    """Store a text unless it is stored already, and return what the column holds; inside a transaction."""
    if not isinstance(prepared, Payload):
        return prepared
    known = find(connection, prepared)
    if known is not None:
        return known
    connection.execute("INSERT INTO payloads(hash, form, body) VALUES(?, ?, ?)", prepared)
    return connection.last_insert_rowid()


def find(connection: apsw.Connection, payload: Payload) -> int | None:
    """Return the id under which this text is stored already."""
    rows = all_rows(connection, "SELECT id FROM payloads WHERE hash = ?", (payload.hash,))
    return rows[0][0] if rows else None


def load(connection: apsw.Connection, reference: Reference) -> str | None:
    """Return the text that a column holds. Raises ``apsw.CorruptError`` if its payload is missing or unreadable."""
    if reference is None or isinstance(reference, str):
        return reference
    rows = all_rows(connection, "SELECT form, body FROM payloads WHERE id = ?", (reference,))
    if not rows:
        raise apsw.CorruptError(f"payload {reference} is missing")
    form, body = rows[0]
    return unpack(form, body)


def load_required(connection: apsw.Connection, reference: Reference) -> str:
    """Return the text of a column that is never empty."""
    text = load(connection, reference)
    if text is None:
        raise apsw.CorruptError("a text is missing")
    return text


def unpack(form: int, body: str | bytes) -> str:
    """Return the text of a stored payload; raises ``apsw.CorruptError``."""
    if (form == _PLAIN) != isinstance(body, str) or form not in (_PLAIN, _ZLIB):
        raise apsw.CorruptError(f"a payload of form {form} cannot be read")
    if isinstance(body, str):
        return body
    try:
        return zlib.decompress(body).decode()
    except (zlib.error, TypeError, UnicodeDecodeError) as error:
        raise apsw.CorruptError(f"a payload cannot be read: {error}") from error
