"""Bad input is one sentence and status 2, and what was stored stays as it was."""

from __future__ import annotations

import pytest

from tests.apps.run.support import Chat

AGENT = """
from loom_core import Agent, Wait

async def step(state, ctx):
    return Wait(state, signal="go")

agent = Agent(name="other", step=step, initial_state={})
"""


@pytest.mark.parametrize("model", ["mock:nope", "local:none", "foo", "nobody:x", ":", "mock:"])
def test_an_unknown_model_creates_no_database(chat: Chat, model: str) -> None:
    done = chat.say("hello", "--model", model)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert chat.snapshot().keys() == {"notes.md"}


@pytest.mark.parametrize("model", ["mock:nope", "local:none", "foo"])
def test_an_unknown_model_changes_no_database(chat: Chat, model: str) -> None:
    chat.say("hello")
    before = chat.snapshot()
    assert chat.say("hello", "--model", model, run_id="new").status == 2
    assert chat.say("hello", "--model", model).status == 2
    assert chat.snapshot() == before


def test_without_a_model_the_ways_to_get_one_are_told(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOM_MODEL")
    done = chat.say("hello")
    assert done.status == 2
    assert all(way in done.err for way in ("loom models pull smollm2", "ollama:", "openai:", "--mock-llm"))
    assert chat("chat").status == 2


@pytest.mark.parametrize(
    "argv",
    [
        ["chat", "hi", "-c", "--run-id", "q"],
        ["chat", "hi", "--mock-llm", "--model", "mock:default"],
        ["chat", ""],
        ["chat", " \n"],
        ["chat"],
        ["chat", "hi", "--json", "--run-id", "a\x1bb"],
        ["chat", "hi", "--run-id", ""],
        ["chat", "hi", "--run-id", "x" * 201],
        ["chat", "hi", "--run-id", "a:sub:b"],
        ["chat", "hi", "--workspace", "nowhere"],
        ["chat", "hi", "--workspace", "notes.md"],
        ["chat", "hi", "--allow", "no_such_tool"],
        ["chat", "hi", "--max-steps", "0"],
        ["chat", "hi", "-c"],
        ["chat", "\ud800"],
        ["chat", "hi", "--db", "nowhere/runs.sqlite"],
        ["chat", "hi", "--db", "notes.md"],
        ["chat", "hi", "--db", "mysql://h/x"],
        ["chat", "hi", "--disable-plugin", "llm_mock"],
        ["chat", "hi", "--disable-plugin", "store_sqlite"],
        ["resume", "--run-id", "q"],
        ["show", "--run-id", "q"],
        ["explain", "--run-id", "q"],
        ["list"],
        ["list", "--limit", "0"],
        ["tell"],
    ],
)
def test_bad_input_is_one_sentence_and_creates_nothing(chat: Chat, argv: list[str]) -> None:
    before = chat.snapshot()
    done = chat(*argv)
    assert (done.status, chat.snapshot()) == (2, before)
    if "--json" in argv:
        assert done.data["schema"] == "loom.error/1"
    else:
        assert done.out == ""
        assert done.err.count("error: ") == 1
        assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["show", "explain", "resume"])
def test_an_unknown_conversation_is_named(chat: Chat, command: str) -> None:
    chat.say("hello")
    before = chat.snapshot()
    done = chat(command, "--run-id", "nope")
    assert (done.status, chat.snapshot()) == (2, before)
    assert "`nope`" in done.err


@pytest.mark.parametrize("argv", [["chat", "hi"], ["resume"], ["show"], ["explain"]])
def test_a_run_of_another_agent_is_no_conversation(chat: Chat, argv: list[str]) -> None:
    from loom_runner.main import main

    (chat.place / "agent.py").write_text(AGENT)
    assert main(["run", "agent.py", "--run-id", "q"]) == 4
    before = chat.snapshot()
    done = chat(*argv, "--run-id", "q")
    assert (done.status, chat.snapshot()) == (2, before)
    assert "`other`, not a conversation" in done.err
    assert chat("list").out.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--model", "openai:x"), "is with model `mock:default`, not `openai:x`"),
        (("--workspace", ".."), "is about the workspace"),
        (("--allow", "run_tests"), "was begun without the tool `run_tests`"),
        (("--disable-plugin", "tools_workspace"), "there is no tool"),
    ],
)
def test_what_a_conversation_was_begun_with_stays(chat: Chat, options: tuple[str, ...], told: str) -> None:
    chat.say("hello")
    before = chat.snapshot()
    done = chat.say("again", *options)
    assert (done.status, chat.snapshot()) == (2, before)
    assert told in done.err


def test_a_default_model_of_the_configuration_does_not_concern_an_existing_conversation(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.say("hello")
    monkeypatch.setenv("LOOM_MODEL", "openai:another")
    assert chat.say("again").status == 0
    assert chat.say("again", "--mock-llm", "--workspace", ".").status == 0
