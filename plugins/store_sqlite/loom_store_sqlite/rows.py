"""Records from rows: each table's columns and what they become."""

from __future__ import annotations

import json
from typing import Any, Final

import apsw
import attrs

from loom_core.contracts.people import Person
from loom_core.contracts.stores import (
    AgentRecord,
    AttemptRecord,
    CallRecord,
    ClaimRecord,
    ErrorRecord,
    Lease,
    OutcomeKind,
    Owner,
    RunCounters,
    RunRecord,
    SignalRecord,
    StepRecord,
    call_id,
)
from loom_core.contracts.timers import BootTime
from loom_store_sqlite.payloads import load, load_required
from loom_store_sqlite.queries import all_rows

OUTCOMES: Final[tuple[OutcomeKind, ...]] = ("initial", "continue", "sleep", "wait", "complete")
"""The codes in ``steps.outcome``; COMMIT_STATEMENT knows that 1 is ``continue``."""

SEQUENCE_BITS = 32
SEQUENCE_MASK = (1 << SEQUENCE_BITS) - 1

RUNS = """
SELECT r.run_no, r.run_id, r.agent_name, r.agent_version, r.agent_reference, r.code_hash, r.schema_hash,
       h.status, h.reason, h.step_index, h.attempt_index, h.epoch, h.lease_wall_s, h.lease_boot_s,
       h.wake_signal, h.wake_at, r.input_digest, r.created_at, h.updated_at, h.ended_at, h.result, h.error,
       h.calls, h.model_calls, h.failed_attempts, h.failed_calls, h.unknown_calls, h.tokens_in, h.tokens_out,
       t.boot_id, t.boot_s, t.timed_out
  FROM runs r JOIN heads h ON h.run_no = r.run_no LEFT JOIN timers t ON t.run_no = r.run_no
"""
STEPS = "SELECT id, outcome, attempt_index, epoch, at, digest, form, body, notes FROM steps"
ATTEMPTS = "SELECT step_index, attempt_index, epoch, started_at, ended_at, error, retry_at FROM attempts"
CALLS = """
SELECT step_index, key, try_index, attempt_index, epoch, kind, name, effect, arguments, arguments_digest,
       idempotency_key, status, result, error, not_started, started_at, ended_at, decided_by, facts, late_result,
       tokens_in, tokens_out
  FROM calls
"""
CLAIMS = "SELECT id, owner, at, step_index, found FROM claims"
SIGNALS = "SELECT id, name, payload, sent_at, consumed_by, sent_by, sent_user FROM signals"


def base_of(run_no: int) -> int:
    """Return the id before the first of the run's rows."""
    return run_no << SEQUENCE_BITS


def range_of(run_no: int) -> tuple[int, int]:
    """Return the first and the last id that rows of the run can have."""
    base = base_of(run_no)
    return base, base | SEQUENCE_MASK


def encode_error(error: ErrorRecord | None) -> str | None:
    """Return an error as the JSON text that ``decode_error`` reads."""
    return None if error is None else json.dumps(attrs.asdict(error))


def decode_error(text: str | None) -> ErrorRecord | None:
    """Return the error that ``encode_error`` wrote."""
    return None if text is None else ErrorRecord(**_object(text))


def encode_owner(owner: Owner) -> str:
    """Return an owner as the JSON text that ``decode_owner`` reads."""
    return json.dumps(attrs.asdict(owner))


def decode_owner(text: str) -> Owner:
    """Return the owner that ``encode_owner`` wrote."""
    return Owner(**_object(text))


