"""What a command line asks of a conversation, and whether a conversation that exists can be had like that."""

from __future__ import annotations

from pathlib import Path

import attrs

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
    in_dialogue: bool = False


def check_same(request: Request, model: object, run_id: str, conversation: Conversation) -> None:
    """Raise ``BadInput`` if a flag asks for what was decided otherwise when the conversation began.

    Only flags count: a default of the configuration is for conversations that are begun.
    """
    asked = MOCK if request.mock else model
    if asked and asked != conversation.model:
        raise _differs(run_id, f"is with model `{conversation.model}`, not `{asked}`")
    if request.workspace is not None and str(request.workspace.expanduser().resolve()) != conversation.workspace:
        raise _differs(run_id, f"is about the workspace {conversation.workspace}, not {request.workspace}")
    for tool in request.allow:
        if tool not in conversation.tools:
            raise _differs(run_id, f"was begun without the tool `{tool}`")


def _differs(run_id: str, how: str) -> BadInput:
    return BadInput(f"conversation `{run_id}` {how}", hint="leave the option out, or begin another one: --run-id NEW")
