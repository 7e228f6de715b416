"""What the Ollama backend makes of a stream, well-behaved or not."""

import asyncio
import traceback
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loom_llm_ollama.backend import OllamaBackend
from loom_llm_ollama.plugin import OllamaConfig
from loom_llm_ollama.settings import settings_from
from loom_llm_ollama.wire import LineSplitter

from loom_core.contracts.models import (
    Finish,
    Message,
    ModelAnswer,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from loom_core.errors import ErrorCategory, LoomError, ModelFailed, ModelNotFound
from loom_core.testing.model_contract import answer_of, collect
from tests.engines.fake_ollama import ollama_server
from tests.engines.fake_wires import TEXT, FakeServer

KEY = "ollama-secret-0123456789"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with ollama_server() as running:
        yield running


@asynccontextmanager
async def backend_at(url: str, **config: Any):
    backend = OllamaBackend(settings_from(OllamaConfig(base_url=url, **config), {}))
    try:
        yield backend
    finally:
        await backend.aclose()


def request(model: str, **more: Any) -> ModelRequest:
    return ModelRequest(model=model, **{"messages": (Message(role="user", content="hello"),), **more})


def events(server: FakeServer, model: str, *, config: dict[str, Any] | None = None, **more: Any) -> list[ModelEvent]:
    async def ask() -> list[ModelEvent]:
        async with backend_at(server.url, **(config or {})) as backend:
            return await collect(backend, request(model, **more))

    return asyncio.run(ask())


def answer(server: FakeServer, model: str, **more: Any) -> ModelAnswer:
    return answer_of(events(server, model, **more))


def failure(server: FakeServer, model: str, **more: Any) -> LoomError:
    with pytest.raises(LoomError) as caught:
        events(server, model, **more)
    return caught.value


def calls(server: FakeServer, model: str, **more: Any) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in answer(server, model, **more).tool_calls]


def test_text_arrives_in_pieces_with_line_separators_inside_it_then_usage_and_the_finish(server: FakeServer) -> None:
    *deltas, usage, finish = events(server, "good")
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == TEXT
    assert len(deltas) > 3
    assert usage == Usage(input_tokens=11, output_tokens=5)
    assert finish == Finish("stop")


def test_a_line_may_come_in_pieces_and_two_in_one(server: FakeServer) -> None:
    assert answer(server, "pieces").text == "in pieces" * 2


def test_equal_calls_are_two_calls_and_the_finish_is_for_them(server: FakeServer) -> None:
    assert calls(server, "two-calls") == [("x", "add", '{"a": 1}'), ("y", "add", '{"a": 1}')]
    assert answer(server, "two-calls").finish == "tool_calls"


def test_missing_ids_and_ids_used_twice_are_made_up_unique(server: FakeServer) -> None:
    assert [call_id for call_id, _, _ in calls(server, "no-id")] == ["call_0", "call_1"]
    assert [call_id for call_id, _, _ in calls(server, "same-id")] == ["x", "call_0"]
    before = Message(role="assistant", tool_calls=(ToolCall(id="call_0", name="add", arguments="{}"),))
    messages = (Message(role="user", content="x"), before, Message(role="tool", tool_call_id="call_0", name="add"))
    assert [call_id for call_id, _, _ in calls(server, "no-id", messages=messages)] == ["call_1", "call_2"]


def test_arguments_are_json_text_whatever_form_they_came_in(server: FakeServer) -> None:
    assert calls(server, "arguments-text") == [("x", "add", '{"a": 1}')]
    assert calls(server, "no-arguments") == [("x", "add", "{}")]


def test_a_finish_for_length_has_no_calls(server: FakeServer) -> None:
    assert events(server, "cut-arguments")[-1] == Finish("length")
    assert calls(server, "cut-arguments") == []
    assert answer(server, "length").text == "so far"


def test_thinking_is_not_part_of_the_answer(server: FakeServer) -> None:
    made = events(server, "thinking")
    assert [event for event in made if isinstance(event, ThinkingDelta)] == [ThinkingDelta("hm")]
    assert answer_of(made).text == "yes"


def test_usage_that_the_server_does_not_tell_is_estimated_and_says_so(server: FakeServer) -> None:
    usage = answer(server, "no-usage").usage
    assert usage is not None
    assert usage.estimated


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("no-finish", "cut off"),
        ("hang-up", "hung up"),
        ("bad-json", "not a JSON object"),
        ("not-an-object", "not a JSON object"),
        ("error-line", "engine died"),
        ("nameless", "without naming it"),
    ],
)
def test_a_stream_that_breaks_is_a_transient_failure_and_never_a_finish(
    server: FakeServer, model: str, said: str
) -> None:
    async def ask() -> tuple[list[ModelEvent], ModelFailed]:
        got: list[ModelEvent] = []
        async with backend_at(server.url) as backend:
            with pytest.raises(ModelFailed) as caught:
                async for event in backend.stream(request(model)):
                    got.append(event)
        return got, caught.value

    got, error = asyncio.run(ask())
    assert error.error_category is ErrorCategory.TRANSIENT
    assert said in str(error)
    assert not any(isinstance(event, Finish) for event in got)