def run_record(connection: apsw.Connection, row: tuple[Any, ...]) -> RunRecord:
    """Make a record of a row of ``RUNS``; its owner is the one of its newest claim while it is running."""
    run_no, run_id, *agent = row[:7]
    status, reason, step_index, attempt_index, epoch, wall_s, boot_s, wake_signal, wake_at = row[7:16]
    digest, created_at, updated_at, ended_at, result, error = row[16:22]
    calls, model_calls, failed_attempts, failed_calls, unknown_calls, tokens_in, tokens_out = row[22:29]
    wake_boot_id, wake_boot_s, timed_out = row[29:]
    return RunRecord(
        run_id=run_id,
        agent=AgentRecord(
            name=agent[0], version=agent[1], reference=agent[2], code_hash=agent[3], schema_hash=agent[4]
        ),
        status=status,
        reason=reason,
        step_index=step_index,
        attempt_index=attempt_index,
        epoch=epoch,
        owner=_owner_of(connection, run_no, epoch) if status == "running" else None,
        lease=None if wall_s is None else Lease(wall_s=wall_s, boot_s=boot_s),
        wake_signal=wake_signal,
        wake_at=wake_at,
        input_digest=digest,
        created_at=created_at,
        updated_at=updated_at,
        ended_at=ended_at,
        result=load(connection, result),
        error=decode_error(load(connection, error)),
        counters=RunCounters(
            calls=calls,
            model_calls=model_calls,
            failed_attempts=failed_attempts,
            failed_calls=failed_calls,
            unknown_calls=unknown_calls,
            claims=epoch,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
        ),
        wake_boot=None if wake_boot_id is None else BootTime(boot_id=wake_boot_id, at_s=wake_boot_s),
        timed_out=bool(timed_out),
    )


def step_record(connection: apsw.Connection, row: tuple[Any, ...], state: str | None) -> StepRecord:
    """Make a record of a row of ``STEPS``."""
    row_id, outcome, attempt_index, epoch, at, digest, _, _, notes = row
    return StepRecord(
        step_index=(row_id & SEQUENCE_MASK) - 2,
        outcome=OUTCOMES[outcome],
        attempt_index=attempt_index,
        epoch=epoch,
        at=at,
        digest=digest,
        state=state,
        notes=load(connection, notes),
    )


def attempt_record(connection: apsw.Connection, row: tuple[Any, ...]) -> AttemptRecord:
    """Make a record of a row of ``ATTEMPTS``."""
    step_index, attempt_index, epoch, started_at, ended_at, error, retry_at = row
    return AttemptRecord(
        step_index=step_index,
        attempt_index=attempt_index,
        epoch=epoch,
        started_at=started_at,
        ended_at=ended_at,
        error=ErrorRecord(**_object(load_required(connection, error))),
        retry_at=retry_at,
    )


def call_record(connection: apsw.Connection, row: tuple[Any, ...]) -> CallRecord:
    """Make a record of a row of ``CALLS``."""
    step_index, key, try_index, attempt_index, epoch, kind, name, effect, arguments, digest = row[:10]
    user_key, status, result, error, not_started, started_at, ended_at, decided_by, facts, late = row[10:20]
    return CallRecord(
        call_id=call_id(step_index, key, try_index),
        step_index=step_index,
        key=key,
        try_index=try_index,
        attempt_index=attempt_index,
        epoch=epoch,
        kind=kind,
        name=name,
        effect=effect,
        arguments=load_required(connection, arguments),
        arguments_digest=digest,
        idempotency_key=user_key,
        status=status,
        result=load(connection, result),
        error=decode_error(load(connection, error)),
        not_started=bool(not_started),
        started_at=started_at,
        ended_at=ended_at,
        decided_by=decided_by,
        facts=load(connection, facts),
        late_result=load(connection, late),
        tokens_in=row[20],
        tokens_out=row[21],
    )


def claim_record(connection: apsw.Connection, row: tuple[Any, ...]) -> ClaimRecord:
    """Make a record of a row of ``CLAIMS``."""
    row_id, owner, at, step_index, found = row
    return ClaimRecord(
        epoch=row_id & SEQUENCE_MASK,
        owner=decode_owner(load_required(connection, owner)),
        at=at,
        step_index=step_index,
        found=found,
    )


def signal_record(connection: apsw.Connection, row: tuple[Any, ...]) -> SignalRecord:
    """Make a record of a row of ``SIGNALS``."""
    row_id, name, payload, sent_at, consumed_by, sent_by, sent_user = row
    return SignalRecord(
        signal_id=row_id & SEQUENCE_MASK,
        name=name,
        payload=load_required(connection, payload),
        sent_at=sent_at,
        consumed_by=consumed_by,
        sender=None if sent_by is None else Person(name=sent_by, user=sent_user),
    )


def _owner_of(connection: apsw.Connection, run_no: int, epoch: int) -> Owner | None:
    rows = all_rows(connection, "SELECT owner FROM claims WHERE id = ?", (base_of(run_no) + epoch,))
    return decode_owner(load_required(connection, rows[0][0])) if rows else None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise apsw.CorruptError(f"a record is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise apsw.CorruptError("a record is no JSON object")
    return found
