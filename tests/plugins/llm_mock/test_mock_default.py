"""What ``mock:default`` answers by its built-in rules."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loom_llm_mock.backend import MockBackend
from loom_llm_mock.plugin import loom_models
from loom_llm_mock.sample import sample

from loom_core.contracts.models import Finish, Message, ModelAnswer, ModelRequest, TextDelta, ToolSpec
from loom_core.hookspecs import PluginContext
from loom_core.testing.model_contract import answer_of, collect


def tool(name: str, *parameters: str) -> ToolSpec:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    return ToolSpec(name=name, description="", parameters={"type": "object", "properties": properties})


TOOLS = (
    tool("read_file", "max_lines", "path"),
    tool("list_files", "pattern"),
    tool("search_docs", "query"),
    tool("run_tests", "arguments"),
    tool("shout", "text"),
)


def answer(*messages: Message, tools: tuple[ToolSpec, ...] = TOOLS, **more: Any) -> ModelAnswer:
    request = ModelRequest(model="default", messages=messages, tools=tools, **more)
    return answer_of(asyncio.run(collect(MockBackend(), request)))


def user(text: str) -> Message:
    return Message(role="user", content=text)


def result(content: str, name: str = "read_file") -> Message:
    return Message(role="tool", tool_call_id="call_0", name=name, content=content)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("read README.md", [("read_file", {"path": "README.md"})]),
        ("Please read the file `src/a.py`.", [("read_file", {"path": "src/a.py"})]),
        ("Read /etc/passwd!", [("read_file", {"path": "/etc/passwd"})]),
        ("read ../secret", [("read_file", {"path": "../secret"})]),
        ("list the files", [("list_files", {})]),
        ("search the docs for how leases work?", [("search_docs", {"query": "how leases work"})]),
        ('search "lease fence"', [("search_docs", {"query": "lease fence"})]),
        ("run the tests", [("run_tests", {})]),
        ('call shout {"text": "hi"}', [("shout", {"text": "hi"})]),
        ("call shout", [("shout", {})]),
        ("call shout {broken", [("shout", {})]),
        ("run tests, then list files", [("run_tests", {}), ("list_files", {})]),
        ("read a.py and read b.py", [("read_file", {"path": "a.py"}), ("read_file", {"path": "b.py"})]),
    ],
)
def test_an_order_of_the_users_calls_the_tool_it_names(said: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    made = answer(user(said))
    assert [(call.name, json.loads(call.arguments)) for call in made.tool_calls] == expected
    assert made.finish == "tool_calls"


@pytest.mark.parametrize("said", ["read README.md", "call shout {}", "run the tests"])
def test_a_tool_that_is_not_offered_is_not_called(said: str) -> None:
    assert answer(user(said), tools=()).text == f"You said: {said}"


@pytest.mark.parametrize("said", ["hello", "I have read it", "already spread", "call me", "callshout {}"])
def test_plain_talk_is_echoed(said: str) -> None:
    assert answer(user(said), tools=(tool("shout", "text"),)).text == f"You said: {said}"


def test_an_echo_is_one_line_and_cut() -> None:
    text = answer(user("word \n" * 500)).text
    assert len(text) <= len("You said: ") + 200
    assert "\n" not in text
    assert text.endswith("…")


def test_results_are_summed_up_by_their_first_lines_and_not_acted_upon() -> None:
    history = (user("read a"), Message(role="assistant"), result("\n# Title\nread b"), result("run the tests", "shout"))
    made = answer(*history)
    assert made.text == "read_file returned: # Title\nshout returned: run the tests"
    assert made.tool_calls == ()


def test_no_message_and_an_empty_one_are_answered() -> None:
    assert answer().text == "You said nothing."
    assert answer(user(" ")).text == "You said nothing."
    assert answer(user("x"), Message(role="assistant"), result("")).text == "read_file returned: (empty)"


def test_the_answer_is_the_same_in_every_backend_and_ids_do_not_repeat_in_a_conversation() -> None:
    first = answer(user("read a.py"))
    assert first == answer(user("read a.py"))
    again = answer(user("read a.py"), first.message(), result("text"), user("read a.py"))
    assert again.tool_calls[0].id != first.tool_calls[0].id


def test_an_answer_longer_than_asked_for_is_cut_and_says_so() -> None:
    made = answer(user("a long story of many words"), max_tokens=3)
    assert (made.text, made.finish) == ("You said: a ", "length")


def test_usage_is_estimated_from_the_request_and_the_answer() -> None:
    usage = answer(user("12345678"), tools=()).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (2, 5, True)


def test_the_answer_comes_in_small_pieces_and_gives_way_to_others_between_them() -> None:
    async def two() -> list[int]:
        order: list[int] = []

        async def one(number: int) -> None:
            request = ModelRequest(model="default", messages=(user("some words to say"),))
            async for event in MockBackend().stream(request):
                if isinstance(event, TextDelta):
                    assert len(event.text) <= 8
                    order.append(number)

        await asyncio.gather(one(0), one(1))
        return order

    order = asyncio.run(two())
    assert order != sorted(order)


SCHEMAS: list[tuple[dict[str, Any], object]] = [
    ({"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}, {"a": "a"}),
    ({"enum": ["x", "y"]}, "x"),
    ({"const": 3}, 3),
    ({"type": "integer", "minimum": 2}, 2),
    ({"type": "number", "minimum": 0.5}, 1),
    ({"type": ["null", "string"]}, None),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [False, False]),
    ({"anyOf": [{"type": "string", "minLength": 2}]}, "aa"),
    ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, 0),
    ({"$ref": "#/nowhere"}, None),
]


@pytest.mark.parametrize(("schema", "value"), SCHEMAS)
def test_an_answer_under_a_schema_is_the_smallest_value_that_fits_it(schema: dict[str, Any], value: object) -> None:
    assert json.loads(answer(user("x"), schema=schema).text) == value


def test_a_schema_that_refers_to_itself_ends() -> None:
    node: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert isinstance(sample(node), dict)


@given(text=st.text(max_size=80))
def test_whatever_is_said_there_is_exactly_one_finish_and_arguments_are_json(text: str) -> None:
    request = ModelRequest(model="default", messages=(user(text),), tools=TOOLS)
    events = asyncio.run(collect(MockBackend(), request))
    assert sum(isinstance(event, Finish) for event in events) == 1
    assert all(isinstance(json.loads(call.arguments), dict) for call in answer_of(events).tool_calls)


def test_the_entry_needs_nothing_installed(tmp_path: Any) -> None:
    (entry,) = loom_models()
    assert (entry.prefix, entry.requires, entry.extra) == ("mock", (), None)
    backend = entry.factory(PluginContext(cache_dir=tmp_path, environ={}))
    assert [info.name for info in asyncio.run(backend.models())] == ["default"]
