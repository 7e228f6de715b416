"""A run's budget as it is told: what is spent of what, and how it is raised."""

from __future__ import annotations

from loom_core.contracts.budgets import BUDGET_REASON, WORDS, BudgetName, BudgetRecord
from loom_core.contracts.stores import RunRecord
from loom_core.runtime.explain.text import duration, number

OPTIONS: dict[BudgetName, str] = {
    "tool_calls": "--add-tool-calls",
    "tokens": "--add-tokens",
    "cost": "--add-cost",
    "steps": "--add-steps",
    "seconds": "--add-seconds",
}
"""The options of ``resume`` that raise each of them."""


def used_up(record: RunRecord) -> BudgetName | None:
    """Return which budget a paused run has used up."""
    name = (record.reason or "").removeprefix(BUDGET_REASON)
    if record.status != "paused" or not (record.reason or "").startswith(BUDGET_REASON):
        return None
    return next((known for known in OPTIONS if known == name), None)


def budget_words(has: BudgetRecord) -> str:
    """Return what is spent of each limit, on one line."""
    return ", ".join(f"{_amount(n, has.amount(n))} of {_amount(n, limit)}" for n, limit in has.budget.limits.items())


def budget_data(has: BudgetRecord | None) -> dict[str, object] | None:
    """Return limits and spending as JSON data; ``left`` is None for what has no limit, amounts of money are dollars."""
    if has is None:
        return None
    limits = has.budget.limits
    return {
        name: {
            "spent": has.amount(name),
            "limit": limits.get(name),
            "left": None if name not in limits else max(0, limits[name] - has.amount(name)),
        }
        for name in OPTIONS
    }


def _amount(name: BudgetName, amount: float) -> str:
    if name == "cost":
        return f"${amount:.4f}"
    if name == "seconds":
        return duration(amount)
    return f"{number(round(amount))} {WORDS[name]}"