@pytest.mark.parametrize(
    ("model", "category", "retry_after_s"),
    [
        ("429", ErrorCategory.TRANSIENT, 7.0),
        ("503", ErrorCategory.TRANSIENT, 7.0),
        ("500", ErrorCategory.TRANSIENT, None),
        ("401", ErrorCategory.PERMISSION, None),
        ("403", ErrorCategory.PERMISSION, None),
        ("422", ErrorCategory.VALIDATION, None),
        ("html", ErrorCategory.VALIDATION, None),
    ],
)
def test_statuses_become_categories(
    server: FakeServer, model: str, category: ErrorCategory, retry_after_s: float | None
) -> None:
    asked = len(server.seen)
    error = failure(server, model)
    assert isinstance(error, ModelFailed)
    assert (error.error_category, error.retry_after_s) == (category, retry_after_s)
    assert len(server.seen) == asked + 1, "the backend asked again by itself"


@pytest.mark.parametrize(("model", "hint"), [("overflow", "num_ctx"), ("memory", "smaller model")])
def test_what_a_retry_cannot_help_says_what_can(server: FakeServer, model: str, hint: str) -> None:
    error = failure(server, model)
    assert isinstance(error, ModelFailed)
    assert error.error_category is ErrorCategory.VALIDATION
    assert hint in (error.hint or "")


def test_an_unknown_model_is_not_found_and_the_hint_pulls_it(server: FakeServer) -> None:
    error = failure(server, "qwen9:3b")
    assert isinstance(error, ModelNotFound)
    assert error.hint == "ollama pull qwen9:3b"


def test_a_server_that_is_not_there_is_transient_and_the_hint_starts_it() -> None:
    with ollama_server() as gone:
        pass
    error = failure(gone, "good")
    assert isinstance(error, ModelFailed)
    assert error.error_category is ErrorCategory.TRANSIENT
    assert "ollama serve" in (error.hint or "")

    async def listed() -> None:
        async with backend_at(gone.url) as backend:
            await backend.models()

    with pytest.raises(ModelFailed, match="could not be reached"):
        asyncio.run(listed())


def test_silence_before_the_first_line_and_between_two_ends_at_different_limits(server: FakeServer) -> None:
    for model, more, said in (
        ("slow", {"first_event_timeout_s": 0.05}, "no answer within 0.05 s"),
        ("slow-body", {"first_event_timeout_s": 0.05}, "no first line within 0.05 s"),
        ("stall", {"idle_timeout_s": 0.05}, "no further line within 0.05 s"),
    ):
        error = failure(server, model, **more)
        assert isinstance(error, ModelFailed)
        assert error.error_category is ErrorCategory.TRANSIENT
        assert said in str(error)
    server.wait_until_idle()


def test_the_key_is_sent_and_shown_nowhere_even_when_the_server_quotes_it(server: FakeServer) -> None:
    error = failure(server, "echo-key", config={"api_key": KEY})
    assert server.seen[-1].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in "".join(traceback.format_exception(error))


def test_a_local_server_is_asked_directly_whatever_proxy_is_set(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert answer(server, "good").text == TEXT


def test_the_request_goes_out_as_ollama_wants_it(server: FakeServer) -> None:
    good, bad = ToolCall(id="c", name="add", arguments='{"a": 1}'), ToolCall(id="d", name="add", arguments="[")
    schema = {"type": "object"}
    answer(
        server,
        "good",
        config={"num_ctx": 4096, "thinking": "off", "keep_alive": "-1"},
        messages=(
            Message(role="system", content="be brief"),
            Message(role="assistant", tool_calls=(good, bad)),
            Message(role="tool", tool_call_id="c", name="add", content="3"),
        ),
        tools=(ToolSpec(name="add", description="Add.", parameters=schema),),
        schema=schema,
        max_tokens=9,
        temperature=0.5,
    )
    assert server.seen[-1].path == "/api/chat"
    assert server.seen[-1].body == {
        "model": "good",
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": {"num_ctx": 4096, "num_predict": 9, "temperature": 0.5},
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "c", "function": {"index": 0, "name": "add", "arguments": {"a": 1}}},
                    {"id": "d", "function": {"index": 1, "name": "add", "arguments": {"invalid_arguments": "["}}},
                ],
            },
            {"role": "tool", "content": "3", "tool_name": "add", "tool_call_id": "c"},
        ],
        "tools": [{"type": "function", "function": {"name": "add", "description": "Add.", "parameters": schema}}],
        "format": schema,
        "think": False,
        "keep_alive": -1,
    }


def test_thinking_is_left_to_the_model_by_default(server: FakeServer) -> None:
    answer(server, "good")
    assert not {"think", "keep_alive", "tools", "format"} & server.seen[-1].body.keys()


def test_models_are_listed_with_size_and_kind(server: FakeServer) -> None:
    async def listed() -> Any:
        async with backend_at(server.url) as backend:
            return await backend.models()

    assert asyncio.run(listed()) == (ModelInfo(name="good:latest", summary="1B Q4", size_bytes=5),)


@given(lines=st.lists(st.binary().map(lambda raw: b"x" + raw.replace(b"\n", b"") + b"x")), data=st.data())
def test_lines_come_back_whole_however_the_bytes_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    raw = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    splitter = LineSplitter()
    got: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        got += splitter.feed(raw[start:end])
    assert [*got, *splitter.feed(None)] == lines
