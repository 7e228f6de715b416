"""Budgets: one row for each root run that has one, and what each call took from it.

The row is changed in the transactions of intents and ends, so that it is always the sum of ``reservations``.
"""

from __future__ import annotations

from collections.abc import Sequence

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
from loom_core.contracts.dumps import BudgetNode, CallCharge
from loom_core.contracts.stores import CallEnd, RunRecord
from loom_core.errors import BadInput, BudgetExhausted
from loom_store_sqlite.fence import Fence
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.rows import base_of, range_of

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


def inherit(connection: apsw.Connection, run_id: str, new_no: int, new_id: str) -> None:
    """Give a fork the limits of the budget that its source draws from, with nothing spent of them."""
    has = record_of(connection, run_id)
    if has is not None and root_of(new_id) == new_id:
        create(connection, new_no, has.budget)


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
        # A fork counts its steps from where it began, and has spent none of those before.
        "SELECT coalesce(sum(h.step_index - coalesce(o.forked_step, 0)), 0) FROM runs r"
        " JOIN heads h ON h.run_no = r.run_no LEFT JOIN origins o ON o.run_no = r.run_no"
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


def node_of(connection: apsw.Connection, run_no: int, run_id: str) -> BudgetNode | None:
    """Return a root run's budget as a dump has it."""
    has = record_of(connection, run_id) if number_of(connection, run_id) == run_no else None
    return None if has is None else BudgetNode(budget=has.budget, spent=has.spent, seconds=has.seconds)


def charge_at(connection: apsw.Connection, row_id: int) -> CallCharge | None:
    """Return what a call reserved and is charged, None if it draws from no budget."""
    rows = all_rows(
        connection,
        "SELECT reserved_tool_calls, reserved_tokens_in, reserved_tokens_out, reserved_cost_nano,"
        " tool_calls, tokens_in, tokens_out, cost_nano FROM reservations WHERE id = ?",
        (row_id,),
    )
    return CallCharge(reserved=_spending(rows[0][:4]), charged=_spending(rows[0][4:])) if rows else None


def restore(connection: apsw.Connection, run_no: int, node: BudgetNode) -> None:
    """Insert a budget of a dump; what is spent of it is nobody's until the calls that spent it come."""
    create(connection, run_no, node.budget)
    values = _amounts(node.spent)
    _spend(connection, run_no, values)
    work(connection, run_no, node.seconds)
    _add_to_rest(connection, run_no, values)


def restore_charge(connection: apsw.Connection, budget_no: int, row_id: int, charge: CallCharge) -> None:
    """Insert what a call of a dump is charged: from what is nobody's, else it is spent now."""
    charged = _amounts(charge.charged)
    connection.execute(
        "INSERT INTO reservations VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (row_id, budget_no, *_amounts(charge.reserved), *charged),
    )
    rows = all_rows(
        connection,
        "SELECT tool_calls, tokens_in, tokens_out, cost_nano FROM reservations WHERE id = ?",
        (base_of(budget_no),),
    )
    taken = tuple(min(wanted, left) for wanted, left in zip(charged, rows[0] if rows else (0, 0, 0, 0), strict=True))
    if rows:
        _add_to_rest(connection, budget_no, tuple(-amount for amount in taken))
    _spend(connection, budget_no, tuple(wanted - amount for wanted, amount in zip(charged, taken, strict=True)))


def forget(connection: apsw.Connection, run_no: int) -> None:
    """Let go of what a run that is deleted has to do with budgets: what it spent of another run's stays spent."""
    for budget_no, *values in all_rows(
        connection,
        "SELECT budget_no, sum(tool_calls), sum(tokens_in), sum(tokens_out), sum(cost_nano) FROM reservations"
        " WHERE id BETWEEN ? AND ? AND budget_no <> ? AND budget_no IN (SELECT run_no FROM budgets)"
        " GROUP BY budget_no",
        (*range_of(run_no), run_no),
    ):
        _add_to_rest(connection, budget_no, tuple(values))
    connection.execute("DELETE FROM reservations WHERE budget_no = ?", (run_no,))


def _add_to_rest(connection: apsw.Connection, budget_no: int, amount: tuple[int, ...]) -> None:
    """Change what was spent by calls that are not here: a reservation with the number 0, which no call has."""
    connection.execute(
        "INSERT INTO reservations VALUES(?, ?, 0, 0, 0, 0, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET"
        " tool_calls = tool_calls + excluded.tool_calls, tokens_in = tokens_in + excluded.tokens_in,"
        " tokens_out = tokens_out + excluded.tokens_out, cost_nano = cost_nano + excluded.cost_nano",
        (base_of(budget_no), budget_no, *amount),
    )


def _amounts(spending: Spending) -> tuple[int, int, int, int]:
    return spending.tool_calls, spending.tokens_in, spending.tokens_out, spending.cost_nano


def _spending(amounts: Sequence[int]) -> Spending:
    tool_calls, tokens_in, tokens_out, cost_nano = amounts
    return Spending(tool_calls=tool_calls, tokens_in=tokens_in, tokens_out=tokens_out, cost_nano=cost_nano)


def _spend(connection: apsw.Connection, budget_no: int, amount: tuple[int, ...]) -> None:
    connection.execute(
        "UPDATE budgets SET spent_tool_calls = spent_tool_calls + ?, spent_tokens_in = spent_tokens_in + ?,"
        " spent_tokens_out = spent_tokens_out + ?, spent_cost_nano = spent_cost_nano + ? WHERE run_no = ?",
        (*amount, budget_no),
    )
