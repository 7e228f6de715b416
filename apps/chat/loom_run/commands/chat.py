"""`loom-run chat`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from loom_cli.invocation import (
    Invocation,
    common_options,
    db_option,
    examples,
    model_option,
    pass_invocation,
)

from loom_core.errors import BadInput
from loom_run.choosing import choose_model
from loom_run.request import Request, budget_of
from loom_run.turns import hold_conversation, take_turn


@click.command(
    help="Talk about the repository. No MESSAGE: a dialogue; `-`: standard input.",
    epilog=examples(
        'loom-run chat "where is the retry policy?" --model local:smollm2 --run-id q1',
        'loom-run chat "and its tests?" --run-id q1',
    ),
)
@click.argument("message", required=False)
@click.option("--run-id", metavar="ID", help="The conversation, new or not.  [default: a new one]")
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on with the newest conversation.")
@db_option
@model_option
@click.option("--mock-llm", is_flag=True, help="Use the scripted model `mock:default`.")
@click.option(
    "--workspace",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The repository.  [default: the current folder]",
)
@click.option("--allow", multiple=True, metavar="TOOL", help="Offer a tool that does more than read. Repeatable.")
@click.option("--max-steps", type=click.IntRange(1), metavar="N", help="Stop after so many steps.")
@click.option("--max-tool-calls", type=click.IntRange(1), metavar="N", help="Tool calls of a new conversation.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="Its tokens, in and out.")
@click.option("--max-cost", type=click.FloatRange(0, min_open=True), metavar="USD", help="Its money.")
@common_options
@pass_invocation
def chat(
    invocation: Invocation,
    message: str | None,
    run_id: str | None,
    go_on: bool,
    mock_llm: bool,
    workspace: Path | None,
    allow: tuple[str, ...],
    max_steps: int | None,
    max_tool_calls: int | None,
    max_tokens: int | None,
    max_cost: float | None,
) -> int:
    """Take one turn, or hold a dialogue."""
    if go_on and run_id is not None:
        raise BadInput("--continue and --run-id cannot be given together", hint="--run-id names it already")
    if mock_llm and invocation.flags.get("model") is not None:
        raise BadInput("--mock-llm and --model cannot be given together", hint="--mock-llm is --model mock:default")
    request = Request(
        run_id=run_id,
        newest=go_on,
        mock=mock_llm,
        workspace=workspace,
        allow=allow,
        max_steps=max_steps,
        budget=budget_of(max_tool_calls, max_tokens, max_cost),
    )
    if message is not None:
        return take_turn(invocation, request, _text_of(message))
    if run_id is None and not go_on:
        # Before anything is typed: whoever has no model yet learns here how to get one.
        choose_model(asked=invocation.config.model, mock=mock_llm)
    if not sys.stdin.isatty() or invocation.output.as_json:
        raise BadInput("there is no message", hint='say something: loom-run chat "TEXT", or - to read standard input')
    return hold_conversation(invocation, request)


def _text_of(message: str) -> str:
    try:
        text = sys.stdin.read() if message == "-" else message
        text.encode()
    except UnicodeError as error:
        raise BadInput("the message is not valid UTF-8 text") from error
    if not text.strip():
        raise BadInput("the message is empty", hint='say something: loom-run chat "TEXT"')
    return text
