"""On a terminal: the dialogue, and Ctrl-C."""

from __future__ import annotations

from loom_cli.interrupts import NOTICE

from tests.apps.run.support import PROGRAM, Chat, calls, environment
from tests.apps.run.terminal import Terminal

SLOW = ({"when": {"last_role": "user"}, "tool_calls": [{"name": "list_files", "arguments": {}}]},)


def terminal(chat: Chat, *argv: str) -> Terminal:
    script = chat.place.parent / "script.json"
    environ = environment(chat.place, LOOM_MODEL="mock:default")
    if script.exists():
        environ["LOOM_PLUGINS__LLM_MOCK__SCRIPT"] = str(script)
    return Terminal((*PROGRAM, *argv), chat.place, environ)


def test_a_dialogue_is_one_conversation(chat: Chat) -> None:
    with terminal(chat, "chat", "--run-id", "q") as dialogue:
        dialogue.wait_for("you> ")
        dialogue.type("hello\n")
        assert dialogue.wait_for("you> ") == "You said: hello\nyou> "
        dialogue.type("read notes.md\n")
        assert "read_file returned: " in dialogue.wait_for("you> ")
        dialogue.type("\x04")
        status, said = dialogue.end()
    assert (status, said) == (0, "\nrun `q` · your turn: loom-run chat 'YOUR MESSAGE' --run-id q --db runs.sqlite\n")
    assert [m["role"] for m in chat.messages()] == ["user", "assistant", "user", "assistant", "tool", "assistant"]


def test_a_dialogue_goes_on_with_the_newest_and_an_empty_line_ends_it(chat: Chat) -> None:
    chat.say("first")
    with terminal(chat, "chat", "-c") as dialogue:
        dialogue.wait_for("you> ")
        dialogue.type("second\n")
        dialogue.wait_for("you> ")
        dialogue.type("\n")
        assert dialogue.end()[0] == 0
    assert [m["content"] for m in chat.messages() if m["role"] == "user"] == ["first", "second"]


def test_a_dialogue_without_a_model_says_so_before_anything_is_typed(chat: Chat) -> None:
    with Terminal((*PROGRAM, "chat"), chat.place, environment(chat.place)) as dialogue:
        status, said = dialogue.end()
    assert status == 2
    assert "you>" not in said


def test_ctrl_c_at_the_prompt_ends_the_dialogue(chat: Chat) -> None:
    with terminal(chat, "chat") as dialogue:
        dialogue.wait_for("you> ")
        dialogue.press_ctrl_c()
        assert dialogue.end()[0] == 130
    assert chat.snapshot().keys() == {"notes.md"}


def test_ctrl_c_once_finishes_the_answer_under_way_and_begins_nothing_else(chat: Chat) -> None:
    calling = {**SLOW[0], "delay_s": 0.5}
    chat.script(calling, {"text": "You have notes."})
    with terminal(chat, "chat", "go", "--run-id", "q", "-v") as turn:
        # The step is under way from before the first event on: the intent has been recorded when a file is there.
        while not (chat.place / "runs.sqlite").exists() or not asked(chat):
            assert turn.process.poll() is None
        turn.press_ctrl_c()
        turn.wait_for(NOTICE)
        status, said = turn.end()
    assert status == 130
    assert "next: loom-run resume --run-id q --db runs.sqlite" in said
    resumed = chat("resume", "--run-id", "q")
    assert (resumed.status, resumed.out) == (0, "You have notes.\n")
    made = calls(chat.place / "runs.sqlite")
    assert [(kind, status) for kind, _, status in made] == [("model", "done"), ("tool", "done"), ("model", "done")]


def test_ctrl_c_during_the_last_answer_is_an_interrupt_though_the_answer_is_whole(chat: Chat) -> None:
    chat.script({"text": "whole", "delay_s": 0.5})
    with terminal(chat, "chat", "go", "--run-id", "q") as turn:
        while not (chat.place / "runs.sqlite").exists() or not asked(chat):
            assert turn.process.poll() is None
        turn.press_ctrl_c()
        turn.wait_for(NOTICE)
        status, said = turn.end()
    assert (status, "whole" in said) == (130, True)
    assert chat("resume", "--run-id", "q").out == "whole\n"
    assert len(calls(chat.place / "runs.sqlite")) == 1


def test_ctrl_c_twice_stops_now_and_asks_again_only_what_was_not_answered(chat: Chat) -> None:
    chat.script(*SLOW, {"text": "late", "delay_s": 600})
    with terminal(chat, "chat", "go", "--run-id", "q") as turn:
        turn.wait_for("list_files")
        while len(asked(chat)) < 3:
            assert turn.process.poll() is None
        turn.press_ctrl_c()
        turn.wait_for(NOTICE)
        turn.press_ctrl_c()
        status, said = turn.end()
    assert status == 130
    assert "next: loom-run resume --run-id q --db runs.sqlite" in said
    assert "Traceback" not in said
    chat.script({"text": "here"})
    assert chat("resume", "--run-id", "q").out == "here\n"
    made = calls(chat.place / "runs.sqlite")
    assert [(kind, status) for kind, _, status in made] == [
        ("model", "done"),
        ("tool", "done"),
        ("model", "unknown"),
        ("model", "done"),
    ]


def asked(chat: Chat) -> list[tuple[str, str, str]]:
    """Return the calls that the running process has recorded so far."""
    from apsw import Error

    try:
        return calls(chat.place / "runs.sqlite")
    except Error:
        return []
