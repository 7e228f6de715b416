"""The step of a conversation: one turn of the model, and the tools it asks for.

Everything a model writes is hostile: the name of a tool, its arguments, their JSON. What cannot be called is answered
to the model in a sentence, and the conversation goes on; only a doubt about a ``once`` tool stops it, for a person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from loom_core.contracts.models import Message, ModelAnswer, ToolCall, ToolSpec
from loom_core.contracts.tools import Tool
from loom_core.errors import ToolArgumentsInvalid, ToolFailed, ToolNotFound
from loom_core.runtime.context import RunContext
from loom_core.runtime.outcomes import Continue, Wait
from loom_core.tools import arguments_from_json
from loom_run.conversation import SIGNAL, Conversation, user_message
from loom_run.window import advance, request_messages

# After so many answers to one message the model is offered no tools, so that it has to answer.
MAX_TURNS = 12
# More calls than this in one answer are a model that has lost its way; they are neither made nor kept.
MAX_CALLS = 16
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")

Outcome = Continue[Conversation] | Wait[Conversation]


@attrs.frozen
class Coordinator:
    """The step function; ``tool`` finds the tools that were offered when the conversation began."""

    tool: Callable[[str], Tool]

    async def __call__(self, state: Conversation, ctx: RunContext) -> Outcome:
        """Ask the model once and execute what it asks for; wait for the person when it answered."""
        if ctx.signal is not None:
            state = attrs.evolve(state.said(user_message(ctx.signal.payload)), turns=0)
        state = advance(state)
        tools = self._specs(state.tools) if state.turns < MAX_TURNS else ()
        answer = await ctx.call_model(state.model, request_messages(state), tools=tools)
        message = _kept(answer)
        state = attrs.evolve(state.said(message), turns=state.turns + 1)
        if not message.tool_calls:
            return Wait(state, signal=SIGNAL)
        for number, call in enumerate(message.tool_calls, start=1):
            content = await self._execute(call, state.tools, ctx)
            if number == MAX_CALLS and len(answer.tool_calls) > MAX_CALLS:
                content += f"\n[{len(answer.tool_calls) - MAX_CALLS} more calls were left out: at most {MAX_CALLS}]"
            state = state.said(Message(role="tool", tool_call_id=call.id, name=call.name, content=content))
        return Continue(state)

    def _specs(self, names: tuple[str, ...]) -> tuple[ToolSpec, ...]:
        found = (self.tool(name) for name in names)
        return tuple(ToolSpec(name=t.name, description=t.description, parameters=t.parameters) for t in found)

    async def _execute(self, call: ToolCall, offered: tuple[str, ...], ctx: RunContext) -> str:
        """Return a tool's result as the model reads it, or why there is none."""
        try:
            if call.name not in offered:
                raise ToolNotFound(call.name, offered)
            arguments = self._arguments(call)
            return _shown(await ctx.call_tool(call.name, **arguments))
        except (ToolNotFound, ToolArgumentsInvalid) as error:
            return f"error: {error}" + (f" ({error.hint})" if error.hint else "")
        except ToolFailed as error:
            return f"error: {error.detail}"

    def _arguments(self, call: ToolCall) -> Mapping[str, Any]:
        arguments = arguments_from_json(self.tool(call.name), call.arguments)
        if "idempotency_key" in arguments:
            # A parameter of call_tool itself, and not the model's to choose.
            raise ToolArgumentsInvalid(call.name, ("idempotency_key: there is no such argument",))
        return arguments


def _kept(answer: ModelAnswer) -> Message:
    """Return the message that is kept of an answer; an empty one says why it is empty.

    Servers refuse a conversation with a tool call in it whose name could not be a tool's, for ever after.
    """
    calls = tuple(attrs.evolve(c, name=_callable_name(c.name)) for c in answer.tool_calls[:MAX_CALLS])
    message = attrs.evolve(answer.message(), tool_calls=calls)
    if message.content or message.tool_calls:
        return message
    reasons = {"length": "the answer was cut off at the length limit", "content_filter": "the answer was filtered"}
    return attrs.evolve(message, content=f"[no answer: {reasons.get(answer.finish, answer.finish)}]")


def _callable_name(name: str) -> str:
    return _NOT_IN_A_NAME.sub("_", name[:64]) or "unnamed"


def _shown(result: object) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
