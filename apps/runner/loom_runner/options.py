"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from loom_core.contracts.budgets import Budget
from loom_core.runtime.waking import WAIT_S

F = TypeVar("F", bound=Callable[..., Any])


def run_id_option(function: F) -> F:
    """Add ``--run-id``, which has to be given."""
    return click.option("--run-id", required=True, metavar="ID", help="The run.")(function)


def reading_agent(function: F) -> F:
    """Add the AGENT that reading commands accept and never load."""
    return click.argument("agent", required=False, metavar="[AGENT]")(function)


def page_options(limit: int) -> Callable[[F], F]:
    """Add ``--limit`` and ``--offset``."""

    def add(function: F) -> F:
        offset = click.option(
            "--offset", type=click.IntRange(0), default=0, show_default=True, help="How many to leave out first."
        )
        count = click.option(
            "--limit", type=click.IntRange(1), default=limit, show_default=True, help="How many at most."
        )
        return count(offset(function))

    return add


def budget_options(function: F) -> F:
    """Add the limits of the run that a command line can set."""
    tokens = click.option(
        "--max-tokens", type=click.IntRange(1), metavar="N", help="Tokens that the run may spend, in and out."
    )
    cost = click.option(
        "--max-cost", type=click.FloatRange(0, min_open=True), metavar="USD", help="Money that the run may spend."
    )
    return tokens(cost(function))


def more_options(function: F) -> F:
    """Add what raises the budget of a run; ``more_of`` reads it."""
    whole, part = click.IntRange(1), click.FloatRange(0, min_open=True)
    options: list[tuple[str, click.IntRange | click.FloatRange, str, str]] = [
        ("--add-tokens", whole, "N", "Let the run spend N tokens more."),
        ("--add-cost", part, "USD", "Let it spend so much money more."),
        ("--add-tool-calls", whole, "N", "Let it make N tool calls more."),
        ("--add-steps", whole, "N", "Let it take N steps more."),
        ("--add-seconds", part, "S", "Let it be worked on for S seconds more."),
    ]
    for name, kind, metavar, text in reversed(options):
        function = click.option(name, type=kind, metavar=metavar, help=text)(function)
    return function


def more_of(given: Mapping[str, Any]) -> Budget | None:
    """Return what the options of ``more_options`` add, None if none was given."""
    if all(value is None for value in given.values()):
        return None
    return Budget(
        tokens=given["add_tokens"],
        cost_usd=given["add_cost"],
        tool_calls=given["add_tool_calls"],
        steps=given["add_steps"],
        seconds=given["add_seconds"],
    )


def slice_options(function: F) -> F:
    """Add the limits of this invocation and the durability."""
    steps = click.option("--max-steps", type=click.IntRange(1), metavar="N", help="Pause after N steps.")
    seconds = click.option(
        "--max-seconds",
        type=click.FloatRange(0, min_open=True),
        metavar="S",
        help="Pause after the step at S seconds.",
    )
    durability = click.option(
        "--durability",
        type=click.Choice(["standard", "strict", "pipelined"]),
        metavar="MODE",
        help="standard (the default), strict: sync each step, or pipelined: write pure steps 5 ms later.",
    )
    wait = click.option(
        "--wait",
        "wait_s",
        type=click.FloatRange(0, 3600),
        metavar="S",
        default=WAIT_S,
        show_default=True,
        help="Wait for a timer that is due within S seconds.",
    )
    return steps(seconds(wait(durability(function))))
