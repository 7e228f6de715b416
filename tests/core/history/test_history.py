"""Histories as differences: what is restored, how many rows it takes, how little is stored."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loom_core.contracts.stores import EncodedState
from loom_core.history import (
    DELTA,
    DELTA_ZLIB,
    GROUP,
    SAME,
    WHOLE,
    WHOLE_ZLIB,
    HistoryCorrupt,
    HistoryEncoder,
    apply,
    restore,
)
from loom_core.history.fields import join, split
from loom_core.values import codec_for

Rows = list[tuple[int, bytes]]
JSON_VALUES = codec_for(object)
quick = settings(deadline=None, suppress_health_check=list(HealthCheck))

TEXT = st.text(max_size=12)
LONG = st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=9), st.integers(30, 120))
VALUE = (
    TEXT
    | LONG
    | st.integers()
    | st.none()
    | st.lists(TEXT | LONG, max_size=4)
    | st.dictionaries(TEXT, LONG, max_size=3)
)
KEYS = st.sampled_from(["a", "b", "é", 'quote"', "", "\n", "🐍"])
OBJECT = st.dictionaries(KEYS, VALUE, max_size=7)
STATE = OBJECT | OBJECT | OBJECT | VALUE


@st.composite
def histories(draw: Any) -> list[Any]:
    """Draw states of which most are the one before with a change, as states of agents are."""
    states = [draw(STATE)]
    for _ in range(draw(st.integers(0, 12))):
        state = states[-1]
        match draw(st.sampled_from(["same", "field", "remove", "reorder", "other"])), state:
            case "same", _:
                states.append(state)
            case "field", dict():
                states.append({**state, draw(KEYS): draw(VALUE)})
            case "remove", dict():
                states.append({key: each for key, each in state.items() if key != draw(KEYS)})
            case "reorder", dict():
                states.append({key: state[key] for key in draw(st.permutations([*state]))})
            case _:
                states.append(draw(STATE))
    return states


def encoded(value: Any) -> EncodedState:
    return JSON_VALUES.encode(value)


def pushed(states: list[EncodedState]) -> Rows:
    encoder = HistoryEncoder()
    return [encoder.push(state) for state in states]


def group_of(rows: Rows, position: int) -> Rows:
    """Return the rows that restore a position: from the last whole one at or before it."""
    first = max(index for index in range(position + 1) if rows[index][0] in (WHOLE, WHOLE_ZLIB))
    return rows[first : position + 1]


@quick
@given(histories(), st.booleans())
def test_any_sequence_of_states_is_restored_exactly_at_every_position(states: list[Any], with_fields: bool) -> None:
    texts = [encoded(each) if with_fields else encoded(each)._replace(fields=None) for each in states]

    rows = pushed(texts)

    for position, state in enumerate(texts):
        assert restore(group_of(rows, position)) == state.text
        if position:
            assert apply(texts[position - 1].text, *rows[position]) == state.text


@quick
@given(histories(), st.data())
def test_a_resumed_encoder_goes_on_as_the_old_one_would_have(states: list[Any], data: st.DataObject) -> None:
    texts = [encoded(each) for each in states]
    stop = data.draw(st.integers(1, len(texts)))
    rows = pushed(texts[:stop])
    distance = len(group_of(rows, stop - 1)) - 1

    resumed = HistoryEncoder.resume(texts[stop - 1].text, distance)
    rows += [resumed.push(state) for state in texts[stop:]]

    assert [restore(group_of(rows, position)) for position in range(len(texts))] == [each.text for each in texts]


def test_at_most_64_rows_are_read_for_any_position() -> None:
    rows = pushed([encoded({"n": n // 3, "text": "x" * 900}) for n in range(500)])

    assert max(len(group_of(rows, position)) for position in range(500)) == GROUP == 64
    assert {DELTA, SAME, WHOLE_ZLIB} == {form for form, _ in rows}


def test_unchanged_states_count_towards_the_group() -> None:
    rows = pushed([encoded("x")] * 130)

    assert [index for index, (form, _) in enumerate(rows) if form == WHOLE] == [0, 64, 128]
    assert {b""} == {body for form, body in rows if form == SAME}


def test_a_resumed_encoder_keeps_the_distance() -> None:
    state = encoded("x" * 300)

    encoder = HistoryEncoder.resume(state.text, 62)

    assert [form for form, _ in (encoder.push(state), encoder.push(state), encoder.push(state))] == [SAME, WHOLE, SAME]
    assert encoder.distance == 1
    with pytest.raises(ValueError, match="not negative"):
        HistoryEncoder.resume("1", -1)


def test_short_states_are_stored_whole_and_readable() -> None:
    rows = pushed([encoded({"n": n}) for n in range(3)])

    assert rows == [(WHOLE, b'{"n":0}'), (WHOLE, b'{"n":1}'), (WHOLE, b'{"n":2}')]


def test_a_delta_can_be_read_in_a_database_shell() -> None:
    base = {"count": 1, "messages": ["m" * 50] * 20, "draft": "d" * 50, "other": "o" * 100}
    grown = {**base, "count": 2, "messages": [*base["messages"], "new"]}  # type: ignore[misc]
    added = {**grown, "answer": "42"}
    gone = {key: each for key, each in added.items() if key != "draft"}
    turned = {"other": gone["other"], **gone}

    rows = pushed([encoded(each) for each in (base, grown, added, gone, turned)])

    assert [body.decode() for _, body in rows[1:]] == [
        '{"count":"2","messages":[1060,1060,",\\"new\\""]}',
        '{"answer":"\\"42\\""}',
        '{"draft":null}',
        '[{},["other","count","messages","answer"]]',
    ]


def test_a_state_that_changed_more_than_half_is_stored_whole() -> None:
    rng = random.Random(1)
    rows = pushed([encoded("".join(rng.choices("abcdefgh", k=400))) for _ in range(4)])

    assert {WHOLE} == {form for form, _ in rows}


def test_only_long_wholes_that_shrink_are_compressed() -> None:
    short, flat = encoded("x" * 400), encoded("x" * 4_000)
    # Half ASCII, half not, in random order: what compression could save, its own tables take.
    symbols = [chr(each) for each in (*range(35, 92), *range(93, 127))] * 22 + [*map(chr, range(0xA1, 0x7F0))]
    dense = encoded("".join(random.Random(1).choices(symbols, k=520)))

    assert pushed([short]) == [(WHOLE, short.text.encode())]
    assert pushed([dense]) == [(WHOLE, dense.text.encode())]
    form, body = pushed([flat])[0]
    assert (form, zlib.decompress(body).decode()) == (WHOLE_ZLIB, flat.text)


@pytest.mark.parametrize("with_fields", [True, False])
def test_growth_is_bounded_by_what_was_added(with_fields: bool) -> None:
    messages = [{"role": "user", "content": "x" * 80 + str(n)} for n in range(1_000)]
    states = []
    for n in range(200):
        messages.append({"role": "assistant", "content": f"{n:03}" + "y" * 64})
        state = encoded({"messages": messages, "turn": n} if with_fields else messages)
        states.append(state)
    assert len(states[0].text) > 100_000

    rows = pushed(states)

    deltas = [len(body) for form, body in rows if form == DELTA]
    assert len(deltas) == 200 - 4
    assert max(deltas) < 400
    assert restore(group_of(rows, 199)) == states[-1].text


def test_a_change_in_the_middle_costs_the_change_and_not_the_rest() -> None:
    one = {f"field{n}": "é" * 400 for n in range(10)}
    other = {**one, "field5": "é" * 200 + "CHANGED" + "é" * 193}

    rows = pushed([encoded(one), encoded(other)])

    assert rows[1] == (DELTA, b'{"field5":[201,208,"CHANGED"]}')


BROKEN: list[tuple[str, Rows, str]] = [
    ("empty", [], "the group has no entries"),
    ("no whole", [(DELTA, b"{}")], "entry 0 of the group: a group must begin with a whole state"),
    ("same first", [(SAME, b"")], "a group must begin with a whole state"),
    ("unknown form", [(WHOLE, b"{}"), (7, b"")], "entry 1 of the group: there is no form 7"),
    ("not utf-8", [(WHOLE, b"\xff")], "a whole state is not UTF-8"),
    ("not zlib", [(WHOLE_ZLIB, b"abc")], "a compressed state cannot be read"),
    ("cut zlib", [(WHOLE_ZLIB, zlib.compress(b"x" * 1000)[:-3])], "a compressed state cannot be read"),
    ("same with body", [(WHOLE, b"1"), (SAME, b"x")], "an unchanged state has 1 bytes"),
    ("not json", [(WHOLE, b"1"), (DELTA, b"[1,")], "a delta is not JSON"),
    ("delta not utf-8", [(WHOLE, b"1"), (DELTA, b"\xff")], "a delta is not JSON"),
    ("deep", [(WHOLE, b"1"), (DELTA, b"[" * 100_000)], "a delta is not JSON"),
    ("number", [(WHOLE, b"{}"), (DELTA, b"5")], "a delta follows|neither a splice nor an object|no object"),
    ("no object", [(WHOLE, b"[1]"), (DELTA, b'{"a":"1"}')], "a delta of fields follows a state that is no object"),
    ("out of range", [(WHOLE, b"12"), (DELTA, b'[1,3,"x"]')], "a splice of the state covers 1 to 3 of 2 characters"),
    ("negative", [(WHOLE, b"12"), (DELTA, b'[-1,1,"x"]')], "covers -1 to 1"),
    ("backwards", [(WHOLE, b"12"), (DELTA, b'[2,1,"x"]')], "covers 2 to 1"),
    ("bool", [(WHOLE, b"12"), (DELTA, b'[true,1,"x"]')], r"a splice of the state is not \[start, end, text\]"),
    ("not text", [(WHOLE, b"12"), (DELTA, b"[0,1,2]")], "is not"),
    ("unknown field", [(WHOLE, b'{"a":1}'), (DELTA, b'{"b":[0,0,""]}')], "changes the field `b`, which was not there"),
    ("gone field", [(WHOLE, b'{"a":1}'), (DELTA, b'{"b":null}')], "changes the field `b`, which was not there"),
    ("field range", [(WHOLE, b'{"a":1}'), (DELTA, b'{"a":[0,9,""]}')], "a splice of the field `a` covers 0 to 9 of 1"),
    ("field number", [(WHOLE, b'{"a":1}'), (DELTA, b'{"a":4}')], "a splice of the field `a` is not"),
    ("order short", [(WHOLE, b'{"a":1,"b":2}'), (DELTA, b'[{},["a"]]')], "order is not that of its fields"),
    ("order twice", [(WHOLE, b'{"a":1,"b":2}'), (DELTA, b'[{},["a","a"]]')], "order is not that of its fields"),
    ("order strange", [(WHOLE, b'{"a":1,"b":2}'), (DELTA, b'[{},["a",[]]]')], "order is not that of its fields"),
]


@pytest.mark.parametrize(("rows", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_corrupt_history_is_named_and_never_a_text(rows: Rows, message: str) -> None:
    with pytest.raises(HistoryCorrupt, match=message):
        restore(rows)
    assert issubclass(HistoryCorrupt, ValueError)


@quick
@given(histories(), st.data())
def test_a_damaged_entry_is_an_error_or_a_text_but_nothing_else(states: list[Any], data: st.DataObject) -> None:
    rows = pushed([encoded(each) for each in states])
    at = data.draw(st.integers(0, len(rows) - 1))
    form, body = rows[at]
    cut = data.draw(st.integers(0, len(body)))
    rows[at] = (
        data.draw(st.sampled_from([form, WHOLE, DELTA, WHOLE_ZLIB, SAME])),
        body[:cut] + data.draw(st.binary(max_size=3)),
    )

    try:
        text = restore(rows)
    except HistoryCorrupt:
        return
    assert type(text) is str


@quick
@given(OBJECT)
def test_splitting_gives_exact_slices(value: dict[str, Any]) -> None:
    text = encoded(value).text

    fields = split(text)

    if not value:
        assert fields is None
        return
    assert fields is not None
    assert join(fields) == text
    assert {key: json.loads(field) for key, field in fields.items()} == value


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "1",
        '"{}"',
        "{",
        '{"a"',
        '{"a":1',
        '{"a":1}}',
        '{"a": 1}',
        '{"a":1,"a":2}',
        '{"\\u00e9":1}',
        '{"a":1,}',
        "{1:2}",
    ],
)
def test_what_does_not_join_to_the_same_text_is_not_split(text: str) -> None:
    assert split(text) is None


def test_a_long_delta_is_compressed_with_the_words_that_were_said_before() -> None:
    codec, encoder = codec_for(object), HistoryEncoder()
    said = [" ".join(f"word{(i * 7 + k * 13) % 400}" for k in range(70)) for i in range(40)]
    rows = [encoder.push(codec.encode({"messages": said[: n + 1]})) for n in range(40)]
    assert {form for form, _ in rows[2:]} == {DELTA_ZLIB}
    assert sum(len(body) for _, body in rows[20:]) < sum(len(text) for text in said[20:]) / 2
    assert restore(rows) == codec.encode({"messages": said}).text


def test_a_compressed_delta_that_was_cut_or_belongs_elsewhere_is_told() -> None:
    codec, encoder = codec_for(object), HistoryEncoder()
    first = codec.encode({"messages": ["a" * 400, "b" * 400]})
    encoder.push(first)
    form, body = encoder.push(codec.encode({"messages": ["a" * 400, "b" * 400, " ".join(map(str, range(200)))]}))
    assert form == DELTA_ZLIB
    for spoiled in (body[:-3], body + b"x", b"", b"\xff" * len(body)):
        with pytest.raises(HistoryCorrupt):
            apply(first.text, form, spoiled)
