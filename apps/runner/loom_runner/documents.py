"""Records as JSON data, as `--json` prints them."""

from __future__ import annotations

import json
import time

import attrs

from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.stores import AttemptRecord, CallRecord, ErrorRecord, RunRecord, SignalRecord, StepRecord
from loom_core.runtime.explain.failure import user_line
from loom_core.runtime.explain.standing import Standing, standing_of
from loom_core.runtime.owners import boot_clock


def standing(record: RunRecord) -> Standing:
    """Return where the run stands now."""
    return standing_of(record, wall_s=time.time(), boot_s=boot_clock())


def payload(text: str | None) -> object:
    """Return a recorded JSON text as data."""
    return None if text is None else json.loads(text)


def error_data(
    error: ErrorRecord | None, reference: str | None = None, *, traceback: bool = True
) -> dict[str, object] | None:
    """Return an error; ``line`` is the place in the user's code."""
    if error is None:
        return None
    data: dict[str, object] = {"type": error.type, "message": error.message, "category": error.category}
    data["line"] = user_line(error.traceback, reference)
    return {**data, "traceback": error.traceback} if traceback else data


def run_data(record: RunRecord) -> dict[str, object]:
    """Return a run as every command shows it; ``status`` is ``orphaned`` for a run whose owner is gone."""
    now = standing(record)
    return {
        "run_id": record.run_id,
        "agent": record.agent.name,
        "status": now.status,
        "stored_status": record.status,
        "reason": record.reason,
        "words": now.words,
        "wake_at": record.wake_at if record.status == "waiting" else None,
        "step_index": record.step_index,
        "attempt_index": record.attempt_index,
        "result": payload(record.result),
        "error": error_data(record.error, record.agent.reference, traceback=False),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "ended_at": record.ended_at,
    }


def whole_run_data(record: RunRecord) -> dict[str, object]:
    """Return everything in the run's own row."""
    return {
        **run_data(record),
        "error": error_data(record.error, record.agent.reference),
        "agent": attrs.asdict(record.agent),
        "epoch": record.epoch,
        "owner": None if record.owner is None else attrs.asdict(record.owner),
        "lease": None if record.lease is None else attrs.asdict(record.lease),
        "wake_signal": record.wake_signal,
        "timed_out": record.timed_out,
        "input_digest": record.input_digest.hex(),
        "counters": attrs.asdict(record.counters),
    }


def step_data(step: StepRecord, *, with_state: bool) -> dict[str, object]:
    """Return a committed step; ``state`` is what the next step starts with."""
    data: dict[str, object] = {
        "step_index": step.step_index,
        "outcome": step.outcome,
        "attempt_index": step.attempt_index,
        "epoch": step.epoch,
        "at": step.at,
        "digest": step.digest.hex(),
        "notes": payload(step.notes),
    }
    return {**data, "state": payload(step.state)} if with_state else data


def attempt_data(attempt: AttemptRecord, reference: str | None) -> dict[str, object]:
    """Return a failed attempt."""
    return {**attrs.asdict(attempt), "error": error_data(attempt.error, reference)}


def signal_data(signal: SignalRecord) -> dict[str, object]:
    """Return a message of a run's inbox."""
    return {**attrs.asdict(signal), "payload": payload(signal.payload)}


def approval_data(asked: ApprovalRecord) -> dict[str, object]:
    """Return a question of a run, answered or not; ``arguments_digest`` is what the answer is bound to."""
    data = attrs.asdict(asked)
    del data["facts"]
    return {
        **data,
        "arguments": payload(asked.arguments),
        "arguments_digest": asked.arguments_digest.hex(),
        "approvers": list(asked.approvers),
    }


def call_data(call: CallRecord) -> dict[str, object]:
    """Return a managed call."""
    return {
        "call_id": call.call_id,
        "kind": call.kind,
        "tool": call.name,
        "step_index": call.step_index,
        "attempt_index": call.attempt_index,
        "try_index": call.try_index,
        "epoch": call.epoch,
        "effect": call.effect,
        "status": call.status,
        "key": call.key,
        "idempotency_key": call.idempotency_key,
        "arguments": payload(call.arguments),
        "result": payload(call.result),
        "error": error_data(call.error),
        "not_started": call.not_started,
        "started_at": call.started_at,
        "ended_at": call.ended_at,
        "decided_by": call.decided_by,
        "late_result": payload(call.late_result),
        "tokens_in": call.tokens_in,
        "tokens_out": call.tokens_out,
    }
