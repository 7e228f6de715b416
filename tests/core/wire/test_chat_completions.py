"""Chunks of Chat Completions become events, whatever the dialect; issue numbers name who was bitten."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom_core.contracts.models import (
    Finish,
    ModelEvent,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolCallEvent,
    Usage,
)
from loom_core.errors import ErrorCategory, ModelFailed
from loom_core.wire.chat_completions import ChunkAssembler, random_call_id


def delta(finish: str | None = None, **fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def piece(index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: object = None) -> dict:
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not None}
    found = {"index": index, "id": call_id, "function": function}
    return {key: value for key, value in found.items() if value is not None}


def calls(*pieces: dict, finish: str | None = None) -> dict[str, object]:
    return delta(finish, tool_calls=list(pieces))


def assemble(*chunks: object) -> list[ModelEvent]:
    ids = iter(f"new{number}" for number in range(100))
    assembler = ChunkAssembler(new_id=lambda: next(ids))
    return [*(event for chunk in chunks for event in assembler.feed(chunk)), *assembler.end()]


def tool_calls(events: Iterable[ModelEvent]) -> list[ToolCall]:
    return [event.call for event in events if isinstance(event, ToolCallEvent)]


def test_text_thinking_and_refusal_come_out_as_they_go_in() -> None:
    events = assemble(
        delta(role="assistant", content=None),
        delta(reasoning_content="hm"),
        delta(reasoning="so"),
        delta(content="Hel"),
        delta(content="lo"),
        delta(refusal="but no"),
        delta("stop"),
    )
    assert events[:5] == [
        ThinkingDelta("hm"),
        ThinkingDelta("so"),
        TextDelta("Hel"),
        TextDelta("lo"),
        RefusalDelta("but no"),
    ]


def test_the_finish_is_last_and_usage_comes_before_it_though_it_follows_on_the_wire() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    events = assemble(delta(content="x"), delta("stop"), {"choices": [], "usage": usage})
    assert events[1:] == [
        Usage(input_tokens=9, output_tokens=4, cached_tokens=3, reasoning_tokens=2),
        Finish("stop"),
    ]


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "many"}, {"prompt_tokens": -1}, []])
def test_usage_is_never_negative_and_never_missing(usage: object) -> None:
    events = assemble(delta(content="12345678"), delta("stop"), {"choices": [], "usage": usage})
    assert isinstance(events[-2], Usage)
    assert events[-2].input_tokens == 0


def test_usage_is_estimated_and_says_so_when_the_server_reports_none() -> None:
    assembler = ChunkAssembler(prompt_chars=9)
    assembler.feed(delta("stop", content="12345"))
    assert assembler.end()[0] == Usage(input_tokens=3, output_tokens=2, estimated=True)


def test_a_call_in_pieces_is_one_call() -> None:
    events = assemble(
        calls(piece(0, "c1", "add", "")),
        calls(piece(0, arguments='{"a"')),
        calls(piece(0, arguments=": 1}")),
        delta("tool_calls"),
    )
    assert tool_calls(events) == [ToolCall(id="c1", name="add", arguments='{"a": 1}')]
    assert events[-1] == Finish("tool_calls")


def test_interleaved_pieces_go_to_the_call_of_their_index() -> None:
    events = assemble(
        calls(piece(0, "a", "f", "{")),
        calls(piece(1, "b", "g", "[")),
        calls(piece(0, arguments="}"), piece(1, arguments="]")),
        delta("tool_calls"),
    )
    assert [(call.name, call.arguments) for call in tool_calls(events)] == [("f", "{}"), ("g", "[]")]


def test_a_new_id_at_a_used_index_is_a_new_call() -> None:
    """ollama#15457, vercel/ai#14277, litellm#37792."""
    events = assemble(calls(piece(0, "a", "f", "{}")), calls(piece(0, "b", "f", "{}")), delta("tool_calls"))
    assert [call.id for call in tool_calls(events)] == ["a", "b"]


def test_an_id_that_is_repeated_in_each_piece_goes_on_with_its_call() -> None:
    events = assemble(calls(piece(0, "a", "f", "{")), calls(piece(0, "a", "f", "}")), delta("tool_calls"))
    assert tool_calls(events) == [ToolCall(id="a", name="f", arguments="{}")]


def test_two_whole_calls_without_ids_at_one_index_are_two() -> None:
    """LangBot#2262."""
    events = assemble(calls(piece(0, None, "f", '{"x":1}')), calls(piece(0, None, "f", '{"x":2}')), delta("tool_calls"))
    assert tool_calls(events) == [
        ToolCall(id="new0", name="f", arguments='{"x":1}'),
        ToolCall(id="new1", name="f", arguments='{"x":2}'),
    ]


def test_a_name_repeated_in_each_piece_goes_on_with_its_call() -> None:
    events = assemble(
        calls(piece(0, None, "f", '{"x"')), calls(piece(0, None, "f", ":1}")), calls(piece(0, None, "f")), delta("stop")
    )
    assert tool_calls(events) == [ToolCall(id="new0", name="f", arguments='{"x":1}')]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    events = assemble(
        calls(piece(None, "a", "f", "{"), piece(None, arguments="}")),
        calls(piece(None, "b", "g", "{}")),
        delta("tool_calls"),
    )
    assert [(call.id, call.arguments) for call in tool_calls(events)] == [("a", "{}"), ("b", "{}")]


def test_two_calls_never_share_an_id() -> None:
    events = assemble(calls(piece(0, "same", "f", "{}"), piece(1, "same", "g", "{}")), delta("tool_calls"))
    assert [call.id for call in tool_calls(events)] == ["same", "new0"]


