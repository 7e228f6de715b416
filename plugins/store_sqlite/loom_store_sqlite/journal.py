"""The journal of managed calls: intents, ends, and how a call is found again."""

from __future__ import annotations

from shlex import quote
from typing import NamedTuple

import apsw

from loom_core.contracts.stores import CallEnd, CallIntent, CallRecord, CallStatus, call_id, may_end
from loom_core.errors import BadInput
from loom_store_sqlite import approvals, budgets, messages, payloads
from loom_store_sqlite.fence import Fence
from loom_store_sqlite.payloads import Prepared
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.rows import CALLS, call_record, encode_error, range_of


class PreparedIntent(NamedTuple):
    """An intent whose longer texts are hashed and compressed."""

    intent: CallIntent
    arguments: Prepared
    facts: Prepared


class PreparedEnd(NamedTuple):
    """An end whose longer texts are hashed and compressed."""

    end: CallEnd
    result: Prepared
    error: Prepared


def prepare_intent(intent: CallIntent) -> PreparedIntent:
    """Do what takes time before the transaction begins."""
    return PreparedIntent(intent, payloads.prepare(intent.arguments), payloads.prepare(intent.facts))


def prepare_end(end: CallEnd) -> PreparedEnd:
    """Do what takes time before the transaction begins."""
    return PreparedEnd(end, payloads.prepare(end.result), payloads.prepare(encode_error(end.error)))


def begin(
    connection: apsw.Connection, fence: Fence, prepared: PreparedIntent, conversation: messages.Conversation
) -> tuple[int, list[int]]:
    """Write an intent; return the call's row and those of its messages."""
    intent = prepared.intent
    fence.renew(
        connection,
        "calls = calls + 1, model_calls = model_calls + ?",
        (intent.kind == "model",),
    )
    step_index, ordinal = one_row(connection, "SELECT step_index, calls FROM heads WHERE run_no = ?", (fence.run_no,))
    if intent.step_index != step_index:
        raise ValueError(f"a call of step {intent.step_index} cannot begin: the run is at step {step_index}")
    approvals.use(connection, fence, intent)
    nodes = conversation.place(connection, intent.messages) if intent.messages else []
    row_id = fence.base + ordinal
    connection.execute(
        """
        INSERT INTO calls(id, step_index, key, try_index, attempt_index, epoch, kind, name, effect, arguments,
                          arguments_digest, idempotency_key, messages, status, not_started, started_at, facts,
                          tokens_in, tokens_out)
        VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'started', 0, ?, ?, 0, 0)
        """,
        (
            row_id,
            intent.step_index,
            intent.key,
            intent.try_index,
            intent.attempt_index,
            fence.epoch,
            intent.kind,
            intent.name,
            intent.effect,
            payloads.put(connection, prepared.arguments),
            intent.arguments_digest,
            intent.idempotency_key,
            nodes[-1] if nodes else None,
            fence.clocks.wall(),
            payloads.put(connection, prepared.facts),
        ),
    )
    budgets.reserve(connection, fence, row_id, intent.reserves)
    return row_id, nodes


def finish(connection: apsw.Connection, fence: Fence, prepared: PreparedEnd, row_id: int | None) -> None:
    """Write how a call ended; ``row_id`` None if this writer did not begin it. Raises ``BadInput`` if it has ended."""
    end = prepared.end
    # The guard first: a writer that is fenced out is told that, whatever else is wrong.
    fence.renew(connection)
    if row_id is None:
        row_id = find(connection, fence.run_no, fence.run_id, end.step_index, end.key, end.try_index)
    status, decided_by, tokens_in, tokens_out = one_row(
        connection, "SELECT status, decided_by, tokens_in, tokens_out FROM calls WHERE id = ?", (row_id,)
    )
    if not may_end(status, decided_by, end):
        raise BadInput(
            f"call {call_id(end.step_index, end.key, end.try_index)} of run `{fence.run_id}` has ended: {status}"
        )
    fence.guarded(
        connection,
        "failed_calls = failed_calls + ?, unknown_calls = unknown_calls + ?,"
        " tokens_in = tokens_in + ?, tokens_out = tokens_out + ?",
        (
            (end.status == "failed") - (status == "failed"),
            (end.status == "unknown") - (status == "unknown"),
            end.tokens_in - tokens_in,
            end.tokens_out - tokens_out,
        ),
    )
    budgets.charge(connection, fence, row_id, end)
    connection.execute(
        """
        UPDATE calls SET status = ?, result = ?, error = ?, not_started = ?, ended_at = ?, decided_by = ?,
                         tokens_in = ?, tokens_out = ?
         WHERE id = ?
        """,
        (
            end.status,
            payloads.put(connection, prepared.result),
            payloads.put(connection, prepared.error),
            end.not_started,
            fence.clocks.wall(),
            end.decided_by,
            end.tokens_in,
            end.tokens_out,
            row_id,
        ),
    )


