"""Questions to people, and their answers."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import apsw

from loom_core.contracts.people import (
    ANSWERED,
    APPROVAL_REASON,
    ApprovalAnswer,
    ApprovalRecord,
    ApprovalRequest,
    Person,
    check_answer,
    check_use,
)
from loom_core.contracts.stores import CallIntent
from loom_core.errors import BadInput
from loom_store_sqlite import payloads
from loom_store_sqlite.fence import Fence
from loom_store_sqlite.payloads import Prepared, load, load_required
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.rows import SEQUENCE_MASK, range_of

_APPROVALS = """
SELECT r.run_id, a.approval_id, a.kind, a.step_index, a.key, a.attempt_index, a.subject, a.arguments,
       a.arguments_digest, a.approvers, a.asked_at, a.expires_at, a.facts, a.decision, a.decided_at, a.decided_by,
       a.decided_user, a.note, a.used_at, a.used_try
  FROM approvals a JOIN runs r ON r.run_no = a.id >> 32
"""
_PENDING = "a.decision IS NULL AND (a.expires_at IS NULL OR a.expires_at > ?)"


class PreparedRequest(NamedTuple):
    """A question whose longer texts are hashed and compressed."""

    request: ApprovalRequest
    subject: Prepared
    arguments: Prepared
    approvers: Prepared
    facts: Prepared


def prepare(request: ApprovalRequest, inline: int | None = None) -> PreparedRequest:
    """Do what takes time before the transaction begins; ``inline`` is ``PayloadPolicy.max_inline_bytes``."""
    return PreparedRequest(
        request,
        payloads.prepare(request.subject, inline),
        payloads.prepare(request.arguments, inline),
        payloads.prepare(json.dumps(request.approvers), inline),
        payloads.prepare(request.facts, inline),
    )


def ask(connection: apsw.Connection, fence: Fence, prepared: PreparedRequest) -> None:
    """Put a question, in the place of one at the same call that has no answer yet."""
    request = prepared.request
    now = fence.clocks.wall()
    withdraw(connection, fence.run_no, now, key=request.key)
    base, last = range_of(fence.run_no)
    newest = one_row(connection, "SELECT max(id) FROM approvals WHERE id BETWEEN ? AND ?", (base, last))[0]
    connection.execute(
        "INSERT INTO approvals(id, approval_id, kind, step_index, key, attempt_index, subject, arguments,"
        " arguments_digest, approvers, asked_at, expires_at, facts) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            base + (newest & SEQUENCE_MASK if newest is not None else 0) + 1,
            request.approval_id,
            request.kind,
            request.step_index,
            request.key,
            request.attempt_index,
            payloads.put(connection, prepared.subject),
            payloads.put(connection, prepared.arguments),
            request.arguments_digest,
            payloads.put(connection, prepared.approvers),
            now,
            request.expires_at,
            payloads.put(connection, prepared.facts),
        ),
    )


def restore(connection: apsw.Connection, row_id: int, record: ApprovalRecord) -> None:
    """Insert a question of a dump, with its answer."""
    texts = (record.subject, record.arguments, json.dumps(record.approvers), record.facts, record.note)
    subject, arguments, approvers, facts, note = (payloads.put(connection, payloads.prepare(text)) for text in texts)
    by = record.decided_by
    connection.execute(
        "INSERT INTO approvals(id, approval_id, kind, step_index, key, attempt_index, subject, arguments,"
        " arguments_digest, approvers, asked_at, expires_at, facts, decision, decided_at, decided_by, decided_user,"
        " note, used_at, used_try) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row_id,
            record.approval_id,
            record.kind,
            record.step_index,
            record.key,
            record.attempt_index,
            subject,
            arguments,
            record.arguments_digest,
            approvers,
            record.asked_at,
            record.expires_at,
            facts,
            record.decision,
            record.decided_at,
            None if by is None else by.name,
            None if by is None else by.user,
            note,
            record.used_at,
            record.used_try,
        ),
    )


def answer(
    connection: apsw.Connection, run_no: int, run_id: str, approval_id: str, given: ApprovalAnswer, now: float
) -> ApprovalRecord:
    """Record an answer, and let the run go on if it waits for one; inside a transaction."""
    row_id = _find(connection, run_no, run_id, approval_id)
    check_answer(_at(connection, row_id), given, now)
    connection.execute(
        "UPDATE approvals SET decision = ?, decided_at = ?, decided_by = ?, decided_user = ?, note = ? WHERE id = ?",
        (
            given.decision,
            now,
            given.by.name,
            given.by.user,
            payloads.put(connection, payloads.prepare(given.note)),
            row_id,
        ),
    )
    # No fence: a run that waits has no owner, and whoever claims it does so before or after this transaction.
    connection.execute(
        "UPDATE heads SET status = 'queued', reason = ?, updated_at = ?"
        " WHERE run_no = ? AND status = 'waiting' AND substr(reason, 1, ?) = ?",
        (ANSWERED, now, run_no, len(APPROVAL_REASON), APPROVAL_REASON),
    )
    return _at(connection, row_id)


def are_pending(connection: apsw.Connection, run_no: int) -> bool:
    """Return True if a question of the run has no answer yet."""
    sql = "SELECT 1 FROM approvals WHERE id BETWEEN ? AND ? AND decision IS NULL LIMIT 1"
    return bool(all_rows(connection, sql, range_of(run_no)))


def expire(connection: apsw.Connection, run_no: int, now: float) -> None:
    """Let questions whose time is up have their answer: no."""
    connection.execute(
        "UPDATE approvals SET decision = 'expired', decided_at = ?"
        " WHERE id BETWEEN ? AND ? AND decision IS NULL AND expires_at <= ?",
        (now, *range_of(run_no), now),
    )


def withdraw(connection: apsw.Connection, run_no: int, now: float, *, key: str | None = None) -> None:
    """Let nobody answer any more what has no answer yet, of one call or of all."""
    connection.execute(
        "UPDATE approvals SET decision = 'withdrawn', decided_at = ?"
        " WHERE id BETWEEN ? AND ? AND decision IS NULL AND (? IS NULL OR key = ?)",
        (now, *range_of(run_no), key, key),
    )


def use(connection: apsw.Connection, fence: Fence, intent: CallIntent) -> None:
    """Mark the approval that allows a call as used, in the transaction of the call's intent."""
    if intent.approval_id is None:
        return
    row_id = _find(connection, fence.run_no, fence.run_id, intent.approval_id)
    check_use(
        _at(connection, row_id),
        step_index=intent.step_index,
        key=intent.key,
        try_index=intent.try_index,
        tool=intent.name,
        digest=intent.arguments_digest,
    )
    connection.execute(
        "UPDATE approvals SET used_at = coalesce(used_at, ?), used_try = ? WHERE id = ?",
        (fence.clocks.wall(), intent.try_index, row_id),
    )


