"""What a model is sent of a long conversation: bounded, begun alike, calls and results together, the question kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loom_run.conversation import Conversation
from loom_run.window import OVERHEAD_CHARS, advance, request_messages

from loom_core.contracts.models import Message, ToolCall

WINDOW = 3_000


def conversation(*messages: Message, seen_from: int = 1) -> Conversation:
    return Conversation(
        model="m",
        workspace="/",
        tools=(),
        window_chars=WINDOW,
        messages=(Message(role="system", content="Be careful."), *messages),
        seen_from=seen_from,
    )


def said(text: str) -> list[Message]:
    return [Message(role="user", content=text), Message(role="assistant", content=text.upper())]


def round_of(*results: str, arguments: str = "{}") -> list[Message]:
    calls = tuple(ToolCall(id=str(i), name="look", arguments=arguments) for i in range(len(results)))
    answers = (Message(role="tool", tool_call_id=c.id, content=r) for c, r in zip(calls, results, strict=True))
    return [Message(role="assistant", tool_calls=calls), *answers]


def size(messages: tuple[Message, ...]) -> int:
    return sum(
        OVERHEAD_CHARS + len(m.content) + sum(OVERHEAD_CHARS + len(c.name) + len(c.arguments) for c in m.tool_calls)
        for m in messages
    )


def check(sent: tuple[Message, ...], question: str) -> None:
    assert sent[0].role == "system"
    assert size(sent) <= WINDOW
    assert question in [m.content for m in sent] or any(m.content.startswith(question[:100]) for m in sent)
    waiting: list[str] = []
    for message in sent:
        if message.role == "tool":
            assert message.tool_call_id in waiting
            waiting.remove(str(message.tool_call_id))
            continue
        assert waiting == []
        waiting = [c.id for c in message.tool_calls]
    assert waiting == []


def test_a_short_conversation_is_sent_whole() -> None:
    short = conversation(*said("one"), *said("two"))
    assert advance(short) is short
    assert request_messages(short) == short.messages


def test_the_window_moves_in_strides_so_that_requests_begin_alike() -> None:
    state = conversation()
    starts = []
    for number in range(200):
        state = advance(state.said(Message(role="user", content=f"{number} " + "x" * 100)))
        check(request_messages(state), state.messages[-1].content)
        starts.append(state.seen_from)
        state = state.said(Message(role="assistant", content="y" * 100))
    assert starts == sorted(starts)
    assert len(set(starts)) < 30


def test_results_too_large_for_the_window_keep_their_calls_and_the_question() -> None:
    state = advance(conversation(*said("before"), Message(role="user", content="why?"), *round_of(*["r" * 9_000] * 5)))
    sent = request_messages(state)
    check(sent, "why?")
    assert [m.role for m in sent] == ["system", "user", "assistant", *["tool"] * 5]


def test_the_question_is_kept_when_the_rounds_after_it_are_left_out() -> None:
    rounds = [m for _ in range(12) for m in round_of("a" * 400, "b" * 400)]
    state = advance(conversation(Message(role="user", content="why?"), *rounds))
    assert state.seen_from > 1
    check(request_messages(state), "why?")


def test_large_arguments_are_replaced_by_json() -> None:
    huge = json.dumps({"path": "x" * 50_000})
    sent = request_messages(
        advance(conversation(Message(role="user", content="why?"), *round_of("no", arguments=huge)))
    )
    check(sent, "why?")
    assert json.loads(sent[2].tool_calls[0].arguments) == {"left_out": f"{len(huge)} characters"}


@pytest.mark.parametrize("length", [1_000, 1_001, 100_000])
def test_a_message_is_cut_with_a_word_about_what_is_missing(length: int) -> None:
    sent = request_messages(advance(conversation(Message(role="user", content="z" * length))))
    left_out = length - 1_000
    ending = f"\n[… {left_out} more characters were left out]" if left_out else ""
    assert sent[1].content == "z" * 1_000 + ending


turns = st.lists(
    st.one_of(
        st.integers(0, 4_000).map(lambda n: [Message(role="assistant", content="a" * n)]),
        st.lists(st.integers(0, 4_000), min_size=1, max_size=5).map(lambda ns: round_of(*["r" * n for n in ns])),
        st.integers(1, 2_000).map(lambda n: [Message(role="user", content="q" * n)]),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(turns)
def test_any_conversation_is_sent_in_order_within_bounds(parts: list[list[Message]]) -> None:
    state = conversation()
    for part in [*parts, [Message(role="user", content="last")]]:
        state = advance(state.said(*part))
        question = next((m.content for m in reversed(state.messages) if m.role == "user"), "")
        if question:
            check(request_messages(state), question)
