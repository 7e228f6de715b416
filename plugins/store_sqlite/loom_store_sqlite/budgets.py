"""Budgets: one row for each root run that has one, and what each call took from it.

The row is changed in the transactions of intents and ends, so that it is always the sum of ``reservations``.
"""

from __future__ import annotations

import apsw

from loom_core.contracts.budgets import (
    RAISED,
    Budget,
    BudgetRecord,
    Spending,
    charge_of,
    is_raised,
    raised,
    root_of,
)
from loom_core.contracts.stores import CallEnd, RunRecord
from loom_core.errors import BadInput, BudgetExhausted
from loom_store_sqlite.fence import Fence
from loom_store_sqlite.queries import all_rows, one_row

_ROW = """
SELECT tool_calls, tokens, cost_usd, steps, seconds, answer_tokens,
       spent_tool_calls, spent_tokens_in, spent_tokens_out, spent_cost_nano, spent_seconds
  FROM budgets WHERE run_no = ?
"""


def create(connection: apsw.Connection, run_no: int, budget: Budget | None) -> None:
    """Give a new root run its budget."""
    if budget is not None:
        connection.execute(
            "INSERT INTO budgets VALUES(?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0.0)",
            (
                run_no,
                budget.tool_calls,
                budget.tokens,
                budget.cost_usd,
                budget.steps,
                budget.seconds,
                budget.answer_tokens,
            ),
        )


def number_of(connection: apsw.Connection, run_id: str) -> int | None:
    """Return the number of the run whose budget ``run_id`` draws from, None if there is no budget."""
    rows = all_rows(
        connection,
        "SELECT b.run_no FROM budgets b JOIN runs r ON r.run_no = b.run_no WHERE r.run_id = ?",
        (root_of(run_id),),
    )
    return rows[0][0] if rows else None


def record_of(connection: apsw.Connection, run_id: str) -> BudgetRecord | None:
    """Return the budget that a run draws from; its steps are those of the root and of all its children."""
    number = number_of(connection, run_id)
    if number is None:
        return None
    row = one_row(connection, _ROW, (number,))
    root = root_of(run_id)
    steps = one_row(
        connection,
        "SELECT coalesce(sum(h.step_index), 0) FROM runs r JOIN heads h ON h.run_no = r.run_no"
        " WHERE r.run_id = ? OR (r.run_id >= ? AND r.run_id < ?)",
        (root, f"{root}:sub:", f"{root}:sub;"),
    )[0]
    return BudgetRecord(
        budget=Budget(
            tool_calls=row[0], tokens=row[1], cost_usd=row[2], steps=row[3], seconds=row[4], answer_tokens=row[5]
        ),
        spent=Spending(tool_calls=row[6], tokens_in=row[7], tokens_out=row[8], cost_nano=row[9]),
        steps=steps,
        seconds=row[10],
    )


def reserve(connection: apsw.Connection, fence: Fence, row_id: int, amount: Spending | None) -> None:
    """Take what a call reserves, in the transaction of its intent; raises ``BudgetExhausted``."""
    if amount is None or fence.budget_no is None:
        return
    has = record_of(connection, fence.run_id)
    lacking = None if has is None else has.lacking(amount)
    if lacking is not None:
        raise BudgetExhausted(fence.run_id, lacking)
    values = (amount.tool_calls, amount.tokens_in, amount.tokens_out, amount.cost_nano)
    connection.execute(
        "INSERT INTO reservations VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (row_id, fence.budget_no, *values, *values)
    )
    _spend(connection, fence.budget_no, values)


def charge(connection: apsw.Connection, fence: Fence, row_id: int, end: CallEnd) -> None:
    """Put what a call has spent in the place of what it reserved, in the transaction of its end."""
    if fence.budget_no is None:
        return
    rows = all_rows(
        connection,
        "SELECT reserved_tool_calls, reserved_tokens_in, reserved_tokens_out, reserved_cost_nano,"
        " tool_calls, tokens_in, tokens_out, cost_nano FROM reservations WHERE id = ?",
        (row_id,),
    )
    if not rows:
        return
    reserved = Spending(tool_calls=rows[0][0], tokens_in=rows[0][1], tokens_out=rows[0][2], cost_nano=rows[0][3])
    now = charge_of(reserved, end.spent, not_started=end.not_started)
    values = (now.tool_calls, now.tokens_in, now.tokens_out, now.cost_nano)
    connection.execute(
        "UPDATE reservations SET tool_calls = ?, tokens_in = ?, tokens_out = ?, cost_nano = ? WHERE id = ?",
        (*values, row_id),
    )
    _spend(connection, fence.budget_no, tuple(new - old for new, old in zip(values, rows[0][4:], strict=True)))


def work(connection: apsw.Connection, budget_no: int | None, seconds: float) -> None:
    """Count time during which somebody worked on the run."""
    if budget_no is not None:
        connection.execute(
            "UPDATE budgets SET spent_seconds = spent_seconds + ? WHERE run_no = ?", (max(0.0, seconds), budget_no)
        )


def add(connection: apsw.Connection, run: RunRecord, run_no: int, more: Budget, now: float) -> BudgetRecord:
    """Raise limits, and let a run go on that is paused for want of them; inside a transaction."""
    number, has = number_of(connection, run.run_id), record_of(connection, run.run_id)
    if number is None or has is None:
        raise BadInput(f"run `{run.run_id}` has no budget")
    budget = raised(has, more, run.run_id)
    connection.execute(
        "UPDATE budgets SET tool_calls = ?, tokens = ?, cost_usd = ?, steps = ?, seconds = ? WHERE run_no = ?",
        (budget.tool_calls, budget.tokens, budget.cost_usd, budget.steps, budget.seconds, number),
    )
    if run.status == "paused" and is_raised(run.reason, more):
        # No fence: a paused run has no owner, and whoever claims it does so before or after this transaction.
        connection.execute(
            "UPDATE heads SET status = 'queued', reason = ?, updated_at = ? WHERE run_no = ?", (RAISED, now, run_no)
        )
    return BudgetRecord(budget=budget, spent=has.spent, steps=has.steps, seconds=has.seconds)


def _spend(connection: apsw.Connection, budget_no: int, amount: tuple[int, ...]) -> None:
    connection.execute(
        "UPDATE budgets SET spent_tool_calls = spent_tool_calls + ?, spent_tokens_in = spent_tokens_in + ?,"
        " spent_tokens_out = spent_tokens_out + ?, spent_cost_nano = spent_cost_nano + ? WHERE run_no = ?",
        (*amount, budget_no),
    )
