"""Checks of what people answered and of what a run has spent, for ``verification``."""

from __future__ import annotations

from collections.abc import Iterator

import apsw

from loom_core.contracts.stores import Finding, RunRecord
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.rows import range_of


def check_approvals(connection: apsw.Connection, record: RunRecord, run_no: int) -> Iterator[Finding | None]:
    """Check that every approval that was used has its call, and that it was given."""
    rows = all_rows(
        connection,
        "SELECT approval_id, step_index, key, used_try, decision FROM approvals"
        " WHERE id BETWEEN ? AND ? AND used_at IS NOT NULL",
        range_of(run_no),
    )
    for approval_id, step_index, key, used_try, decision in rows:
        made = all_rows(
            connection,
            "SELECT 1 FROM calls WHERE id BETWEEN ? AND ? AND step_index = ? AND key = ? AND try_index = ? LIMIT 1",
            (*range_of(run_no), step_index, key, used_try),
        )
        if not made or decision != "approved":
            what = "it was used, but its call is not recorded" if not made else f"it was used, but is {decision}"
            yield _finding(record, f"question {approval_id}", what, "a call may have been made that nobody allowed")
        yield None


def check_budget(connection: apsw.Connection, record: RunRecord, run_no: int) -> Iterator[Finding | None]:
    """Check that a budget's row is the sum of what its calls are charged."""
    kept = all_rows(
        connection,
        "SELECT spent_tool_calls, spent_tokens_in, spent_tokens_out, spent_cost_nano FROM budgets WHERE run_no = ?",
        (run_no,),
    )
    if kept:
        charged = one_row(
            connection,
            "SELECT coalesce(sum(tool_calls), 0), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0),"
            " coalesce(sum(cost_nano), 0) FROM reservations WHERE budget_no = ?",
            (run_no,),
        )
        if kept[0] != charged:
            what = f"its row says {kept[0]} is spent, its calls were charged {charged}"
            yield _finding(record, "budget", what, "the run may spend more, or less, than it was given")
    yield None


def _finding(record: RunRecord, where: str, what: str, meaning: str) -> Finding:
    return Finding(run_id=record.run_id, where=where, what=what, meaning=meaning)
