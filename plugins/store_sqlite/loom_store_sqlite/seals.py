"""Seals: a short digest in each row that must not change any more, so that ``verify`` finds what changed all the same.

States have digests of their own, and longer texts are stored by their hash; a seal covers the rest of a row, and a
longer text by that hash. One of eight bytes tells damage, not an attacker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b

import apsw
import attrs

from loom_core.contracts.origins import RunOrigin
from loom_core.contracts.stores import AgentRecord, AttemptRecord
from loom_store_sqlite.payloads import Payload, Prepared, Reference
from loom_store_sqlite.queries import all_rows

Value = str | float | bytes | None


def seal(values: Iterable[Value]) -> bytes:
    """Return the seal of a row's values."""
    plain = [value.hex() if isinstance(value, bytes) else value for value in values]
    return blake2b(json.dumps(plain, separators=(",", ":")).encode(), digest_size=8).digest()


def mark(prepared: Prepared) -> str | None:
    """Return what a seal has of a text."""
    if prepared is None:
        return None
    return f"#{prepared.hash.hex()}" if isinstance(prepared, Payload) else f"={prepared}"


def mark_stored(connection: apsw.Connection, reference: Reference) -> str | None:
    """Return what ``mark`` returned when the text was stored."""
    if reference is None or isinstance(reference, str):
        return mark(reference)
    rows = all_rows(connection, "SELECT hash FROM payloads WHERE id = ?", (reference,))
    return f"#{rows[0][0].hex()}" if rows else None


def of_run(run_id: str, agent: AgentRecord, input_digest: bytes, created_at: float, origin: RunOrigin | None) -> bytes:
    """Return the seal of a run's identity."""
    return seal((run_id, *agent_values(agent), input_digest, float(created_at), *origin_values(origin)))


def of_claim(owner: str | None, at: float, step_index: int, found: str, agent: AgentRecord | None) -> bytes:
    """Return the seal of a claim; ``owner`` is a mark."""
    return seal((owner, float(at), step_index, found, *agent_values(agent)))


def of_attempt(attempt: AttemptRecord, error: str | None) -> bytes:
    """Return the seal of a failed attempt; ``error`` is a mark."""
    retry_at = None if attempt.retry_at is None else float(attempt.retry_at)
    numbers = (attempt.step_index, attempt.attempt_index, attempt.epoch)
    return seal((*numbers, float(attempt.started_at), float(attempt.ended_at), retry_at, error))


def of_signal(
    name: str,
    payload: str | None,
    sent_at: float,
    consumed_by: int | None = None,
    sender: tuple[str | None, str | None] = (None, None),
) -> bytes:
    """Return the seal of a signal; ``payload`` is a mark, ``sender`` the name and the account."""
    return seal((name, payload, float(sent_at), consumed_by, *sender))


def seal_signal(connection: apsw.Connection, row_id: int) -> None:
    """Seal a signal that has just been consumed."""
    rows = all_rows(connection, _SIGNAL, (row_id,))
    for name, payload, sent_at, consumed_by, *sender in rows:
        made = of_signal(name, mark_stored(connection, payload), sent_at, consumed_by, (sender[0], sender[1]))
        connection.execute("UPDATE signals SET seal = ? WHERE id = ?", (made, row_id))


def of_call(connection: apsw.Connection, row_id: int) -> bytes:
    """Return the seal of a call as it is stored now."""
    row = all_rows(connection, _CALL, (row_id,))[0]
    return seal((*row[:-4], *(mark_stored(connection, text) for text in row[-4:])))


def seal_call(connection: apsw.Connection, row_id: int) -> None:
    """Seal a call that has just been written."""
    connection.execute("UPDATE calls SET seal = ? WHERE id = ?", (of_call(connection, row_id), row_id))


_SIGNAL = "SELECT name, payload, sent_at, consumed_by, sent_by, sent_user FROM signals WHERE id = ?"

# Without the epoch, which is another one in a fork.
_CALL = """
SELECT step_index, key, try_index, attempt_index, kind, name, effect, arguments_digest, idempotency_key, status,
       not_started, started_at, ended_at, decided_by, tokens_in, tokens_out, arguments, result, error, facts
  FROM calls WHERE id = ?
"""


def agent_values(agent: AgentRecord | None) -> tuple[str | None, ...]:
    """Return an agent's fields, none for None."""
    return () if agent is None else attrs.astuple(agent)


def origin_values(origin: RunOrigin | None) -> tuple[str | int | float | None, ...]:
    """Return an origin's fields, none for None."""
    return () if origin is None else attrs.astuple(origin)
