"""The contract of a model backend as a test class that a plugin's author subclasses.

Imports no test framework; skips with ``unittest.SkipTest``, which pytest honours.
"""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

import asyncio
import copy
import gc
import json
import unittest
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TypeVar, cast

import attrs

from loom_core.contracts.models import (
    Finish,
    Message,
    ModelAnswer,
    ModelBackend,
    ModelEvent,
    ModelRequest,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallEvent,
    ToolSpec,
    Usage,
)
from loom_core.errors import ModelNotFound

Got = TypeVar("Got")

DEADLINE_S = 60.0

ADD = ToolSpec(
    name="add",
    description="Add two numbers.",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
)


class ModelContract:
    """What every model backend promises.

    Override ``backend`` and the attributes that do not fit. Every test opens a backend of its own in an event loop of
    its own and closes it. ``model`` must answer ``prompt`` with text, and ``tool_prompt`` with a call of ``tool`` when
    that is offered; None where the model cannot be made to. ``unknown_model`` is None for servers that serve any name.
    ``long_model`` is asked where a stream is closed early, and should have more to say than one piece.
    """

    model: str = "default"
    prompt: str = "hello"
    other_prompt: str = "goodbye"
    expected_text: str | None = None
    tool: ToolSpec = ADD
    tool_prompt: str | None = "call add"
    unknown_model: str | None = "no-such-model"
    long_model: str | None = None

    def backend(self) -> AbstractAsyncContextManager[ModelBackend] | ModelBackend:
        """Return a new backend, or a context manager around one. Must be overridden."""
        raise NotImplementedError

    async def wait_until_idle(self) -> None:
        """Return when the server generates nothing any more; by default there is nothing to ask."""

    # --- the shape of a stream ------------------------------------------------------------------------------------

    def test_a_stream_ends_in_exactly_one_finish_and_nothing_follows_it(self) -> None:
        events = self._run(lambda backend: collect(backend, self._text_request()))
        assert [type(event) for event in events].count(Finish) == 1
        assert isinstance(events[-1], Finish)

    def test_deltas_are_never_empty_and_join_to_the_text(self) -> None:
        events = self._run(lambda backend: collect(backend, self._text_request()))
        assert all(e.text for e in events if isinstance(e, (TextDelta, ThinkingDelta, RefusalDelta)))
        text = answer_of(events).text
        assert text.strip()
        assert self.expected_text in (None, text)

    def test_usage_comes_at_most_once_and_is_not_negative(self) -> None:
        events = self._run(lambda backend: collect(backend, self._text_request()))
        usages = [event for event in events if isinstance(event, Usage)]
        assert len(usages) <= 1
        for usage in usages:
            assert min(usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens) >= 0
            assert usage.cached_tokens <= usage.input_tokens

    def test_a_request_is_not_changed(self) -> None:
        request = self._tool_request() if self.tool_prompt else self._text_request()
        before = copy.deepcopy(request)
        self._run(lambda backend: collect(backend, request))
        assert request == before

    # --- tools ----------------------------------------------------------------------------------------------------

    def test_tool_calls_come_whole_named_and_with_ids_of_their_own(self) -> None:
        events = self._run(lambda backend: collect(backend, self._tool_request()))
        calls = [event.call for event in events if isinstance(event, ToolCallEvent)]
        assert calls, f"no tool call: {events}"
        assert {call.name for call in calls} == {self.tool.name}
        assert all(isinstance(json.loads(call.arguments), dict) for call in calls)
        assert all(call.id for call in calls)
        assert len({call.id for call in calls}) == len(calls)

    def test_a_stream_with_tool_calls_finishes_for_them(self) -> None:
        events = self._run(lambda backend: collect(backend, self._tool_request()))
        assert events[-1] == Finish("tool_calls")

    def test_a_finish_for_tool_calls_has_some(self) -> None:
        events = self._run(lambda backend: collect(backend, self._text_request()))
        assert isinstance(events[-1], Finish)
        assert (events[-1].reason == "tool_calls") == any(isinstance(event, ToolCallEvent) for event in events)

    def test_results_of_tools_are_answered_and_get_no_old_ids(self) -> None:
        async def converse(backend: ModelBackend) -> tuple[ModelAnswer, ModelAnswer]:
            asked = self._tool_request()
            first = answer_of(await collect(backend, asked))
            results = tuple(
                Message(role="tool", tool_call_id=call.id, name=call.name, content="3") for call in first.tool_calls
            )
            history = (*asked.messages, first.message(), *results)
            return first, answer_of(await collect(backend, attrs.evolve(asked, messages=history)))

        first, second = self._run(converse)
        assert second.text or second.tool_calls
        assert not {call.id for call in first.tool_calls} & {call.id for call in second.tool_calls}

    # --- closing --------------------------------------------------------------------------------------------------

    def test_closing_a_stream_early_ends_the_generation_and_leaves_the_backend_usable(self) -> None:
        async def close_early(backend: ModelBackend) -> list[ModelEvent]:
            stream = _generator(backend, self._long_request())
            await anext(stream)
            await stream.aclose()
            await self.wait_until_idle()
            return await collect(backend, self._text_request())

        assert isinstance(self._run(close_early)[-1], Finish)

    def test_cancelling_a_stream_ends_the_generation_and_leaves_the_backend_usable(self) -> None:
        async def cancel(backend: ModelBackend) -> list[ModelEvent]:
            begun = asyncio.Event()

            async def consume() -> None:
                async with aclosing(_generator(backend, self._long_request())) as stream:
                    async for _ in stream:
                        begun.set()
                        await asyncio.sleep(0)
                await asyncio.Event().wait()  # a short answer may have ended before it could be cancelled

            task = asyncio.create_task(consume())
            await begun.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await self.wait_until_idle()
            return await collect(backend, self._text_request())

        assert isinstance(self._run(cancel)[-1], Finish)

    def test_a_stream_that_is_never_iterated_asks_nothing(self) -> None:
        async def abandon(backend: ModelBackend) -> None:
            await _generator(backend, self._long_request()).aclose()
            await self.wait_until_idle()

        self._run(abandon)

    def test_a_backend_can_be_closed_twice_and_without_use(self) -> None:
        async def close(backend: ModelBackend) -> None:
            await backend.aclose()
            await backend.aclose()

        self._run(close)

        async def use_and_close(backend: ModelBackend) -> None:
            await collect(backend, self._text_request())
            await close(backend)

        self._run(use_and_close)

    # --- more than one --------------------------------------------------------------------------------------------

    def test_two_streams_at_once_do_not_mix(self) -> None:
        other = attrs.evolve(self._text_request(), messages=(Message(role="user", content=self.other_prompt),))
        requests = [self._text_request(), self._tool_request() if self.tool_prompt else other]

        async def alone_and_together(backend: ModelBackend) -> tuple[list[ModelAnswer], list[ModelAnswer]]:
            alone = [answer_of(await collect(backend, request)) for request in requests]
            together = await asyncio.gather(*(collect(backend, request) for request in requests))
            return alone, [answer_of(events) for events in together]

        alone, together = self._run(alone_and_together)
        assert [_content(answer) for answer in alone] == [_content(answer) for answer in together]

    # --- models ---------------------------------------------------------------------------------------------------

    def test_models_lists_names_once_each(self) -> None:
        async def listed(backend: ModelBackend) -> Sequence[str]:
            return [info.name for info in await backend.models()]

        names = self._run(listed)
        assert names
        assert all(names)
        assert len(set(names)) == len(names)

    def test_an_unknown_model_is_not_found_and_the_hint_says_how_to_get_one(self) -> None:
        if self.unknown_model is None:
            raise unittest.SkipTest("this server answers under any name")
        request = attrs.evolve(self._text_request(), model=self.unknown_model)

        async def ask(backend: ModelBackend) -> ModelNotFound | None:
            try:
                await collect(backend, request)
            except ModelNotFound as error:
                return error
            return None

        error = self._run(ask)
        assert error is not None, "an unknown model was answered"
        assert self.unknown_model in error.message
        assert error.hint

    def test_capabilities_know_the_model_and_refuse_an_unknown_one_without_generating(self) -> None:
        async def known(backend: ModelBackend) -> int | None:
            return (await backend.capabilities(self.model)).context_tokens

        context_tokens = self._run(known)
        assert context_tokens is None or context_tokens > 0

        async def refused(backend: ModelBackend) -> ModelNotFound | None:
            try:
                await backend.capabilities(self.unknown_model or "")
            except ModelNotFound as error:
                return error
            return None

        error = self._run(refused)
        assert error is None or error.hint

    # --- machinery ------------------------------------------------------------------------------------------------

    def _text_request(self) -> ModelRequest:
        message = Message(role="user", content=self.prompt)
        return ModelRequest(model=self.model, messages=(message,), temperature=0.0, max_tokens=64)

    def _tool_request(self) -> ModelRequest:
        if self.tool_prompt is None:
            raise unittest.SkipTest("this backend's model calls no tools")
        message = Message(role="user", content=self.tool_prompt)
        tools = (self.tool,)
        return ModelRequest(model=self.model, messages=(message,), tools=tools, temperature=0.0, max_tokens=256)

    def _long_request(self) -> ModelRequest:
        return attrs.evolve(self._text_request(), model=self.long_model or self.model, max_tokens=None)

    def _run(self, scenario: Callable[[ModelBackend], Awaitable[Got]]) -> Got:
        async def run() -> Got:
            made = self.backend()
            opened = made if isinstance(made, AbstractAsyncContextManager) else _closing(made)
            async with asyncio.timeout(DEADLINE_S), opened as backend:
                return await scenario(backend)

        try:
            return asyncio.run(run())
        finally:
            gc.collect()  # what was left open is reported in the test that left it


