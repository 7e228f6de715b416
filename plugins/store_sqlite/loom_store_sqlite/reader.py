"""Reading: every question that a store answers, asked of one connection inside one snapshot."""

from __future__ import annotations

from shlex import quote
from typing import Any

import apsw

from loom_core.contracts.budgets import BudgetRecord
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.stores import (
    AttemptRecord,
    CallRecord,
    CallStatus,
    ClaimRecord,
    RunRecord,
    RunStatus,
    SignalRecord,
    StepRecord,
)
from loom_core.errors import BadInput, RunNotFound
from loom_store_sqlite import approvals, budgets, journal, states
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.rows import (
    ATTEMPTS,
    CLAIMS,
    RUNS,
    SIGNALS,
    attempt_record,
    claim_record,
    range_of,
    run_record,
    signal_record,
    step_record,
)


class Reader:
    """Answers questions from ``connection``; ``name`` is how errors call the database."""

    __slots__ = ("_connection", "_name")

    def __init__(self, connection: apsw.Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def run_no(self, run_id: str) -> int:
        """Return the run's number; raises ``RunNotFound``."""
        rows = all_rows(self._connection, "SELECT run_no FROM runs WHERE run_id = ?", (run_id,))
        if not rows:
            raise RunNotFound(
                run_id, where=self._name, hint=f"see the runs there are: loom-runner list --db {quote(self._name)}"
            )
        run_no: int = rows[0][0]
        return run_no

    def run(self, run_id: str) -> RunRecord:
        """Return the run's own row."""
        return self.run_numbered(self.run_no(run_id))

    def run_numbered(self, run_no: int) -> RunRecord:
        """Return the row of a run that is there."""
        rows = all_rows(self._connection, f"{RUNS} WHERE r.run_no = ?", (run_no,))
        if not rows:
            raise apsw.CorruptError(f"run number {run_no} has no head")
        return run_record(self._connection, rows[0])

    def runs(self, *, limit: int, offset: int, status: RunStatus | None, agent: str | None) -> list[RunRecord]:
        """Return a page of runs, the newest first."""
        rows = all_rows(
            self._connection,
            f"""{RUNS} WHERE (?1 IS NULL OR h.status = ?1) AND (?2 IS NULL OR r.agent_name = ?2)
            ORDER BY r.run_no DESC LIMIT ?3 OFFSET ?4""",
            (status, agent, limit, offset),
        )
        return [run_record(self._connection, row) for row in rows]

    def steps(self, run_id: str, *, first: int, limit: int, with_states: bool) -> list[StepRecord]:
        """Return a page of steps; with states, also reads back to the last whole one before the page."""
        entries = states.listed(self._connection, self.run_no(run_id), first=first, limit=limit, states=with_states)
        return [step_record(self._connection, row, text) for row, text in entries]

    def state(self, run_id: str, step_index: int | None) -> str:
        """Return the state that a step starts with; None: the last one that there is."""
        run_no = self.run_no(run_id)
        head, status = one_row(self._connection, "SELECT step_index, status FROM heads WHERE run_no = ?", (run_no,))
        if step_index is None:
            return states.at(self._connection, run_no, head).text
        if not 0 <= step_index <= head:
            raise BadInput(f"run `{run_id}` has no step {step_index}; the next one is {head}")
        if step_index == head and status == "completed":
            raise BadInput(f"run `{run_id}` was completed by step {head - 1}, so there is no state for step {head}")
        return states.at(self._connection, run_no, step_index).text

    def attempts(self, run_id: str, *, limit: int, offset: int) -> list[AttemptRecord]:
        """Return a page of failed attempts in their order."""
        return [attempt_record(self._connection, row) for row in self._page(ATTEMPTS, run_id, limit, offset)]

    def signals(self, run_id: str, *, limit: int, offset: int) -> list[SignalRecord]:
        """Return a page of the inbox in its order."""
        return [signal_record(self._connection, row) for row in self._page(SIGNALS, run_id, limit, offset)]

    def claims(self, run_id: str, *, limit: int, offset: int) -> list[ClaimRecord]:
        """Return a page of claims in their order."""
        return [claim_record(self._connection, row) for row in self._page(CLAIMS, run_id, limit, offset)]

    def calls(
        self, run_id: str, *, limit: int, offset: int, status: CallStatus | None, newest: bool
    ) -> list[CallRecord]:
        """Return a page of calls."""
        return journal.listed(
            self._connection, self.run_no(run_id), limit=limit, offset=offset, status=status, newest=newest
        )

    def messages(self, run_id: str, call: CallRecord) -> list[str]:
        """Return the messages that a model call was made with."""
        run_no = self.run_no(run_id)
        row_id = journal.find(self._connection, run_no, run_id, call.step_index, call.key, call.try_index)
        return journal.messages_of(self._connection, row_id)

    def waking_signal(self, run_no: int, record: RunRecord) -> SignalRecord | None:
        """Return the signal that the step that comes next is woken by, None if there is none or it is not waited for.

        Once a step goes on without its signal, one that comes late is not for it.
        """
        if record.wake_signal is None or record.timed_out:
            return None
        return self.pending_signal(run_no, record.wake_signal)

    def budget(self, run_id: str) -> BudgetRecord | None:
        """Return the budget that a run draws from."""
        self.run_no(run_id)
        return budgets.record_of(self._connection, run_id)

    def approvals(
        self, run_id: str | None, *, pending: bool, now: float, limit: int, offset: int
    ) -> list[ApprovalRecord]:
        """Return a page of the questions of one run, or of all."""
        run_no = None if run_id is None else self.run_no(run_id)
        return approvals.listed(self._connection, run_no, pending=pending, now=now, limit=limit, offset=offset)

    def pending_signal(self, run_no: int, name: str) -> SignalRecord | None:
        """Return the earliest signal of that name which no step has consumed."""
        rows = all_rows(
            self._connection,
            f"{SIGNALS} WHERE name = ? AND consumed_by IS NULL AND id BETWEEN ? AND ? ORDER BY id LIMIT 1",
            (name, *range_of(run_no)),
        )
        return signal_record(self._connection, rows[0]) if rows else None

    def _page(self, select: str, run_id: str, limit: int, offset: int) -> list[tuple[Any, ...]]:
        return all_rows(
            self._connection,
            f"{select} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ? OFFSET ?",
            (*range_of(self.run_no(run_id)), limit, offset),
        )