def doubt_started(connection: apsw.Connection, run_no: int, step_index: int) -> int:
    """Make the step's calls that are still ``started`` ``unknown``; return how many there were."""
    connection.execute(
        "UPDATE calls SET status = 'unknown' WHERE id BETWEEN ? AND ? AND step_index = ? AND status = 'started'",
        (first_from(connection, run_no, step_index), range_of(run_no)[1], step_index),
    )
    return connection.changes()


def keep_late(
    connection: apsw.Connection, run_no: int, run_id: str, step_index: int, key: str, try_index: int, text: Prepared
) -> None:
    """Keep what a call returned after its end."""
    row_id = find(connection, run_no, run_id, step_index, key, try_index)
    reference = payloads.put(connection, text)
    connection.execute("UPDATE calls SET late_result = ? WHERE id = ?", (reference, row_id))


def find(connection: apsw.Connection, run_no: int, run_id: str, step_index: int, key: str, try_index: int) -> int:
    """Return the row of a call; raises ``BadInput`` if there is none."""
    rows = all_rows(
        connection,
        "SELECT id FROM calls WHERE id BETWEEN ? AND ? AND step_index = ? AND key = ? AND try_index = ?",
        (*_ids_of_step(connection, run_no, step_index), step_index, key, try_index),
    )
    if not rows:
        raise BadInput(
            f"run `{run_id}` has no call {call_id(step_index, key, try_index)}",
            hint=f"see its calls: loom-runner tool-calls --run-id {quote(run_id)}",
        )
    row_id: int = rows[-1][0]
    return row_id


def of_step(connection: apsw.Connection, run_no: int, step_index: int) -> list[tuple[int, CallRecord]]:
    """Return the step's calls with their rows, in the order of their intents."""
    ids = all_rows(
        connection,
        "SELECT id FROM calls WHERE id BETWEEN ? AND ? AND step_index = ?",
        (*_ids_of_step(connection, run_no, step_index), step_index),
    )
    return [(row_id, _at(connection, row_id)) for (row_id,) in ids]


def listed(
    connection: apsw.Connection, run_no: int, *, limit: int, offset: int, status: CallStatus | None, newest: bool
) -> list[CallRecord]:
    """Return a page of the run's calls; those that went wrong are found by an index, others by reading all of them."""
    first, last = range_of(run_no)
    order = "DESC" if newest else "ASC"
    # The literal, and not a binding, lets SQLite use the index of calls that went wrong.
    chosen = "" if status is None else f" AND status = '{_checked(status)}'"
    rows = all_rows(
        connection,
        f"{CALLS} WHERE id BETWEEN ? AND ?{chosen} ORDER BY id {order} LIMIT ? OFFSET ?",
        (first, last, limit, offset),
    )
    return [call_record(connection, row) for row in rows]


def with_idempotency_key(connection: apsw.Connection, run_no: int, key: str) -> CallRecord | None:
    """Return the newest call of the run with this key of the user's."""
    rows = all_rows(
        connection,
        f"{CALLS} WHERE idempotency_key = ? AND id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
        (key, *range_of(run_no)),
    )
    return call_record(connection, rows[0]) if rows else None


def messages_of(connection: apsw.Connection, row_id: int) -> list[str]:
    """Return the messages that the call was made with."""
    last = one_row(connection, "SELECT messages FROM calls WHERE id = ?", (row_id,))[0]
    return [] if last is None else messages.read(connection, last)


def first_from(connection: apsw.Connection, run_no: int, step_index: int) -> int:
    """Return the least id from which all of the run's calls are of step ``step_index`` or later.

    Found by bisection, because calls are in the order of their steps: 17 look-ups in a run of 100,000 calls.
    """
    low, last = range_of(run_no)
    newest = one_row(connection, "SELECT max(id) FROM calls WHERE id BETWEEN ? AND ?", (low, last))[0]
    if newest is None:
        return low
    high = newest + 1
    while low < high:
        middle = (low + high) // 2
        row_id, found = one_row(
            connection,
            "SELECT id, step_index FROM calls WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1",
            (middle, newest),
        )
        if found >= step_index:
            high = middle
        else:
            low = row_id + 1
    return low


def _ids_of_step(connection: apsw.Connection, run_no: int, step_index: int) -> tuple[int, int]:
    return first_from(connection, run_no, step_index), first_from(connection, run_no, step_index + 1) - 1


def _at(connection: apsw.Connection, row_id: int) -> CallRecord:
    return call_record(connection, one_row(connection, f"{CALLS} WHERE id = ?", (row_id,)))


def _checked(status: CallStatus) -> CallStatus:
    if status not in ("started", "done", "failed", "unknown"):
        raise BadInput(f"`{status}` is no status of a call", hint="one of: started, done, failed, unknown")
    return status
