"""Budgets of a conversation: set when it begins, used up with 5, raised by `resume`."""

from __future__ import annotations

from tests.apps.run.support import Chat


def test_a_conversation_that_is_out_of_tool_calls_ends_with_5_and_goes_on_with_more(chat: Chat) -> None:
    read = {"name": "read_file", "arguments": {"path": "notes.md"}}
    chat.script({"when": {"last_role": "user"}, "tool_calls": [read, read]}, {"text": "read"})
    out = chat.say("read the notes, twice", "--max-tool-calls", "1", "--max-tokens", "100000", "--max-cost", "1")
    assert out.status == 5, (out.status, out.err)
    assert "its budget is used up (budget:tool_calls)" in out.err
    assert "next: loom-run resume --add-tool-calls N --run-id q" in out.err
    before = chat.messages()
    refused = chat.say("and now?")
    assert (refused.status, "the message was not sent" in refused.err) == (5, True)
    assert chat.messages() == before
    gone_on = chat("resume", "--run-id", "q", "--add-tool-calls", "5")
    assert (gone_on.status, gone_on.out) == (0, "read\n")
    data = chat("explain", "--run-id", "q", "--json").data["budget"]
    assert (data["tool_calls"]["limit"], data["tokens"]["limit"], data["cost"]["limit"]) == (6, 100_000, 1)


def test_the_budget_of_a_conversation_is_not_set_a_second_time(chat: Chat) -> None:
    assert chat.say("hello", "--max-tokens", "100000").status == 0
    refused = chat.say("hello again", "--max-tokens", "5")
    assert refused.status == 2
    assert "has been begun; its budget is not set any more" in refused.err
    assert "loom-run resume --run-id q --add-tokens N" in refused.err
    assert chat("resume", "--run-id", "q", "--add-cost", "1").status == 2
