"""Making a run that starts in the middle of another one: one transaction, in which the other one is only read."""

from __future__ import annotations

import apsw

from loom_core.contracts.forks import ForkHead, head_of_fork
from loom_core.contracts.origins import RunOrigin
from loom_core.contracts.retention import Gap
from loom_core.contracts.stores import Admit, EncodedState, Owner, RunRecord
from loom_core.errors import BadInput
from loom_core.history import HistoryEncoder
from loom_store_sqlite import budgets, gaps, inbox, messages, payloads, seals, timers
from loom_store_sqlite.claims import check_free, insert_run, record_claim
from loom_store_sqlite.clocks import Clocks
from loom_store_sqlite.fence import Fence
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.reader import Reader
from loom_store_sqlite.rows import base_of, range_of


def fork(
    connection: apsw.Connection,
    run_id: str,
    step_index: int,
    new_id: str,
    owner: Owner,
    admit: Admit,
    clocks: Clocks,
    name: str,
) -> RunRecord:
    """See ``Store.fork_run``."""
    reader = Reader(connection, name)
    run_no = reader.run_no(run_id)
    found = reader.run_numbered(run_no)
    admit(found, None)
    check_free(connection, new_id)
    if not 0 <= step_index <= found.step_index:
        raise BadInput(f"run `{run_id}` has no step {step_index}; the next one is {found.step_index}")
    text = reader.state(run_id, step_index)
    digest, epoch = one_row(
        connection,
        "SELECT digest, epoch FROM steps WHERE id <= ? AND form IS NOT NULL ORDER BY id DESC LIMIT 1",
        (base_of(run_no) + step_index + 1,),
    )
    now = clocks.wall()
    origin = RunOrigin(
        forked_from=run_id,
        forked_step=step_index,
        # What came with a file stays what it is.
        imported_from=None if found.origin is None else found.origin.imported_from,
        imported_at=None if found.origin is None else found.origin.imported_at,
    )
    new_no = insert_run(connection, new_id, reader.agent_of(run_no, epoch), digest, now, origin)
    fence = Fence(run_id=new_id, run_no=new_no, epoch=1, lease_s=0.0, clocks=clocks)
    form, body = HistoryEncoder().push(EncodedState(text, digest))
    connection.execute(
        "INSERT INTO steps(id, outcome, attempt_index, epoch, at, digest, form, body) VALUES(?, 0, 0, 1, ?, ?, ?, ?)",
        (fence.base + step_index + 1, now, digest, form, body),
    )
    if step_index > 0:
        gaps.insert(connection, new_no, Gap(first=-1, last=step_index - 2))
    _take_over_calls(connection, run_no, new_no, step_index)
    head = _head_of(connection, reader, found, run_no, step_index)
    if head.signal is not None:
        _take_over_signal(connection, run_no, new_no, head.signal.signal_id)
    _insert_head(connection, fence, head, step_index, now)
    budgets.inherit(connection, run_id, new_no, new_id)
    record_claim(connection, fence, owner, now, step_index, "fork")
    return reader.run_numbered(new_no)


def _head_of(connection: apsw.Connection, reader: Reader, found: RunRecord, run_no: int, step_index: int) -> ForkHead:
    if step_index == found.step_index:
        return head_of_fork(found, step_index, reader.waking_signal(run_no, found), None)
    notes = all_rows(connection, "SELECT notes FROM steps WHERE id = ?", (base_of(run_no) + step_index + 2,))
    text = payloads.load(connection, notes[0][0]) if notes else None
    return head_of_fork(found, step_index, inbox.consumed_by(connection, run_no, step_index), text)


def _insert_head(connection: apsw.Connection, fence: Fence, head: ForkHead, step_index: int, now: float) -> None:
    connection.execute(
        "INSERT INTO heads(run_no, status, reason, step_index, attempt_index, epoch, wake_signal, wake_at, updated_at,"
        " calls, model_calls, failed_attempts, failed_calls, unknown_calls, tokens_in, tokens_out)"
        " SELECT ?1, ?2, ?3, ?4, 0, 1, ?5, ?6, ?7, count(*), coalesce(sum(kind = 'model'), 0), 0,"
        " coalesce(sum(status = 'failed'), 0), coalesce(sum(status = 'unknown'), 0), coalesce(sum(tokens_in), 0),"
        " coalesce(sum(tokens_out), 0) FROM calls WHERE id BETWEEN ?8 AND ?9",
        (
            fence.run_no,
            head.status,
            head.reason,
            step_index,
            head.wake_signal,
            head.wake_at,
            now,
            *range_of(fence.run_no),
        ),
    )
    timers.keep(connection, fence.run_no, head.wake_boot, timed_out=head.timed_out)


def _take_over_calls(connection: apsw.Connection, run_no: int, new_no: int, step_index: int) -> None:
    """Copy the newest call of each key of the user's: under such a key a call is the same at whatever step."""
    base, last = range_of(run_no)
    rows = all_rows(
        connection,
        "SELECT max(id), messages FROM calls WHERE idempotency_key IS NOT NULL AND id BETWEEN ? AND ?"
        " AND step_index < ? GROUP BY idempotency_key ORDER BY 1",
        (base, last, step_index),
    )
    conversation = messages.Conversation(new_no)
    for number, (row_id, last_message) in enumerate(rows, start=1):
        nodes: list[int] = []
        if last_message is not None:
            nodes = conversation.place(connection, messages.read(connection, last_message))
        connection.execute(_COPY_CALL, (base_of(new_no) + number, nodes[-1] if nodes else None, row_id))


def _take_over_signal(connection: apsw.Connection, run_no: int, new_no: int, signal_id: int) -> None:
    """Copy a signal as one that is still to be consumed."""
    connection.execute(
        "INSERT INTO signals(id, name, payload, sent_at, sent_by, sent_user)"
        " SELECT ?, name, payload, sent_at, sent_by, sent_user FROM signals WHERE id = ?",
        (base_of(new_no) + 1, base_of(run_no) + signal_id),
    )
    seals.seal_signal(connection, base_of(new_no) + 1)
    inbox.note_count(connection, new_no)


_COPY_CALL = """
INSERT INTO calls(id, messages, epoch, step_index, key, try_index, attempt_index, kind, name, effect, arguments,
                  arguments_digest, idempotency_key, status, result, error, not_started, started_at, ended_at,
                  decided_by, facts, late_result, tokens_in, tokens_out, seal)
SELECT ?1, ?2, 0, step_index, key, try_index, attempt_index, kind, name, effect, arguments,
       arguments_digest, idempotency_key, status, result, error, not_started, started_at, ended_at,
       decided_by, facts, late_result, tokens_in, tokens_out, seal
  FROM calls WHERE id = ?3
"""
