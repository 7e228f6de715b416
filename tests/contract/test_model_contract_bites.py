"""The contract of models catches what it promises to catch: each sabotaged backend fails the test made for it."""

from collections.abc import AsyncIterator, Callable

import attrs
import pytest
from loom_llm_mock.backend import MockBackend

from loom_core.contracts.models import (
    Finish,
    ModelBackend,
    ModelCapabilities,
    ModelEvent,
    ModelRequest,
    TextDelta,
    ToolCallEvent,
    Usage,
)
from loom_core.testing.model_contract import ModelContract

Spoil = Callable[[ModelEvent], list[ModelEvent]]


@attrs.frozen
class Spoiled:
    """A mock of which every event goes through ``spoil``."""

    spoil: Spoil
    mock: MockBackend = attrs.field(factory=MockBackend)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        async for event in self.mock.stream(attrs.evolve(request, model="default")):
            for spoiled in self.spoil(event):
                yield spoiled

    async def capabilities(self, model):
        return ModelCapabilities()

    async def models(self):
        return [*await self.mock.models()] * 2

    async def aclose(self) -> None: ...


def contract(spoil: Spoil) -> ModelContract:
    class Contract(ModelContract):
        tool_prompt = 'call add {"a": 1, "b": 2}'

        def backend(self) -> ModelBackend:
            return Spoiled(spoil)

    return Contract()


def on(kind: type, *instead: ModelEvent) -> Spoil:
    return lambda event: [*instead] if isinstance(event, kind) else [event]


def half_call(event: ModelEvent) -> list[ModelEvent]:
    if isinstance(event, ToolCallEvent):
        return [ToolCallEvent(attrs.evolve(event.call, arguments=event.call.arguments[:3]))]
    return [event]


def twice(event: ModelEvent) -> list[ModelEvent]:
    return [event, event] if isinstance(event, ToolCallEvent) else [event]


ONE_FINISH = "test_a_stream_ends_in_exactly_one_finish_and_nothing_follows_it"
DELTAS = "test_deltas_are_never_empty_and_join_to_the_text"
USAGE = "test_usage_comes_at_most_once_and_is_not_negative"
CALLS = "test_tool_calls_come_whole_named_and_with_ids_of_their_own"


@pytest.mark.parametrize(
    ("spoil", "law"),
    [
        (on(Finish), ONE_FINISH),
        (on(Finish, Finish("stop"), Finish("stop")), ONE_FINISH),
        (on(Finish, Finish("stop"), TextDelta("more")), ONE_FINISH),
        (on(TextDelta, TextDelta("")), DELTAS),
        (on(Usage, Usage(input_tokens=-1, output_tokens=0)), USAGE),
        (on(Usage, Usage(input_tokens=1, output_tokens=0), Usage(input_tokens=1, output_tokens=0)), USAGE),
        (half_call, CALLS),
        (twice, CALLS),
        (on(Finish, Finish("stop")), "test_a_stream_with_tool_calls_finishes_for_them"),
        (on(Finish, Finish("tool_calls")), "test_a_finish_for_tool_calls_has_some"),
        (lambda event: [event], "test_an_unknown_model_is_not_found_and_the_hint_says_how_to_get_one"),
        (lambda event: [event], "test_models_lists_names_once_each"),
    ],
)
def test_a_backend_that_breaks_a_law_fails_its_test(spoil: Spoil, law: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        getattr(contract(spoil), law)()


def test_the_sabotage_without_a_spoiler_passes_the_other_laws() -> None:
    honest = contract(lambda event: [event])
    for law in (ONE_FINISH, DELTAS, USAGE, CALLS):
        getattr(honest, law)()
