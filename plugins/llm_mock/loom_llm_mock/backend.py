"""The mock backend: streams an answer in small pieces, honouring limits and timeouts like a server would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import attrs

from loom_core.contracts.models import (
    Finish,
    ModelCapabilities,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallEvent,
    estimated_usage,
    unused_call_id,
)
from loom_core.errors import ErrorCategory, ModelFailed, ModelNotFound
from loom_llm_mock import builtin
from loom_llm_mock.answer import Answer
from loom_llm_mock.script import Script

MODEL = "default"
DELTA_CHARACTERS = 8


@attrs.frozen
class MockBackend:
    """Answers from a script, or by built-in rules without one.

    Stateless: the same request gets the same events in any process, so a resumed run sees what it would have seen.
    """

    script: Script | None = None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Stream the answer; yields to the event loop after every piece."""
        await self.capabilities(request.model)
        answer = _limited(self.script.answer(request) if self.script else builtin.answer(request), request)
        await _wait(answer.delay_s, request.first_event_timeout_s)
        for delta in _deltas(answer):
            yield delta
            await asyncio.sleep(0)
        if answer.error is not None:
            category, message = answer.error
            raise ModelFailed(message, error_category=category)
        if answer.cut:
            return
        for event in _ending(answer, request):
            yield event

    async def capabilities(self, model: str) -> ModelCapabilities:
        """Return nothing in particular of ``default``; raises ``ModelNotFound`` for any other name."""
        if model != MODEL:
            raise ModelNotFound(f"the mock has no model `{model}`", hint=f"use mock:{MODEL}")
        return ModelCapabilities()

    async def models(self) -> Sequence[ModelInfo]:
        """Return the one model there is."""
        how = f"answers by the rules of {self.script.path}" if self.script else "echoes, and calls tools when told to"
        return (ModelInfo(name=MODEL, summary=how),)

    async def aclose(self) -> None:
        """Do nothing: the mock holds nothing open."""


async def _wait(delay_s: float, timeout_s: float) -> None:
    if delay_s > timeout_s:
        await asyncio.sleep(timeout_s)
        raise ModelFailed(f"the mock did not answer within {timeout_s:g} s", error_category=ErrorCategory.TRANSIENT)
    await asyncio.sleep(delay_s)


def _limited(answer: Answer, request: ModelRequest) -> Answer:
    if request.max_tokens is None or len(answer.text) <= request.max_tokens * 4:
        return answer
    return attrs.evolve(answer, text=answer.text[: request.max_tokens * 4], tool_calls=(), finish="length")


def _deltas(answer: Answer) -> Iterator[ModelEvent]:
    yield from map(ThinkingDelta, _pieces(answer.thinking))
    yield from map(TextDelta, _pieces(answer.text))
    yield from map(RefusalDelta, _pieces(answer.refusal))


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + DELTA_CHARACTERS] for start in range(0, len(text), DELTA_CHARACTERS))


def _ending(answer: Answer, request: ModelRequest) -> Iterator[ModelEvent]:
    ids: list[str] = []
    for name, arguments in answer.tool_calls:
        ids.append(unused_call_id(request, ids))
        yield ToolCallEvent(ToolCall(id=ids[-1], name=name, arguments=arguments))
    yield answer.usage or estimated_usage(request, output_characters=answer.characters())
    yield Finish(answer.finish_reason())
