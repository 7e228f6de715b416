"""What the OpenAI backend makes of a stream, well-behaved or not."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loom_llm_openai.backend import OpenAIBackend
from loom_llm_openai.settings import Settings

from loom_core.contracts.models import (
    Finish,
    Message,
    ModelAnswer,
    ModelEvent,
    ModelRequest,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from loom_core.errors import ErrorCategory, LoomError, ModelFailed, ModelNotFound
from loom_core.testing.model_contract import answer_of, collect
from tests.engines.fake_openai import openai_server
from tests.engines.fake_wires import TEXT, FakeServer

KEY = "sk-secret-0123456789"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with openai_server() as running:
        yield running


@asynccontextmanager
async def backend_at(url: str, **settings: Any):
    backend = OpenAIBackend(Settings(base_url=url, **settings))
    try:
        yield backend
    finally:
        await backend.aclose()


def request(model: str, **more: Any) -> ModelRequest:
    return ModelRequest(model=model, **{"messages": (Message(role="user", content="hello"),), **more})


def events(server: FakeServer, model: str, *, key: str | None = None, **more: Any) -> list[ModelEvent]:
    async def ask() -> list[ModelEvent]:
        async with backend_at(server.url, api_key=key) as backend:
            return await collect(backend, request(model, **more))

    return asyncio.run(ask())


def answer(server: FakeServer, model: str, **more: Any) -> ModelAnswer:
    return answer_of(events(server, model, **more))


def failure(server: FakeServer, model: str, **more: Any) -> LoomError:
    with pytest.raises(LoomError) as caught:
        events(server, model, **more)
    return caught.value


def calls(server: FakeServer, model: str) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in answer(server, model).tool_calls]


def test_text_arrives_in_pieces_usage_with_cached_and_reasoning_tokens_and_the_finish_last(server: FakeServer) -> None:
    *deltas, usage, finish = events(server, "good")
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == TEXT
    assert len(deltas) > 3
    assert usage == Usage(input_tokens=11, output_tokens=5, cached_tokens=3, reasoning_tokens=2)
    assert finish == Finish("stop")


def test_a_new_id_at_a_used_index_is_another_call_and_stop_with_calls_means_tool_calls(server: FakeServer) -> None:
    assert calls(server, "index0") == [("call_a", "add", '{"a": 1}'), ("call_b", "add", '{"a": 2}')]
    assert answer(server, "index0").finish == "tool_calls"


def test_interleaved_pieces_of_two_calls_are_put_together_by_index(server: FakeServer) -> None:
    assert calls(server, "two-calls") == [("x", "add", '{"a": 1}'), ("y", "read", '{"p": "q"}')]


def test_missing_ids_are_made_up_unique_and_the_same_every_time_and_no_arguments_are_an_empty_object(
    server: FakeServer,
) -> None:
    expected = [("call_0", "add", '{"a": 1}'), ("call_1", "add", '{"a": 1}'), ("call_2", "read", "{}")]
    assert calls(server, "no-id") == expected
    assert calls(server, "no-id") == expected


def test_a_made_up_id_is_not_one_of_the_conversations(server: FakeServer) -> None:
    before = Message(role="assistant", tool_calls=(ToolCall(id="call_0", name="add", arguments="{}"),))
    result = Message(role="tool", tool_call_id="call_0", content="3")
    made = answer(server, "no-id", messages=(Message(role="user", content="x"), before, result))
    assert [call.id for call in made.tool_calls] == ["call_1", "call_2", "call_3"]


def test_arguments_as_an_object_become_their_text(server: FakeServer) -> None:
    assert calls(server, "arguments-object") == [("x", "add", '{"a": 1}')]


def test_a_call_that_is_sent_again_with_the_finish_is_one_call(server: FakeServer) -> None:
    assert calls(server, "repeated") == [("x", "add", '{"a": 1}')]


def test_a_finish_for_length_has_no_calls_not_even_the_whole_ones_before_the_cut(server: FakeServer) -> None:
    assert events(server, "cut-arguments")[-1] == Finish("length")
    assert calls(server, "cut-arguments") == []


@pytest.mark.parametrize(
    ("model", "finish", "text"),
    [("length", "length", "so far"), ("filtered", "content_filter", "so far"), ("odd-finish", "stop", "so far")],
)
def test_reasons_to_finish(server: FakeServer, model: str, finish: str, text: str) -> None:
    made = answer(server, model)
    assert (made.finish, made.text) == (finish, text)


def test_a_refusal_is_its_own_event_and_its_own_finish(server: FakeServer) -> None:
    made = events(server, "refusal")
    assert RefusalDelta("I will not.") in made
    assert made[-1] == Finish("refusal")
    assert not any(isinstance(event, TextDelta) for event in made)


def test_reasoning_sent_under_two_names_is_passed_on_once(server: FakeServer) -> None:
    made = events(server, "thinking")
    assert [event for event in made if isinstance(event, ThinkingDelta)] == [ThinkingDelta("hm")]
    assert answer_of(made).text == "yes"


def test_usage_that_the_server_does_not_tell_is_estimated_and_says_so(server: FakeServer) -> None:
    usage = answer(server, "no-usage").usage
    assert usage is not None
    assert usage.estimated
    assert (usage.input_tokens, usage.output_tokens) == (2, 2)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("no-finish", "cut off"),
        ("hang-up", "hung up"),
        ("bad-json", "not JSON"),
        ("not-an-object", "not a chunk"),
        ("error-finish", "ended the answer with an error"),
        ("error-event", "engine died"),
        ("error-event-text", "just words"),
        ("nameless", "without naming it"),
    ],
)
def test_a_stream_that_breaks_is_a_transient_failure_after_its_text_and_never_a_finish(
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


def test_an_answer_that_finished_survives_a_connection_that_breaks_before_the_usage(server: FakeServer) -> None:
    made = answer(server, "hang-up-after-finish")
    assert (made.finish, made.text) == ("stop", "so far")
    assert made.usage is not None
    assert made.usage.estimated


def test_an_error_event_with_a_status_is_what_that_status_means(server: FakeServer) -> None:
    error = failure(server, "error-event-400")
    assert isinstance(error, ModelFailed)
    assert error.error_category is ErrorCategory.VALIDATION
    assert error.hint is not None
    assert "context" in error.hint


@pytest.mark.parametrize(
    ("model", "category", "retry_after_s"),
    [
        ("429", ErrorCategory.TRANSIENT, 7.0),
        ("503", ErrorCategory.TRANSIENT, 7.0),
        ("500", ErrorCategory.TRANSIENT, None),
        ("401", ErrorCategory.PERMISSION, None),
        ("403", ErrorCategory.PERMISSION, None),
        ("422", ErrorCategory.VALIDATION, None),
        ("overflow", ErrorCategory.VALIDATION, None),
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
    assert server.url in str(error)
    assert len(server.seen) == asked + 1, "the backend asked again by itself"


def test_an_exhausted_account_is_not_worth_a_retry(server: FakeServer) -> None:
    error = failure(server, "quota")
    assert isinstance(error, ModelFailed)
    assert error.is_retryable is False


def test_an_unknown_model_is_not_found(server: FakeServer) -> None:
    error = failure(server, "gpt-none")
    assert isinstance(error, ModelNotFound)
    assert "gpt-none" in str(error)


def test_silence_before_the_first_event_and_between_two_ends_at_different_limits(server: FakeServer) -> None:
    for model, more, said in (
        ("slow", {"first_event_timeout_s": 0.05}, "no first event within 0.05 s"),
        ("slow-body", {"first_event_timeout_s": 0.05}, "no first event within 0.05 s"),
        ("stall", {"idle_timeout_s": 0.05}, "no further event within 0.05 s"),
    ):
        error = failure(server, model, **more)
        assert isinstance(error, ModelFailed)
        assert error.error_category is ErrorCategory.TRANSIENT
        assert said in str(error)
    server.wait_until_idle()


def test_a_server_that_is_not_there_is_transient_and_the_hint_asks_whether_it_runs() -> None:
    with openai_server() as gone:
        pass
    error = failure(gone, "good")
    assert isinstance(error, ModelFailed)
    assert error.error_category is ErrorCategory.TRANSIENT
    assert error.hint == "is the server running?"


def test_the_key_is_sent_and_shown_nowhere_even_when_the_server_quotes_it(server: FakeServer) -> None:
    error = failure(server, "echo-key", key=KEY)
    assert server.seen[-1].headers["authorization"] == f"Bearer {KEY}"
    import traceback

    assert KEY not in "".join(traceback.format_exception(error))
    assert "***" in str(error)
    assert KEY not in repr(Settings(base_url=server.url, api_key=KEY))


def test_without_a_key_nothing_is_sent_whatever_the_environment_has(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    answer(server, "good")
    assert "from-the-environment" not in str(server.seen[-1].headers)
    assert "authorization" not in server.seen[-1].headers


def test_openai_itself_is_not_asked_without_a_key() -> None:
    async def ask() -> None:
        async with backend_at("https://api.openai.com/v1") as backend:
            await collect(backend, request("gpt-x"))

    with pytest.raises(ModelFailed) as caught:
        asyncio.run(ask())
    assert caught.value.error_category is ErrorCategory.PERMISSION
    assert "OPENAI_API_KEY" in (caught.value.hint or "")


def test_the_idempotency_key_is_a_header_and_hashed_where_a_header_cannot_carry_it(server: FakeServer) -> None:
    answer(server, "good", idempotency_key="run/0/0")
    assert server.seen[-1].headers["idempotency-key"] == "run/0/0"
    answer(server, "good", idempotency_key="läuft/0/0")
    hashed = server.seen[-1].headers["idempotency-key"]
    answer(server, "good", idempotency_key="läuft/0/0")
    assert hashed == server.seen[-1].headers["idempotency-key"]
    assert hashed.isascii()


def test_the_request_goes_out_as_chat_completions_wants_it(server: FakeServer) -> None:
    call = ToolCall(id="c", name="add", arguments='{"a": ')
    tool = ToolSpec(name="add", description="Add.", parameters={"type": "object", "properties": {}})
    answer(
        server,
        "good",
        messages=(
            Message(role="system", content="be brief"),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", tool_call_id="c", name="add", content="no"),
        ),
        tools=(tool,),
        max_tokens=9,
        temperature=0.0,
        schema={"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False},
    )
    body = server.seen[-1].body
    messages: Any = body.pop("messages")
    assert messages[0] == {"role": "system", "content": "be brief"}
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == '{"invalid_arguments": "{\\"a\\": "}'
    assert messages[2] == {"role": "tool", "tool_call_id": "c", "content": "no"}
    assert body == {
        "model": "good",
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "add",
                    "description": "Add.",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ],
        "max_tokens": 9,
        "temperature": 0.0,
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {"a": {}},
                    "required": ["a"],
                    "additionalProperties": False,
                },
            },
        },
    }


def test_fifty_streams_over_one_backend_do_not_wait_for_each_other(server: FakeServer) -> None:
    async def ask() -> list[str]:
        async with backend_at(server.url) as backend:
            made = await asyncio.gather(*(collect(backend, request("good")) for _ in range(50)))
            return [answer_of(one).text for one in made]

    assert asyncio.run(ask()) == [TEXT] * 50
