"""What a command line asks of a conversation, and whether a conversation that exists can be had like that."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import attrs

from loom_core.contracts.budgets import Budget
from loom_core.errors import BadInput
from loom_run.choosing import MOCK
from loom_run.conversation import Conversation


@attrs.frozen(kw_only=True)
class Request:
    """What the command line asked for. ``in_dialogue`` if the person is asked for the next message at once."""

    run_id: str | None = None
    newest: bool = False
    mock: bool = False
    workspace: Path | None = None
    allow: tuple[str, ...] = ()
    max_steps: int | None = None
    budget: Budget | None = None
    in_dialogue: bool = False


def budget_of(tool_calls: int | None, tokens: int | None, cost_usd: float | None) -> Budget | None:
    """Return the budget that options ask for, None if none was given."""
    if tool_calls is None and tokens is None and cost_usd is None:
        return None
    return Budget(tool_calls=tool_calls, tokens=tokens, cost_usd=cost_usd)


def check_same(request: Request, model: object, run_id: str, conversation: Conversation) -> None:
    """Raise ``BadInput`` if a flag asks for what was decided otherwise when the conversation began.

    Only flags count: a default of the configuration is for conversations that are begun.
    """
    asked = MOCK if request.mock else model
    if asked and asked != conversation.model:
        raise _differs(run_id, f"is with model `{conversation.model}`, not `{asked}`")
    if request.workspace is not None and str(request.workspace.expanduser().resolve()) != conversation.workspace:
        raise _differs(run_id, f"is about the workspace {conversation.workspace}, not {request.workspace}")
    if request.budget is not None:
        raise BadInput(
            f"conversation `{run_id}` has been begun; its budget is not set any more",
            hint=f"raise what it has: loom-run resume --run-id {quote(run_id)} --add-tokens N",
        )
    for tool in request.allow:
        if tool not in conversation.tools:
            raise _differs(run_id, f"was begun without the tool `{tool}`")


def _differs(run_id: str, how: str) -> BadInput:
    return BadInput(f"conversation `{run_id}` {how}", hint="leave the option out, or begin another one: --run-id NEW")
