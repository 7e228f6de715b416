"""Questions to people, as they are told: what is asked, by whom it may be answered, what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loom_core.contracts.people import CANCEL, PAUSE, ApprovalRecord
from loom_core.contracts.stores import RunRecord, SignalRecord
from loom_core.runtime.explain.events import Event, Questioned, QuestionSettled, Wished
from loom_core.runtime.explain.text import MAX_WHOLE, arguments, date_time, parsed, whole


def asked_words(asked: ApprovalRecord) -> str:
    """Return what exactly is asked, on one line."""
    if asked.kind == "question":
        return whole(asked.subject)
    return f"may it call {asked.subject}({arguments(asked.arguments, limit=MAX_WHOLE, value_limit=MAX_WHOLE)})?"


def who_may(asked: ApprovalRecord) -> str:
    """Return by whom and until when a question may be answered."""
    until = "" if asked.expires_at is None else f" until {date_time(asked.expires_at)}, then it is no"
    return f"{', '.join(asked.approvers) or 'anybody'}{until}"


def questions_of(approvals: Sequence[ApprovalRecord]) -> Iterator[Event]:
    """Tell of each question when it was asked, and of its end when that came."""
    for asked in approvals:
        yield Questioned(
            at=asked.asked_at, question_id=asked.approval_id, question=asked_words(asked), who_may=who_may(asked)
        )
        if asked.decision is not None:
            yield QuestionSettled(
                at=asked.decided_at,
                question_id=asked.approval_id,
                decision=asked.decision,
                by=None if asked.decided_by is None else str(asked.decided_by),
                note=None if asked.note is None else whole(asked.note),
                used_at=asked.used_at,
            )


def open_question(record: RunRecord, approvals: Sequence[ApprovalRecord]) -> ApprovalRecord | None:
    """Return the question that the run waits for."""
    wanted = (record.reason or "").removeprefix("approval:")
    return next((a for a in reversed(approvals) if a.approval_id == wanted), None)


def wish_of(signal: SignalRecord) -> Wished | None:
    """Return a message of the inbox as the wish that it is, None if it is a user's signal."""
    wants = {PAUSE: "pause", CANCEL: "cancel"}.get(signal.name)
    if wants is None:
        return None
    data = parsed(signal.payload)
    note = data.get("note") if isinstance(data, dict) else None
    by = "somebody" if signal.sender is None else str(signal.sender)
    return Wished(
        at=signal.sent_at,
        wants=wants,
        by=by,
        note=whole(note) if isinstance(note, str) else None,
        taken_up=signal.consumed_by,
    )
