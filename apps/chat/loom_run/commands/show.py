"""`loom-run show`."""

from __future__ import annotations

import asyncio

import click
from loom_cli.invocation import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.output import Colour

from loom_core.contracts.models import Message
from loom_core.contracts.stores import RunRecord
from loom_core.runtime.model_calls import message_data
from loom_run.commands.list import standing
from loom_run.conversation import Conversation
from loom_run.sessions import read_conversation

_COLOURS: dict[str, Colour] = {"user": "cyan", "assistant": "green", "tool": "yellow"}


@click.command(
    help="Print a conversation as it was said; tool results in their first lines.",
    epilog=examples("loom-run show --run-id hello", "loom-run show --run-id hello --all --json"),
)
@click.option("--run-id", required=True, metavar="ID", help="The conversation.")
@db_option
@click.option("--all", "whole", is_flag=True, help="Tool results whole.")
@common_options
@pass_invocation
def show(invocation: Invocation, run_id: str, whole: bool) -> None:
    """Print a conversation's messages."""
    record, conversation = asyncio.run(_read(invocation, run_id))
    output = invocation.output
    if output.as_json:
        messages = [message_data(m) for m in conversation.messages]
        data = {"run_id": run_id, "status": record.status, "reason": record.reason, "model": conversation.model}
        output.document("loom.run.show/1", {**data, "workspace": conversation.workspace, "messages": messages})
        return
    output.note(f"{run_id} · {conversation.model} · {conversation.workspace} · {standing(record)}")
    for message in conversation.messages[1:]:
        output.line(_title(message), _COLOURS.get(message.role))
        output.block(_body(message, whole=whole), indent="  ")


async def _read(invocation: Invocation, run_id: str) -> tuple[RunRecord, Conversation]:
    runtime = invocation.runtime()
    store = runtime.open_store(None, "read")
    try:
        return await read_conversation(store, run_id)
    finally:
        await runtime.aclose()


def _title(message: Message) -> str:
    return f"{message.role} {message.name}" if message.name else message.role


def _body(message: Message, *, whole: bool, lines: int = 6) -> str:
    calls = "\n".join(f"→ {call.name} {call.arguments}" for call in message.tool_calls)
    text = "\n".join(part for part in (message.content, calls) if part)
    found = text.splitlines()
    if whole or message.role != "tool" or len(found) <= lines:
        return text
    return "\n".join([*found[:lines], f"… {len(found) - lines} more lines (--all)"])
