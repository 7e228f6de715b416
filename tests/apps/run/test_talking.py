"""Conversations: begun, gone on with, one run each; and the tools in them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.apps.run.support import Chat, calls


def test_a_message_is_answered_on_stdout_and_the_next_command_is_on_stderr(chat: Chat) -> None:
    done = chat.say("hello")
    assert (done.status, done.out) == (0, "You said: hello\n")
    assert done.err == "run `q` · your turn: loom-run chat 'YOUR MESSAGE' --run-id q --db runs.sqlite\n"


def test_the_next_command_names_the_database_that_was_given(chat: Chat) -> None:
    assert "--db sqlite:///other.sqlite" in chat.say("hello", "--db", "sqlite:///other.sqlite").err
    assert (chat.place / "other.sqlite").is_file()


def test_a_named_conversation_goes_on(chat: Chat) -> None:
    chat.say("one")
    assert chat.say("two").out == "You said: two\n"
    assert [m["content"] for m in chat.messages()] == ["one", "You said: one", "two", "You said: two"]
    assert len(calls(chat.place / "runs.sqlite")) == 2


def test_continue_takes_the_newest_conversation(chat: Chat) -> None:
    chat.say("old", run_id="a")
    chat.say("new", run_id="b")
    assert chat("chat", "more", "-c").status == 0
    assert (len(chat.messages("a")), len(chat.messages("b"))) == (2, 4)


def test_a_new_conversation_has_an_id_of_its_own(chat: Chat) -> None:
    ids = {chat("chat", "hi", "--json").data["run_id"] for _ in range(3)}
    assert len(ids) == 3


def test_json_is_one_document_and_nothing_else(chat: Chat) -> None:
    data = chat.say("hello", "--json").data
    assert data == {
        "schema": "loom.run.chat/1",
        "run_id": "q",
        "status": "waiting",
        "reason": "signal:message",
        "step_index": 1,
        "model": "mock:default",
        "answer": "You said: hello",
        "message_sent": True,
        "error": None,
        "next": "loom-run chat 'YOUR MESSAGE' --run-id q --db runs.sqlite",
        "exit_status": 0,
    }


def test_a_dash_reads_standard_input(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe\nof two lines"))
    assert chat.say("-").status == 0
    assert chat.messages()[0]["content"] == "from a pipe\nof two lines"


def test_input_that_is_not_text_is_refused(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\xff"), encoding="utf-8"))
    done = chat.say("-")
    assert (done.status, done.err) == (2, "error: the message is not valid UTF-8 text\n")
    assert chat.snapshot().keys() == {"notes.md"}


def test_a_tool_is_called_and_its_result_answered(chat: Chat) -> None:
    done = chat.say("read notes.md")
    assert done.status == 0
    assert "read_file" in done.out
    assert '· read_file {"path":"notes.md"}' in done.err
    assert [kind for kind, _, _ in calls(chat.place / "runs.sqlite")] == ["model", "tool", "model"]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("read_file", {"path": 7}, "path"),
        ("read_file", {}, "path"),
        ("read_file", {"path": "notes.md", "mode": "w"}, "mode"),
        ("read_file", {"path": "notes.md", "idempotency_key": "k"}, "idempotency_key"),
        ("read_file", '{"path": "notes.md"', "JSON"),
        ("read_file", "[]", "object"),
        ("read_file", "", "path"),
        ("read_file", '{"path": "\\ud800"}', "surrogate"),
        ("read_file", {"path": "../../etc/passwd"}, "error"),
        ("no_such_tool", {}, "there is no tool `no_such_tool`"),
        ("re ad\x1b[31m" * 20, {}, "there is no tool"),
        ("run_tests", {}, "there is no tool `run_tests`"),
    ],
)
def test_what_cannot_be_called_is_told_to_the_model_and_the_conversation_goes_on(
    chat: Chat, name: str, arguments: object, told: str
) -> None:
    chat.script(
        {"when": {"last_role": "user"}, "tool_calls": [{"name": name, "arguments": arguments}]}, {"text": "I see."}
    )
    done = chat.say("go")
    assert (done.status, done.out) == (0, "I see.\n")
    result = chat.messages()[2]
    assert result["role"] == "tool"
    assert told in result["content"]
    assert result["content"].startswith("error: ")


def test_a_name_that_no_server_takes_back_is_kept_as_one_that_it_does(chat: Chat) -> None:
    chat.script(
        {"when": {"last_role": "user"}, "tool_calls": [{"name": "ré ad\n" + "x" * 99, "arguments": {}}]}, {"text": "ok"}
    )
    chat.say("go")
    (call,) = chat.messages()[1]["tool_calls"]
    assert call["name"] == "r__ad_" + "x" * 58


def test_an_answer_of_a_thousand_calls_makes_sixteen(chat: Chat) -> None:
    many = [{"name": "list_files", "arguments": {}}] * 1000
    chat.script({"when": {"last_role": "user"}, "tool_calls": many}, {"text": "ok"})
    assert chat.say("go").status == 0
    results = [m["content"] for m in chat.messages() if m["role"] == "tool"]
    assert len(results) == 16
    assert results[-1].endswith("[984 more calls were left out: at most 16]")


def test_a_model_that_calls_for_ever_is_made_to_answer(chat: Chat) -> None:
    chat.script({"tool_calls": [{"name": "list_files", "arguments": {}}]})
    done = chat.say("go", "--max-steps", "40")
    asked = [name for kind, name, _ in calls(chat.place / "runs.sqlite") if kind == "model"]
    assert done.status == 0
    assert len(asked) >= 12


def test_only_tools_that_read_are_offered_unless_one_is_allowed(chat: Chat) -> None:
    chat.say("call run_tests", run_id="plain")
    assert chat.messages("plain")[1]["content"].startswith("You said")
    done = chat.say("call run_tests", "--allow", "run_tests", run_id="allowed")
    assert done.status == 0
    assert [m["role"] for m in chat.messages("allowed")] == ["user", "assistant", "tool", "assistant"]


def test_a_slice_pauses_and_the_next_message_finishes_first_what_was_asked(chat: Chat) -> None:
    done = chat.say("read notes.md", "--max-steps", "1")
    assert done.status == 0
    assert "is paused\nnext: loom-run resume --run-id q" in done.err
    assert chat.say("and now?").out.endswith("You said: and now?\n")
    assert [m["role"] for m in chat.messages()] == ["user", "assistant", "tool", "assistant", "user", "assistant"]


def test_a_slice_bounds_a_later_turn_as_well(chat: Chat) -> None:
    chat.say("hello")
    assert "is paused" in chat.say("read notes.md", "--max-steps", "1").err
    assert chat("resume", "--run-id", "q").status == 0


def test_resume_of_a_conversation_with_nothing_to_answer_repeats_the_answer(chat: Chat) -> None:
    chat.say("hello")
    before = chat("list", "--json").data
    assert chat("resume", "--run-id", "q").out == "You said: hello\n"
    assert chat("list", "--json").data == before


def test_an_existing_empty_file_becomes_a_database(chat: Chat) -> None:
    Path("runs.sqlite").touch()
    assert chat.say("hello").status == 0


def test_list_says_whose_turn_it_is(chat: Chat) -> None:
    chat.say("hello", run_id="a")
    chat.say("read notes.md", "--max-steps", "1", run_id="b")
    listed = {c["run_id"]: c["standing"] for c in chat("list", "--json").data["conversations"]}
    assert listed == {"a": "your turn", "b": "paused"}
    assert "your turn" in chat("list").out


def test_show_folds_long_results_unless_all_is_asked_for(chat: Chat) -> None:
    (chat.place / "long.txt").write_text("\n".join(f"line {i}" for i in range(50)))
    chat.say("read long.txt")
    assert "more lines (--all)" in chat("show", "--run-id", "q").out
    assert "line 49" in chat("show", "--run-id", "q", "--all").out


def test_explain_says_what_happened_and_what_comes_next(chat: Chat) -> None:
    chat.say("read notes.md")
    told = chat("explain", "--run-id", "q")
    assert told.status == 0
    assert "read_file" in told.out
    assert "loom-run chat" in told.out
    assert json.loads(chat("explain", "--run-id", "q", "--json").out)["schema"] == "loom.run.explain/1"