async def collect(backend: ModelBackend, request: ModelRequest) -> list[ModelEvent]:
    """Return every event of one stream."""
    async with aclosing(_generator(backend, request)) as stream:
        return [event async for event in stream]


def answer_of(events: Sequence[ModelEvent]) -> ModelAnswer:
    """Return the events put together; they must end in a ``Finish``."""
    last = events[-1]
    assert isinstance(last, Finish), f"the stream ended with {last}"
    return ModelAnswer(
        model="",
        finish=last.reason,
        text="".join(event.text for event in events if isinstance(event, TextDelta)),
        thinking="".join(event.text for event in events if isinstance(event, ThinkingDelta)),
        refusal="".join(event.text for event in events if isinstance(event, RefusalDelta)),
        tool_calls=tuple(event.call for event in events if isinstance(event, ToolCallEvent)),
        usage=next((event for event in events if isinstance(event, Usage)), None),
    )


class _Stream(AsyncIterator[ModelEvent]):
    """What ``ModelBackend.stream`` promises to return: an async generator."""

    async def aclose(self) -> None: ...


def _generator(backend: ModelBackend, request: ModelRequest) -> _Stream:
    stream = backend.stream(request)
    assert hasattr(stream, "aclose"), "stream() must return an async generator, which can be closed early"
    return cast(_Stream, stream)


def _content(answer: ModelAnswer) -> tuple[str, list[tuple[str, str]]]:
    return answer.text, [(call.name, call.arguments) for call in answer.tool_calls]


@asynccontextmanager
async def _closing(backend: ModelBackend) -> AsyncIterator[ModelBackend]:
    try:
        yield backend
    finally:
        await backend.aclose()
