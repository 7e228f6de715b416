"""What a call reserves of the run's budget before it begins, and what it turns out to have spent."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import attrs

from loom_core.contracts.budgets import BUDGET_REASON, Budget, BudgetRecord, Spending
from loom_core.contracts.models import Usage
from loom_core.contracts.stores import Store
from loom_core.errors import BudgetExhausted, ErrorCategory, PriceUnknown
from loom_core.runtime.outcomes import Parked
from loom_core.runtime.prices import Price, PriceOf

_BYTES_PER_TOKEN = 3
"""Fewer than most tokenizers have, so that a request is rather taken for too long than for too short."""
_TOKENS_PER_MESSAGE = 8


@attrs.frozen(kw_only=True)
class ModelReservation:
    """What is reserved for a model call: the amount, the most that its answer may have, and by which price."""

    amount: Spending | None = None
    max_tokens: int | None = None
    price: Price | None = None

    def spent(self, usage: Usage | None) -> Spending | None:
        """Return what an answer has spent; None if nobody knows."""
        if usage is None:
            return None
        cost = None if self.price is None else self.price.cost_nano(usage)
        if cost is None and self.price is not None:
            return None
        return Spending(tokens_in=usage.input_tokens, tokens_out=usage.output_tokens, cost_nano=cost or 0)


class Purse:
    """The budget of an active run. ``record`` is what was last read of it, None if the run has none."""

    def __init__(self, run_id: str, store: Store, record: BudgetRecord | None, price: Callable[[], PriceOf]) -> None:
        self.record = record
        self._run_id = run_id
        self._store = store
        self._price = price

    @property
    def limits(self) -> Budget | None:
        """The limits, None if there is no budget."""
        return None if self.record is None else self.record.budget

    def used_up(self) -> str | None:
        """Return which budget allows no further step, None if none forbids it."""
        record = self.record
        if record is None:
            return None
        if record.budget.steps is not None and record.steps >= record.budget.steps:
            return "steps"
        if record.budget.seconds is not None and record.seconds >= record.budget.seconds:
            return "seconds"
        return None

    def ends(self, step_index: int, now_s: float) -> tuple[int, float]:
        """Return the last step that the budget allows, and until when on the clock that says ``now_s``."""
        budget, record = self.limits, self.record
        if budget is None or record is None:
            return sys.maxsize, math.inf
        last_step = sys.maxsize if budget.steps is None else step_index + budget.steps - record.steps - 1
        return last_step, math.inf if budget.seconds is None else now_s + budget.seconds - record.seconds

    def for_tool(self) -> Spending | None:
        """Return what a tool call reserves."""
        return None if self.record is None else Spending(tool_calls=1)

    async def for_model(self, model: str, arguments: str, messages: Sequence[str]) -> ModelReservation:
        """Return what a model call reserves; raises ``PriceUnknown`` where money is limited and its price unknown."""
        await self.refresh()
        record = self.record
        if record is None:
            return ModelReservation()
        budget, spent = record.budget, record.spent
        price = self._known_price(model) if budget.cost_nano is not None else None
        tokens_in = estimated_tokens(arguments, messages)
        room = [budget.answer_tokens]
        if budget.tokens is not None:
            room.append(budget.tokens - spent.tokens_in - spent.tokens_out - tokens_in)
        if price is not None and budget.cost_nano is not None:
            asking = _cost(price, tokens_in, 0)
            affordable = price.affordable_output(budget.cost_nano - spent.cost_nano - asking)
            room += [] if affordable is None else [affordable]
        # At least one token is asked for, so that the store says which budget does not have it.
        tokens_out = max(1, min(room))
        limited = budget.tokens is not None or price is not None
        return ModelReservation(
            amount=Spending(
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                cost_nano=0 if price is None else _cost(price, tokens_in, tokens_out),
            ),
            max_tokens=tokens_out if limited else None,
            price=price,
        )

    async def refresh(self) -> None:
        """Read the budget again: others may draw from it, or have raised it."""
        if self.record is not None:
            self.record = await self._store.get_budget(self._run_id)

    def _known_price(self, model: str) -> Price:
        price = self._price()(model)
        if price is None or price.input is None or price.output is None:
            raise PriceUnknown(
                f"run `{self._run_id}` has a budget of money, and what model `{model}` costs is not known; "
                "it was not asked",
                error_category=ErrorCategory.VALIDATION,
                is_retryable=False,
                hint=f'put its price into a file, and the file into the setting `prices`: model = "{model}"',
            )
        return price


def estimated_tokens(arguments: str, messages: Sequence[str]) -> int:
    """Return about how many tokens a request has; rather more than it will be charged."""
    size = len(arguments.encode()) + sum(len(text.encode()) for text in messages)
    return size // _BYTES_PER_TOKEN + 1 + _TOKENS_PER_MESSAGE * len(messages)


def out_of(exhausted: BudgetExhausted) -> Parked:
    """Return the signal that leaves a step whose call the budget does not allow."""
    return Parked(f"{BUDGET_REASON}{exhausted.budget}", "paused")


def _cost(price: Price, tokens_in: int, tokens_out: int) -> int:
    return price.cost_nano(Usage(input_tokens=tokens_in, output_tokens=tokens_out)) or 0
