"""Budgets of a run: what it may spend, what it has spent, and what a call reserves before it begins.

A budget belongs to a root run; its row is changed in the transaction of the intent that spends, so that a reservation
without an end, whoever died, counts as spent. Money is whole nano-dollars, so that sums are exact. See docs/budgets.md.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from loom_core.errors import BadInput

NANO = 1_000_000_000
BUDGET_REASON = "budget:"
"""``RunRecord.reason`` of a run that is paused because this budget of it is used up."""
RAISED = "budget raised"
"""``RunRecord.reason`` of a run whose budget was raised and which nobody has resumed since."""

BudgetName = Literal["tool_calls", "tokens", "cost", "steps", "seconds"]


def _positive(_budget: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    wanted = (int, float) if attribute.name in ("cost_usd", "seconds") else (int,)
    if isinstance(value, bool) or not isinstance(value, wanted) or not 0 < value < 1e15:
        raise BadInput(f"a budget's {attribute.name} is {value!r:.40}; it has to be a number above 0")


@attrs.frozen(kw_only=True)
class Budget:
    """What a run and its children may spend; None is no limit.

    ``tokens`` are those in and out together, ``cost_usd`` is US dollars, ``steps`` are committed steps, ``seconds`` the
    time during which a process works on the run. ``answer_tokens`` is how many tokens are reserved for one answer of a
    model, and the most that it may have, where tokens or money are limited.
    """

    tool_calls: int | None = attrs.field(default=None, validator=_positive)
    tokens: int | None = attrs.field(default=None, validator=_positive)
    cost_usd: float | None = attrs.field(default=None, validator=_positive)
    steps: int | None = attrs.field(default=None, validator=_positive)
    seconds: float | None = attrs.field(default=None, validator=_positive)
    answer_tokens: int = attrs.field(default=4096, validator=_positive)

    @property
    def cost_nano(self) -> int | None:
        """The limit of money in nano-dollars."""
        return None if self.cost_usd is None else round(self.cost_usd * NANO)

    @property
    def limits(self) -> dict[BudgetName, float]:
        """The limits that there are, by name; money in US dollars."""
        found: dict[BudgetName, float | None] = {
            "tool_calls": self.tool_calls,
            "tokens": self.tokens,
            "cost": self.cost_usd,
            "steps": self.steps,
            "seconds": self.seconds,
        }
        return {name: limit for name, limit in found.items() if limit is not None}


@attrs.frozen(kw_only=True)
class Spending:
    """An amount of what budgets limit, but for steps and seconds, which are counted by the store itself."""

    tool_calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_nano: int = 0


@attrs.frozen(kw_only=True)
class BudgetRecord:
    """A run's budget as stored: the limits, and what is spent and reserved of them.

    ``steps`` and ``seconds`` are those of the run and its children.
    """

    budget: Budget
    spent: Spending
    steps: int
    seconds: float

    def amount(self, name: BudgetName) -> float:
        """Return what is spent of one of them; money in US dollars."""
        spent = self.spent
        amounts: dict[BudgetName, float] = {
            "tool_calls": spent.tool_calls,
            "tokens": spent.tokens_in + spent.tokens_out,
            "cost": spent.cost_nano / NANO,
            "steps": self.steps,
            "seconds": self.seconds,
        }
        return amounts[name]

    def lacking(self, more: Spending) -> BudgetName | None:
        """Return which budget does not have that much left, None if all have; one rule for every store."""
        budget, spent = self.budget, self.spent
        tokens = spent.tokens_in + spent.tokens_out + more.tokens_in + more.tokens_out
        if budget.tool_calls is not None and more.tool_calls and spent.tool_calls + more.tool_calls > budget.tool_calls:
            return "tool_calls"
        if budget.tokens is not None and more.tokens_in + more.tokens_out and tokens > budget.tokens:
            return "tokens"
        if budget.cost_nano is not None and more.cost_nano and spent.cost_nano + more.cost_nano > budget.cost_nano:
            return "cost"
        return None


def raised(record: BudgetRecord, more: Budget, run_id: str) -> Budget:
    """Return the budget with more of what it limits; raises ``BadInput`` for what it does not limit."""
    for name in more.limits:
        if name not in record.budget.limits:
            raise BadInput(
                f"run `{run_id}` has no budget of {WORDS[name]} that could be raised",
                hint=f"its budgets: {', '.join(WORDS[n] for n in record.budget.limits) or 'none'}",
            )

    has = record.budget
    fields = ("tool_calls", "tokens", "cost_usd", "steps", "seconds")
    changed: dict[str, Any] = {f: getattr(has, f) + getattr(more, f) for f in fields if getattr(more, f) is not None}
    return attrs.evolve(has, **changed)


WORDS: dict[BudgetName, str] = {
    "tool_calls": "tool calls",
    "tokens": "tokens",
    "cost": "money",
    "steps": "steps",
    "seconds": "seconds",
}
"""How a budget is spoken of."""


def merged(base: Budget | None, over: Budget | None) -> Budget | None:
    """Return a budget with the limits of ``over`` in the place of those of ``base``."""
    if base is None or over is None:
        return over if base is None else base
    given = {name: value for name, value in attrs.asdict(over).items() if value is not None and name != "answer_tokens"}
    return attrs.evolve(base, **given)


def is_raised(reason: str | None, more: Budget) -> bool:
    """Return True if a run with this reason is paused for want of what it got more of."""
    return (reason or "").startswith(BUDGET_REASON) and (reason or "").removeprefix(BUDGET_REASON) in more.limits


def charge_of(reserved: Spending, spent: Spending | None, *, not_started: bool) -> Spending:
    """Return what a call is charged when it ends: what it is known to have spent, else what was reserved for it."""
    if not_started:
        return Spending()
    return reserved if spent is None else spent


def root_of(run_id: str) -> str:
    """Return the run whose budget a run draws from: its own, or that of the run it is a child of."""
    return run_id.partition(":sub:")[0]