def is_decided(connection: apsw.Connection, run_no: int, reason: str | None) -> bool:
    """Return True if ``reason`` names a question that was decided already."""
    if reason is None or not reason.startswith(APPROVAL_REASON):
        return False
    rows = all_rows(
        connection,
        "SELECT 1 FROM approvals WHERE id BETWEEN ? AND ? AND approval_id = ? AND decision IS NOT NULL",
        (*range_of(run_no), reason.removeprefix(APPROVAL_REASON)),
    )
    return bool(rows)


def of_step(connection: apsw.Connection, run_no: int, step_index: int) -> tuple[ApprovalRecord, ...]:
    """Return the step's questions in their order."""
    rows = all_rows(
        connection,
        f"{_APPROVALS} WHERE a.id BETWEEN ? AND ? AND a.step_index = ? ORDER BY a.id",
        (*range_of(run_no), step_index),
    )
    return tuple(_record(connection, row) for row in rows)


def listed(
    connection: apsw.Connection, run_no: int | None, *, pending: bool, now: float, limit: int, offset: int
) -> list[ApprovalRecord]:
    """Return a page of the questions of one run, or of all."""
    ids = (0, (1 << 63) - 1) if run_no is None else range_of(run_no)
    # The literal test for NULL lets SQLite use the index of those that are pending.
    chosen = f" AND {_PENDING}" if pending else ""
    rows = all_rows(
        connection,
        f"{_APPROVALS} WHERE a.id BETWEEN ? AND ?{chosen} ORDER BY a.id LIMIT ? OFFSET ?",
        (*ids, *((now,) if pending else ()), limit, offset),
    )
    return [_record(connection, row) for row in rows]


def _find(connection: apsw.Connection, run_no: int, run_id: str, approval_id: str) -> int:
    rows = all_rows(
        connection,
        "SELECT id FROM approvals WHERE id BETWEEN ? AND ? AND approval_id = ?",
        (*range_of(run_no), approval_id),
    )
    if not rows:
        raise BadInput(f"run `{run_id}` has no question {approval_id}")
    row_id: int = rows[0][0]
    return row_id


def _at(connection: apsw.Connection, row_id: int) -> ApprovalRecord:
    return _record(connection, one_row(connection, f"{_APPROVALS} WHERE a.id = ?", (row_id,)))


def _record(connection: apsw.Connection, row: tuple[Any, ...]) -> ApprovalRecord:
    run_id, approval_id, kind, step_index, key, attempt_index, subject, arguments, digest, approvers = row[:10]
    asked_at, expires_at, facts, decision, decided_at, decided_by, decided_user, note, used_at, used_try = row[10:]
    return ApprovalRecord(
        run_id=run_id,
        approval_id=approval_id,
        kind=kind,
        step_index=step_index,
        key=key,
        attempt_index=attempt_index,
        subject=load_required(connection, subject),
        arguments=load_required(connection, arguments),
        arguments_digest=digest,
        approvers=tuple(json.loads(load_required(connection, approvers))),
        asked_at=asked_at,
        expires_at=expires_at,
        facts=load(connection, facts),
        decision=decision,
        decided_at=decided_at,
        decided_by=None if decided_by is None else Person(name=decided_by, user=decided_user),
        note=load(connection, note),
        used_at=used_at,
        used_try=used_try,
    )
