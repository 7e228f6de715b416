"""`loom tools call NAME --args JSON`."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import sys
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path

import click
from loom_cli import ExitStatus, Invocation, common_options, examples, pass_invocation

from loom_core.contracts.tools import Tool, ToolContext
from loom_core.errors import BadInput, LoomError, ToolFailed
from loom_core.tools import arguments_from_json

_BY_HAND = "by-hand"


@click.command(
    "call",
    epilog=examples(
        """loom tools call read_file --args '{"path": "README.md"}'""",
        "loom tools call list_files --workspace ~/src/project --json",
    ),
)
@click.argument("name")
@click.option(
    "--args", "arguments", metavar="JSON", default="{}", show_default=True, help="The arguments, a JSON object."
)
@click.option(
    "--workspace",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default=True,
    metavar="DIR",
    help="The folder that the tool may look at.",
)
@click.option("--allow-effects", is_flag=True, help="Call a tool that changes something.")
@common_options
@pass_invocation
def call_command(invocation: Invocation, name: str, arguments: str, workspace: Path, allow_effects: bool) -> int:
    """Call a tool outside any run: nothing is journaled, so nothing protects it from happening twice."""
    out, tool = invocation.output, invocation.runtime(workspace).tool(name)
    bound = tool.bind((), arguments_from_json(tool, arguments))
    if tool.effect != "read" and not allow_effects:
        raise BadInput(
            f"tool `{name}` was not called: its effect is `{tool.effect}`, it changes something",
            hint="add --allow-effects to call it",
        )
    # What the tool prints is not this command's result.
    with contextlib.redirect_stdout(sys.stderr):
        result = tool.encode_result(_called(tool, bound))
    if out.as_json:
        out.document("loom.tools.call/1", {"tool": name, "result": result})
    else:
        out.block(result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False))
    return ExitStatus.DONE


def _called(tool: Tool, bound: dict[str, object]) -> object:
    deadline = None if tool.timeout_s is None else time.time() + tool.timeout_s
    context = ToolContext(run_id=_BY_HAND, call_id="0/0", key=f"{_BY_HAND}:{uuid.uuid4()}", epoch=0, deadline=deadline)
    try:
        if tool.blocking:
            return tool.call(bound, context)
        return asyncio.run(_awaited(tool, bound, context))
    except LoomError:
        raise
    except Exception as error:
        raise ToolFailed(tool.name, type(error).__name__, str(error)) from error


async def _awaited(tool: Tool, bound: dict[str, object], context: ToolContext) -> object:
    async with asyncio.timeout(tool.timeout_s):
        result = tool.call(bound, context)
        if inspect.isawaitable(result):
            waited: Awaitable[object] = result
            return await waited
        return result
