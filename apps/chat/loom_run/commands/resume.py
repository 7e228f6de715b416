"""`loom-run resume`."""

from __future__ import annotations

import click
from loom_cli.invocation import Invocation, common_options, db_option, examples, pass_invocation

from loom_run.request import budget_of
from loom_run.turns import finish_turn


@click.command(
    help="Finish a turn that was interrupted: what was answered or done is not asked or done again.",
    epilog=examples("loom-run resume --run-id q1", "loom-run resume --run-id q1 --retry-failed"),
)
@click.option("--run-id", required=True, metavar="ID", help="The conversation.")
@db_option
@click.option("--retry-failed", is_flag=True, help="Try a failed turn again.")
@click.option("--max-steps", type=click.IntRange(1), metavar="N", help="Stop after so many steps.")
@click.option("--add-tool-calls", type=click.IntRange(1), metavar="N", help="Let it make N tool calls more.")
@click.option("--add-tokens", type=click.IntRange(1), metavar="N", help="Let it spend N tokens more.")
@click.option("--add-cost", type=click.FloatRange(0, min_open=True), metavar="USD", help="Let it spend more money.")
@common_options
@pass_invocation
def resume(
    invocation: Invocation,
    run_id: str,
    retry_failed: bool,
    max_steps: int | None,
    add_tool_calls: int | None,
    add_tokens: int | None,
    add_cost: float | None,
) -> int:
    """Drive a conversation until it is the person's turn."""
    more = budget_of(add_tool_calls, add_tokens, add_cost)
    return finish_turn(invocation, run_id, retry_failed=retry_failed, max_steps=max_steps, more=more)
