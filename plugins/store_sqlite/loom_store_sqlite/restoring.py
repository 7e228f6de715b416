"""Runs into the file: part by part, in one transaction that fails as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import apsw
import attrs

from loom_core.contracts.budgets import root_of
from loom_core.contracts.dumps import BudgetNode, CallNode, MessageNode, Part, arrived, check_step
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.retention import Gap
from loom_core.contracts.stores import (
    AttemptRecord,
    ClaimRecord,
    EncodedState,
    RunRecord,
    SignalRecord,
    StepRecord,
)
from loom_core.errors import BadInput
from loom_core.history import HistoryEncoder
from loom_store_sqlite import approvals, budgets, gaps, inbox, payloads, seals, timers
from loom_store_sqlite.claims import check_free, insert_run
from loom_store_sqlite.queries import all_rows
from loom_store_sqlite.rows import OUTCOMES, base_of, encode_error, encode_owner
from loom_store_sqlite.verification import check_run


def restore(
    connection: apsw.Connection,
    name: str,
    parts: Callable[[], Iterable[Part]],
    *,
    imported_from: str | None,
    skip_existing: bool,
    at: float,
) -> list[str]:
    """Insert the runs of a dump; inside one transaction, which fails as a whole."""
    restoring = _Restoring(connection, name, imported_from, skip_existing, at)
    for part in parts():
        restoring.take(part)
    restoring.finish()
    return restoring.added


class _Restoring:
    """Puts one run after another together."""

    def __init__(
        self, connection: apsw.Connection, name: str, imported_from: str | None, skip_existing: bool, at: float
    ) -> None:
        self.added: list[str] = []
        self._connection = connection
        self._name = name
        self._imported_from = imported_from
        self._skips = skip_existing
        self._at = at
        self._record: RunRecord | None = None
        self._skipping = False
        self._run_no = self._base = self._calls = self._attempts = self._approvals = self._open_calls = 0
        self._budget_no: int | None = None
        self._encoder = HistoryEncoder()
        self._nodes: dict[int, int] = {}

    def take(self, part: Part) -> None:
        """Insert a part."""
        if isinstance(part, RunRecord):
            self.finish()
            self._begin(part)
        elif self._skipping:
            return
        elif self._record is None:
            raise BadInput("a dump begins with the run that its parts belong to")
        elif isinstance(part, StepRecord):
            self._step(self._record, part)
        elif isinstance(part, CallNode):
            self._call(part)
        elif isinstance(part, MessageNode):
            self._message(part)
        elif isinstance(part, ClaimRecord):
            self._claim(part)
        elif isinstance(part, AttemptRecord):
            self._attempt(part)
        elif isinstance(part, SignalRecord):
            self._signal(part)
        elif isinstance(part, Gap):
            gaps.insert(self._connection, self._run_no, part)
        elif isinstance(part, BudgetNode):
            self._budget(self._record, part)
        elif isinstance(part, ApprovalRecord):
            self._approval(part)

    def finish(self) -> None:
        """Insert the head of the run under way, and prove that it agrees with everything else."""
        record, self._record = self._record, None
        if record is None:
            return
        inbox.note_count(self._connection, self._run_no)
        self._head(arrived(record, imported_from=None, at=self._at, open_calls=self._open_calls))
        for finding in check_run(self._connection, self._name, self._run_no):
            if finding is not None:
                raise BadInput(f"run `{record.run_id}` contradicts itself: {finding.where}: {finding.what}")
        self.added.append(record.run_id)

    def _begin(self, record: RunRecord) -> None:
        taken = all_rows(self._connection, "SELECT 1 FROM runs WHERE run_id = ?", (record.run_id,))
        self._skipping = bool(taken) and self._skips
        if self._skipping:
            return
        check_free(self._connection, record.run_id)
        came = arrived(record, imported_from=self._imported_from, at=self._at, open_calls=0)
        self._record = record
        self._run_no = insert_run(
            self._connection, record.run_id, record.agent, record.input_digest, record.created_at, came.origin
        )
        self._base = base_of(self._run_no)
        self._calls = self._attempts = self._approvals = self._open_calls = 0
        # A child's budget is its root's, which may have come before it.
        self._budget_no = budgets.number_of(self._connection, record.run_id)
        self._encoder = HistoryEncoder()
        self._nodes = {}

    def _head(self, record: RunRecord) -> None:
        counters = record.counters
        values = (
            self._run_no,
            record.status,
            record.reason,
            record.step_index,
            record.attempt_index,
            record.epoch,
            record.wake_signal,
            record.wake_at,
            record.updated_at,
            record.ended_at,
            self._text(record.result),
            self._text(encode_error(record.error)),
            counters.calls,
            counters.model_calls,
            counters.failed_attempts,
            counters.failed_calls,
            counters.unknown_calls,
            counters.tokens_in,
            counters.tokens_out,
        )
        self._insert(
            "heads",
            "run_no, status, reason, step_index, attempt_index, epoch, wake_signal, wake_at, updated_at, ended_at,"
            " result, error, calls, model_calls, failed_attempts, failed_calls, unknown_calls, tokens_in, tokens_out",
            values,
        )
        timers.keep(self._connection, self._run_no, record.wake_boot, timed_out=record.timed_out)

    def _budget(self, record: RunRecord, node: BudgetNode) -> None:
        if self._budget_no is not None or root_of(record.run_id) != record.run_id:
            raise BadInput(f"run `{record.run_id}` has a budget twice, or one that cannot be its own")
        budgets.restore(self._connection, self._run_no, node)
        self._budget_no = self._run_no

    def _approval(self, approval: ApprovalRecord) -> None:
        self._approvals += 1
        approvals.restore(self._connection, self._base + self._approvals, approval)

    def _step(self, record: RunRecord, step: StepRecord) -> None:
        check_step(record.run_id, step)
        form, body = None, None
        if step.state is not None:
            form, body = self._encoder.push(EncodedState(step.state, step.digest))
        self._insert(
            "steps",
            "id, outcome, attempt_index, epoch, at, digest, form, body, notes",
            (
                self._base + step.step_index + 2,
                OUTCOMES.index(step.outcome),
                step.attempt_index,
                step.epoch,
                step.at,
                step.digest,
                form,
                body,
                self._text(step.notes),
            ),
        )

    def _claim(self, claim: ClaimRecord) -> None:
        row_id = self._base + claim.epoch
        owner = payloads.prepare(encode_owner(claim.owner))
        seal = seals.of_claim(seals.mark(owner), claim.at, claim.step_index, claim.found, claim.agent)
        reference = payloads.put(self._connection, owner)
        self._insert(
            "claims",
            "id, owner, at, step_index, found, seal",
            (row_id, reference, claim.at, claim.step_index, claim.found, seal),
        )
        if claim.agent is not None:
            values = (row_id, *seals.agent_values(claim.agent))
            self._insert("agents", "id, name, version, reference, code_hash, schema_hash", values)

    def _attempt(self, attempt: AttemptRecord) -> None:
        self._attempts += 1
        error = payloads.prepare(encode_error(attempt.error))
        self._insert(
            "attempts",
            "id, step_index, attempt_index, epoch, started_at, ended_at, error, retry_at, seal",
            (
                self._base + self._attempts,
                attempt.step_index,
                attempt.attempt_index,
                attempt.epoch,
                attempt.started_at,
                attempt.ended_at,
                payloads.put(self._connection, error),
                attempt.retry_at,
                seals.of_attempt(attempt, seals.mark(error)),
            ),
        )

    def _message(self, message: MessageNode) -> None:
        parent = -self._run_no if message.parent is None else self._nodes.get(message.parent)
        if parent is None or message.node in self._nodes:
            raise BadInput(f"message {message.node} does not follow the one that it belongs to")
        self._insert("messages", "parent, body", (parent, self._text(message.text)))
        self._nodes[message.node] = self._connection.last_insert_rowid()

    def _call(self, node: CallNode) -> None:
        call = node.call
        if node.messages is not None and node.messages not in self._nodes:
            raise BadInput(f"call {call.call_id} was made with message {node.messages}, which is not there")
        if call.status == "started":
            # Whoever made it does not work on this run.
            self._open_calls += 1
            call = attrs.evolve(call, status="unknown")
        self._calls += 1
        self._insert(
            "calls",
            "id, step_index, key, try_index, attempt_index, epoch, kind, name, effect, arguments, arguments_digest,"
            " idempotency_key, messages, status, result, error, not_started, started_at, ended_at, decided_by, facts,"
            " late_result, tokens_in, tokens_out",
            (
                self._base + self._calls,
                call.step_index,
                call.key,
                call.try_index,
                call.attempt_index,
                call.epoch,
                call.kind,
                call.name,
                call.effect,
                self._text(call.arguments),
                call.arguments_digest,
                call.idempotency_key,
                None if node.messages is None else self._nodes[node.messages],
                call.status,
                self._text(call.result),
                self._text(encode_error(call.error)),
                call.not_started,
                call.started_at,
                call.ended_at,
                call.decided_by,
                self._text(call.facts),
                self._text(call.late_result),
                call.tokens_in,
                call.tokens_out,
            ),
        )
        seals.seal_call(self._connection, self._base + self._calls)
        if node.charge is not None and self._budget_no is not None:
            budgets.restore_charge(self._connection, self._budget_no, self._base + self._calls, node.charge)

    def _signal(self, signal: SignalRecord) -> None:
        payload = payloads.prepare(signal.payload)
        by = (None, None) if signal.sender is None else (signal.sender.name, signal.sender.user)
        self._insert(
            "signals",
            "id, name, payload, sent_at, consumed_by, sent_by, sent_user, seal",
            (
                self._base + signal.signal_id,
                signal.name,
                payloads.put(self._connection, payload),
                signal.sent_at,
                signal.consumed_by,
                *by,
                seals.of_signal(signal.name, seals.mark(payload), signal.sent_at, signal.consumed_by, by),
            ),
        )

    def _text(self, text: str | None) -> payloads.Reference:
        return payloads.put(self._connection, payloads.prepare(text))

    def _insert(self, table: str, columns: str, values: tuple[object, ...]) -> None:
        marks = ",".join("?" * len(values))
        try:
            self._connection.execute(f"INSERT INTO {table}({columns}) VALUES({marks})", values)
        except apsw.ConstraintError as error:
            raise BadInput(f"a dump has the same row of {table} twice, or one that cannot be: {error}") from error
