"""Settling a run: its outcome, its step and its failed attempt in one transaction, the lease given back."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import apsw

from loom_core.contracts.people import ANSWERED
from loom_core.contracts.stores import ENDED, AttemptRecord, Settlement
from loom_store_sqlite import approvals, budgets, inbox, payloads, timers
from loom_store_sqlite.fence import Fence
from loom_store_sqlite.payloads import Prepared
from loom_store_sqlite.queries import one_row
from loom_store_sqlite.rows import OUTCOMES, encode_error


class StepRow(NamedTuple):
    """What a step adds to the history; ``form`` None where it completed the run."""

    step_index: int
    outcome: str
    attempt_index: int
    digest: bytes
    form: int | None
    body: bytes | None
    notes: Prepared


class PreparedSettlement(NamedTuple):
    """A settlement whose longer texts are hashed and compressed."""

    settlement: Settlement
    step: StepRow | None
    result: Prepared
    error: Prepared
    attempt_error: Prepared
    questions: tuple[approvals.PreparedRequest, ...]


def prepare(settlement: Settlement, part: tuple[int, bytes] | None) -> PreparedSettlement:
    """Do what takes time before the transaction begins; ``part`` is the new state as history keeps it."""
    attempt = settlement.attempt
    return PreparedSettlement(
        settlement,
        _step_row(settlement, part),
        payloads.prepare(settlement.result),
        payloads.prepare(encode_error(settlement.error)),
        payloads.prepare(encode_error(attempt.error)) if attempt is not None else None,
        tuple(approvals.prepare(request) for request in settlement.questions),
    )


def settle(connection: apsw.Connection, fence: Fence, prepared: PreparedSettlement, signal_id: int | None) -> None:
    """Write a settlement; ``signal_id`` is the signal that the step was woken by."""
    settlement, step = prepared.settlement, prepared.step
    _change_head(connection, fence, prepared)
    # The step that comes next goes on without its signal until it is committed, whatever it waits for in between.
    timed_out = step is None and timers.has_timed_out(connection, fence.run_no)
    timers.keep(connection, fence.run_no, settlement.wake_boot, timed_out=timed_out)
    if step is not None:
        insert_step(connection, fence, step)
        consume(connection, fence, signal_id, step.step_index)
    if settlement.attempt is not None:
        insert_attempt(connection, fence, settlement.attempt, prepared.attempt_error)
    budgets.work(connection, fence.budget_no, fence.clocks.steady_s() - fence.claimed_s)
    if step is not None or settlement.status in ENDED:
        approvals.withdraw(connection, fence.run_no, fence.clocks.wall())
    for request in prepared.questions:
        approvals.ask(connection, fence, request)
    inbox.take(connection, fence.run_no, settlement.takes, settlement.step_index)
    if settlement.status == "waiting" and approvals.is_decided(connection, fence.run_no, settlement.reason):
        connection.execute("UPDATE heads SET status = 'queued', reason = ? WHERE run_no = ?", (ANSWERED, fence.run_no))


def insert_step(connection: apsw.Connection, fence: Fence, step: StepRow) -> None:
    """Add a row to the history."""
    connection.execute(
        "INSERT INTO steps(id, outcome, attempt_index, epoch, at, digest, form, body, notes)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            fence.base + step.step_index + 2,
            OUTCOMES.index(step.outcome),
            step.attempt_index,
            fence.epoch,
            fence.clocks.wall(),
            step.digest,
            step.form,
            step.body,
            payloads.put(connection, step.notes),
        ),
    )


def insert_attempt(connection: apsw.Connection, fence: Fence, attempt: AttemptRecord, error: Prepared) -> None:
    """Add a failed attempt; the run's row has counted it already."""
    count = one_row(connection, "SELECT failed_attempts FROM heads WHERE run_no = ?", (fence.run_no,))[0]
    connection.execute(
        "INSERT INTO attempts(id, step_index, attempt_index, epoch, started_at, ended_at, error, retry_at)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        (
            fence.base + count,
            attempt.step_index,
            attempt.attempt_index,
            attempt.epoch,
            attempt.started_at,
            attempt.ended_at,
            payloads.put(connection, error),
            attempt.retry_at,
        ),
    )


def consume(connection: apsw.Connection, fence: Fence, signal_id: int | None, step_index: int) -> None:
    """Mark the signal that a step was woken by as consumed by it."""
    if signal_id is not None:
        connection.execute(
            "UPDATE signals SET consumed_by = ? WHERE id = ? AND consumed_by IS NULL",
            (step_index, fence.base + signal_id),
        )


def _change_head(connection: apsw.Connection, fence: Fence, prepared: PreparedSettlement) -> None:
    settlement, step = prepared.settlement, prepared.step
    failed = settlement.attempt is not None
    now = fence.clocks.wall()
    changes = (
        "status = ?, reason = ?, lease_wall_s = NULL, lease_boot_s = NULL, updated_at = ?, ended_at = ?,"
        " result = ?, error = ?, wake_at = ?, failed_attempts = failed_attempts + ?,"
    )
    values = (
        settlement.status,
        settlement.reason,
        now,
        now if settlement.status in ENDED else None,
        payloads.put(connection, prepared.result),
        payloads.put(connection, prepared.error),
        settlement.wake_at,
        failed,
    )
    if step is None:
        # The step that comes next is still to be woken by what woke it this time.
        fence.guarded(
            connection,
            f"{changes} wake_signal = coalesce(?, wake_signal), attempt_index = attempt_index + ?",
            (*values, settlement.wake_signal, failed),
        )
        return
    fence.guarded(
        connection,
        f"{changes} wake_signal = ?, attempt_index = 0, step_index = step_index + 1",
        (*values, settlement.wake_signal),
        step_index=step.step_index,
    )


def _step_row(settlement: Settlement, part: tuple[int, bytes] | None) -> StepRow | None:
    if settlement.outcome is None:
        return None
    state = settlement.state
    digest = state.digest if state is not None else digest_of_result(settlement.result)
    form, body = part if part is not None else (None, None)
    return StepRow(
        settlement.step_index,
        settlement.outcome,
        settlement.attempt_index,
        digest,
        form,
        body,
        payloads.prepare(settlement.notes),
    )


def digest_of_result(result: str | None) -> bytes:
    """Return what the row of a completing step has for a digest."""
    return blake2b((result or "").encode(), digest_size=16).digest()