@pytest.mark.parametrize(
    ("given_arguments", "expected"),
    [("", "{}"), (None, "{}"), (" ", "{}"), ({}, "{}"), ({"é": 1}, '{"é": 1}'), ([1], "[1]"), ("nonsense", "nonsense")],
)
def test_arguments_come_as_text_whatever_they_came_as(given_arguments: object, expected: str) -> None:
    events = assemble(calls(piece(0, "a", "f", given_arguments)), delta("tool_calls"))
    assert [call.arguments for call in tool_calls(events)] == [expected]


def test_a_repeated_last_chunk_repeats_nothing() -> None:
    """hass_local_openai_llm#92."""
    last = calls(piece(0, "a", "f", "{}"), finish="tool_calls")
    events = assemble(last, last, delta("stop", content="again"))
    assert len(tool_calls(events)) == 1
    assert [type(event) for event in events].count(Finish) == 1
    assert not any(isinstance(event, TextDelta) for event in events)


@pytest.mark.parametrize("reason", ["stop", "function_call", "tool_calls", "eos_token"])
def test_a_finish_with_calls_is_for_the_calls(reason: str) -> None:
    assert assemble(calls(piece(0, "a", "f", "{}"), finish=reason))[-1] == Finish("tool_calls")


def test_a_finish_for_calls_without_any_is_a_stop() -> None:
    assert assemble(delta("tool_calls", content="done"))[-1] == Finish("stop")


@pytest.mark.parametrize(
    ("reason", "expected"), [("length", "length"), ("max_tokens", "length"), ("content_filter",) * 2]
)
def test_what_the_model_did_not_finish_is_never_called(reason: str, expected: str) -> None:
    events = assemble(calls(piece(0, "a", "f", "{}")), calls(piece(1, "b", "g", '{"x": ')), delta(reason))
    assert tool_calls(events) == []
    assert events[-1] == Finish(expected)


def test_a_refusal_that_stops_is_a_refusal() -> None:
    assert assemble(delta(refusal="no"), delta("stop"))[-1] == Finish("refusal")


def test_the_old_form_of_a_call_is_understood() -> None:
    events = assemble(
        delta(function_call={"name": "f", "arguments": "{"}),
        delta(function_call={"arguments": "}"}),
        delta("function_call"),
    )
    assert tool_calls(events) == [ToolCall(id="new0", name="f", arguments="{}")]


def test_an_answer_that_is_not_streamed_and_content_in_parts_are_understood() -> None:
    message = {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    assert assemble({"choices": [{"message": message, "finish_reason": "stop"}]})[0] == TextDelta("ab")


def test_other_choices_than_the_first_are_ignored() -> None:
    second = {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]}
    events = assemble(second, delta(content="mine"), delta("stop"))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["mine"]


def test_an_empty_piece_is_no_call() -> None:
    assert tool_calls(assemble(calls({"index": 0}), delta("stop", content="x"))) == []


def test_a_stream_without_a_finish_was_cut() -> None:
    assembler = ChunkAssembler(who="the box")
    assembler.feed(delta(content="half an ans"))
    assert not assembler.finished
    with pytest.raises(ModelFailed, match="the box ended the stream") as caught:
        assembler.end()
    assert caught.value.error_category is ErrorCategory.TRANSIENT
    assert caught.value.is_retryable


@pytest.mark.parametrize("reason", ["error", "abort", "cancelled"])
def test_a_finish_that_is_a_failure_is_raised(reason: str) -> None:
    with pytest.raises(ModelFailed) as caught:
        assemble(delta(reason))
    assert caught.value.error_category is ErrorCategory.TRANSIENT


def test_an_error_in_the_stream_is_raised_also_after_the_finish() -> None:
    with pytest.raises(ModelFailed, match="overloaded"):
        assemble(delta("stop"), {"error": {"message": "overloaded"}})


def test_a_call_with_arguments_and_no_name_is_refused() -> None:
    with pytest.raises(ModelFailed, match="without a name"):
        assemble(calls(piece(0, "a", None, "{}")), delta("tool_calls"))


@pytest.mark.parametrize(
    "chunk",
    [
        None,
        "text",
        [],
        {"choices": {"0": {}}},
        {"choices": ["x"]},
        {"choices": [{"delta": "x"}]},
        delta(tool_calls="x"),
        delta(tool_calls=["x"]),
        delta(tool_calls=[{"index": [], "function": {}}]),
        delta(tool_calls=[{"index": 0, "function": "f"}]),
    ],
)
def test_nonsense_is_a_failure_and_not_a_crash(chunk: object) -> None:
    with pytest.raises(ModelFailed, match="not a Chat Completions stream"):
        assemble(chunk)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "tool_calls",
                    "function",
                    "index",
                    "id",
                    "name",
                    "arguments",
                    "finish_reason",
                    "error",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.lists(json_values, max_size=4))
def test_any_json_at_all_gives_events_or_a_model_failure(chunks: list[object]) -> None:
    try:
        events = assemble(*chunks)
    except ModelFailed:
        return
    assert isinstance(events[-1], Finish)


@given(st.data(), st.dictionaries(st.text(max_size=4), st.text(max_size=8), max_size=3))
def test_arguments_cut_anywhere_come_together_again(data: st.DataObject, arguments: dict[str, str]) -> None:
    text = json.dumps(arguments)
    cut = data.draw(st.integers(0, len(text)))
    events = assemble(calls(piece(0, "a", "f", text[:cut])), calls(piece(0, arguments=text[cut:])), delta("tool_calls"))
    assert [call.arguments for call in tool_calls(events)] == [text]


def test_ids_of_our_own_are_unique() -> None:
    assert len({random_call_id() for _ in range(1000)}) == 1000
