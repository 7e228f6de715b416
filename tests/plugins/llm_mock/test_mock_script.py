"""Scripts of the mock: which rule answers, what it can say, and that a wrong script is refused whole."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from loom_llm_mock.plugin import MockConfig, open_backend

from loom_core.contracts.models import (
    Finish,
    Message,
    ModelBackend,
    ModelEvent,
    ModelRequest,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    Usage,
)
from loom_core.errors import ConfigError, ErrorCategory, ModelFailed
from loom_core.hookspecs import PluginContext
from loom_core.testing.model_contract import answer_of, collect


def scripted(tmp_path: Path, script: object) -> ModelBackend:
    path = tmp_path / "script.json"
    path.write_text(script if isinstance(script, str) else json.dumps(script), encoding="utf-8")
    return open_backend(PluginContext(config=MockConfig(script=str(path)), cache_dir=tmp_path, environ={}))


def ask(backend: ModelBackend, *messages: Message, **more: Any) -> list[ModelEvent]:
    return asyncio.run(collect(backend, ModelRequest(model="default", messages=messages, **more)))


def user(text: str) -> Message:
    return Message(role="user", content=text)


def faults(tmp_path: Path, script: object) -> str:
    with pytest.raises(ConfigError) as caught:
        scripted(tmp_path, script)
    assert all(fault.startswith("plugins.llm_mock.script: ") for fault in caught.value.faults)
    assert caught.value.hint
    return "\n".join(caught.value.faults)


def test_the_first_rule_that_fits_answers(tmp_path: Path) -> None:
    backend = scripted(
        tmp_path,
        [
            {"when": {"last_role": "tool"}, "text": "after a tool"},
            {"when": {"contains": "STOP", "turn": 1}, "text": "second stop"},
            {"when": {"contains": "stop"}, "text": "stop"},
            {"text": "anything else"},
        ],
    )
    said = Message(role="assistant", content="x")
    assert answer_of(ask(backend, user("please Stop"))).text == "stop"
    assert answer_of(ask(backend, user("stop"), said, user("stop"))).text == "second stop"
    assert answer_of(ask(backend, user("stop"), said, Message(role="tool", content="stop"))).text == "after a tool"
    assert answer_of(ask(backend, user("go"))).text == "anything else"


def test_a_rule_says_all_that_a_model_can_say_in_its_order(tmp_path: Path) -> None:
    rule = {
        "thinking": "hm",
        "text": "so",
        "tool_calls": [{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": "{broken"}],
        "usage": {"input_tokens": 7, "output_tokens": 8, "cached_tokens": 1},
    }
    events = ask(scripted(tmp_path, [rule]), user("x"))
    assert events[:2] == [ThinkingDelta("hm"), TextDelta("so")]
    assert [(c.name, c.arguments) for c in answer_of(events).tool_calls] == [("add", '{"a": 1}'), ("add", "{broken")]
    assert events[-2:] == [Usage(input_tokens=7, output_tokens=8, cached_tokens=1), Finish("tool_calls")]


def test_a_refusal_finishes_as_one_and_a_finish_can_be_chosen(tmp_path: Path) -> None:
    events = ask(scripted(tmp_path, [{"refusal": "no"}]), user("x"))
    assert events[0] == RefusalDelta("no")
    assert events[-1] == Finish("refusal")
    assert ask(scripted(tmp_path, [{"text": "half", "finish": "length"}]), user("x"))[-1] == Finish("length")


def test_an_error_is_raised_after_the_text_with_its_category(tmp_path: Path) -> None:
    backend = scripted(tmp_path, [{"text": "so far", "error": {"category": "transient", "message": "gone"}}])
    got: list[ModelEvent] = []

    async def listen() -> None:
        async for event in backend.stream(ModelRequest(model="default", messages=(user("x"),))):
            got.append(event)

    with pytest.raises(ModelFailed, match="gone") as caught:
        asyncio.run(listen())
    assert caught.value.error_category is ErrorCategory.TRANSIENT
    assert got == [TextDelta("so far")]


def test_a_cut_stream_ends_without_a_finish(tmp_path: Path) -> None:
    assert ask(scripted(tmp_path, [{"text": "so far", "cut": True}]), user("x")) == [TextDelta("so far")]


def test_a_delay_longer_than_the_first_event_may_take_is_a_transient_failure(tmp_path: Path) -> None:
    backend = scripted(tmp_path, [{"text": "late", "delay_s": 60}])
    with pytest.raises(ModelFailed, match=r"within 0\.01 s") as caught:
        ask(backend, user("x"), first_event_timeout_s=0.01)
    assert caught.value.error_category is ErrorCategory.TRANSIENT


def test_a_request_that_no_rule_fits_is_an_error_and_never_a_made_up_answer(tmp_path: Path) -> None:
    with pytest.raises(ModelFailed, match="no rule of") as caught:
        ask(scripted(tmp_path, [{"when": {"turn": 5}, "text": "x"}]), user("hello"))
    assert caught.value.error_category is ErrorCategory.VALIDATION
    assert "'hello'" in str(caught.value)


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ({"text": "x"}, "must be a JSON list"),
        (["x"], "[0]: must be an object"),
        ([{"txt": "x"}], "[0].txt: unknown; there are when, delay_s"),
        ([{"text": 1}], "[0].text: must be a string, not 1"),
        ([{"when": {"role": "user"}, "text": "x"}], "[0].when.role: unknown"),
        ([{"when": {"last_role": "robot"}, "text": "x"}], "[0].when.last_role: must be one of system, user"),
        ([{"when": {"turn": -1}, "text": "x"}], "[0].when.turn: must be a whole number"),
        ([{"when": {"turn": True}, "text": "x"}], "[0].when.turn: must be a whole number"),
        ([{"when": [], "text": "x"}], "[0].when: must be an object"),
        ([{"text": "x", "delay_s": "1"}], "[0].delay_s: must be a number of seconds"),
        ('[{"text": "x", "delay_s": NaN}]', "[0].delay_s: must be a number of seconds"),
        ([{"tool_calls": {}}], "[0].tool_calls: must be a list"),
        ([{"tool_calls": [{"arguments": {}}]}], "[0].tool_calls[0].name: missing"),
        ([{"tool_calls": [{"name": "a", "arguments": []}]}], "[0].tool_calls[0].arguments: must be an object"),
        ([{"text": "x", "usage": {"input_tokens": 1}}], "[0].usage: output_tokens missing"),
        ([{"error": {"category": "odd", "message": "x"}}], "[0].error.category: must be one of transient"),
        ([{"error": {}}], "[0].error.message: missing"),
        ([{"text": "x", "cut": 1}], "[0].cut: must be true or false"),
        ([{"cut": True, "finish": "stop"}], "[0]: cut and finish exclude each other"),
        ([{"finish": "tool_calls"}], "[0]: finish 'tool_calls' needs tool_calls"),
        ([{"finish": "stop", "tool_calls": [{"name": "a"}]}], "[0]: an answer with tool_calls cannot finish"),
        ([{"when": {}}], "[0]: says nothing"),
    ],
)
def test_a_wrong_script_is_refused_with_the_place_of_the_fault(tmp_path: Path, script: object, fault: str) -> None:
    assert fault in faults(tmp_path, script)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    said = faults(tmp_path, [{"text": 1, "cut": 2}, {"txt": ""}])
    assert said.count("script.json") == 4  # two values, one unknown key, one rule that says nothing


def test_a_script_that_is_not_there_or_no_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ConfigError, match=path.name):
            open_backend(PluginContext(config=MockConfig(script=str(path)), cache_dir=tmp_path, environ={}))


def test_the_script_in_the_documentation_loads_and_answers(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    backend = scripted(tmp_path, text.partition("```json\n")[2].partition("```")[0])
    assert answer_of(ask(backend, user("deploy it"))).tool_calls[0].name == "read_file"
    with pytest.raises(ModelFailed, match="the model is down"):
        ask(backend, user("an outage"))
