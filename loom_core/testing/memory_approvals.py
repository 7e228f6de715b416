"""Questions and answers of the memory store."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from loom_core.contracts.people import (
    ANSWERED,
    APPROVAL_REASON,
    ApprovalAnswer,
    ApprovalRecord,
    ApprovalRequest,
    check_answer,
    check_use,
)
from loom_core.contracts.stores import CallIntent
from loom_core.errors import BadInput
from loom_core.testing.memory_run import MemoryRun


def ask(run: MemoryRun, requests: Iterable[ApprovalRequest], now: float) -> None:
    """Put questions, each in the place of one at the same call that has no answer yet."""
    for request in requests:
        withdraw(run, now, key=request.key)
        run.approvals.append(
            ApprovalRecord(run_id=run.record.run_id, asked_at=now, **attrs.asdict(request, recurse=False))
        )


def answer(run: MemoryRun, approval_id: str, given: ApprovalAnswer, now: float) -> ApprovalRecord:
    """Record an answer and let the run go on if it waits for one."""
    at = _position(run, approval_id)
    check_answer(run.approvals[at], given, now)
    run.approvals[at] = attrs.evolve(
        run.approvals[at], decision=given.decision, decided_at=now, decided_by=given.by, note=given.note
    )
    record = run.record
    if record.status == "waiting" and (record.reason or "").startswith(APPROVAL_REASON):
        run.record = attrs.evolve(record, status="queued", reason=ANSWERED, updated_at=now)
    return run.approvals[at]


def expire(run: MemoryRun, now: float) -> None:
    """Let questions whose time is up have their answer: no."""
    for at, asked in enumerate(run.approvals):
        if asked.decision is None and asked.expires_at is not None and asked.expires_at <= now:
            run.approvals[at] = attrs.evolve(asked, decision="expired", decided_at=now)


def withdraw(run: MemoryRun, now: float, *, key: str | None = None) -> None:
    """Let nobody answer any more what has no answer yet, of one call or of all."""
    for at, asked in enumerate(run.approvals):
        if asked.decision is None and key in (None, asked.key):
            run.approvals[at] = attrs.evolve(asked, decision="withdrawn", decided_at=now)


def use(run: MemoryRun, intent: CallIntent, now: float) -> None:
    """Mark the approval that allows a call as used; raises ``BadInput`` if it does not allow it."""
    if intent.approval_id is None:
        return
    at = _position(run, intent.approval_id)
    asked = run.approvals[at]
    check_use(
        asked,
        step_index=intent.step_index,
        key=intent.key,
        try_index=intent.try_index,
        tool=intent.name,
        digest=intent.arguments_digest,
    )
    used_at = now if asked.used_at is None else asked.used_at
    run.approvals[at] = attrs.evolve(asked, used_at=used_at, used_try=intent.try_index)


def is_decided(run: MemoryRun, reason: str | None) -> bool:
    """Return True if ``reason`` names a question that was decided already."""
    name = (reason or "").removeprefix(APPROVAL_REASON) if (reason or "").startswith(APPROVAL_REASON) else None
    return any(a.approval_id == name and a.decision is not None for a in run.approvals)


def is_pending(asked: ApprovalRecord, now: float) -> bool:
    """Return True if the question can still be answered."""
    return asked.decision is None and (asked.expires_at is None or asked.expires_at > now)


def _position(run: MemoryRun, approval_id: str) -> int:
    for at, asked in enumerate(run.approvals):
        if asked.approval_id == approval_id:
            return at
    raise BadInput(f"run `{run.record.run_id}` has no question {approval_id}")
