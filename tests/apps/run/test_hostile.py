"""Whatever a model or a tool writes, the terminal gets text."""

from __future__ import annotations

from tests.apps.run.support import Chat

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202eevil\u2066 \x9b2J \x00\u200b\r"
RAW = ("\x1b", "\x07", "\u202e", "\u2066", "\x9b", "\x00", "\u200b", "\r")


def raw_in(*texts: str) -> list[str]:
    return [char for char in RAW for text in texts if char in text]


def test_a_hostile_answer_is_shown_escaped_everywhere(chat: Chat) -> None:
    chat.script({"thinking": HOSTILE, "text": HOSTILE})
    for argv in (["chat", "hi", "--run-id", "q", "-v"], ["show", "--run-id", "q"], ["explain", "--run-id", "q"]):
        done = chat(*argv)
        assert done.status == 0
        assert "red" in done.out
        assert raw_in(done.out, done.err) == []
    assert raw_in(chat("show", "--run-id", "q", "--json").out) == []
    assert chat.messages()[-1]["content"] == HOSTILE


def test_hostile_arguments_names_results_and_errors_are_shown_escaped(chat: Chat) -> None:
    (chat.place / "evil.md").write_text(HOSTILE)
    chat.script(
        {
            "when": {"last_role": "user"},
            "tool_calls": [
                {"name": "read_file", "arguments": {"path": "evil.md"}},
                {"name": "read_file", "arguments": {"path": HOSTILE}},
                {"name": HOSTILE, "arguments": HOSTILE},
            ],
        },
        {"error": {"category": "permission", "message": HOSTILE}},
    )
    told = [
        chat.say("go", "-v"),
        chat("show", "--run-id", "q", "--all"),
        chat("explain", "--run-id", "q", "--all"),
        chat("list"),
    ]
    assert [done.status for done in told] == [1, 0, 0, 0]
    assert raw_in(*(done.out + done.err for done in told)) == []


def test_hostile_names_of_the_persons_own_are_shown_escaped(chat: Chat) -> None:
    done = chat.say(HOSTILE.replace("\x00", ""), run_id="naïve \U0001f600")
    assert done.status == 0
    assert raw_in(done.out, done.err) == []


def test_a_megabyte_from_a_model_arrives_whole(chat: Chat) -> None:
    text = "wörter " * 150_000
    chat.script({"text": text})
    done = chat.say("hi")
    assert done.status == 0
    assert done.out.strip() == text.strip()
    assert chat.messages()[-1]["content"] == text


def test_a_megabyte_of_arguments_is_told_and_not_sent_back(chat: Chat) -> None:
    huge = {"path": "x" * 1_000_000}
    chat.script(
        {"when": {"last_role": "user"}, "tool_calls": [{"name": "read_file", "arguments": huge}]}, {"text": "."}
    )
    done = chat.say("hi")
    assert done.status == 0
    assert len(done.err) < 1_000
