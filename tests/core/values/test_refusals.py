"""What would come back changed is refused, with its path and what to do about it."""

from __future__ import annotations

import collections
import datetime as dt
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import attrs
import pytest

from loom_core.errors import ValueNotDecodable, ValueNotEncodable
from loom_core.values import codec_for, encode_json
from tests.core.values import shapes as s


class OwnZone(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)


class SubInt(int):
    pass


class SubDict(dict[str, int]):
    pass


def set_later(value: Any, name: str, to: object) -> Any:
    setattr(value, name, to)
    return value


def unset(value: Any, name: str) -> Any:
    delattr(value, name)
    return value


def untrimmed() -> s.Converted:
    value = s.Converted("a")
    object.__setattr__(value, "text", " a")
    return value


def cycle() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


def node_cycle() -> s.Node:
    node = s.Node(1)
    node.children.append(s.Node(2, [node]))
    return node


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def deep_node(levels: int) -> s.Node:
    node = s.Node(0)
    for level in range(levels):
        node = s.Node(level, next=node)
    return node


REFUSED: list[tuple[Any, Callable[[], Any], str]] = [
    # JSON values
    (object, lambda: {"a": [(1, 2)]}, "state.a[0]: expected JSON data, found tuple"),
    (object, lambda: {"a": {1: 2}}, "state.a: the key 1 is int, and comes back as str"),
    (object, lambda: {"a b": {True: 2}}, 'state["a b"]: the key True is bool, and comes back as str'),
    (object, lambda: {s.Text("a"): 2}, "state: the key 'a' is Text, and comes back as str"),
    (object, lambda: [float("nan")], "state[0]: nan has no form in JSON"),
    (object, lambda: {"a": float("-inf")}, "state.a: -inf has no form in JSON"),
    (object, lambda: [s.Text("a")], "state[0]: expected JSON data, found Text"),
    (object, lambda: [s.Level.LOW], "state[0]: expected JSON data, found Level"),
    (object, lambda: [SubInt(1)], "state[0]: expected JSON data, found SubInt"),
    (object, lambda: SubDict(a=1), "state: expected JSON data, found SubDict"),
    (object, lambda: collections.OrderedDict(a=1), "state: expected JSON data, found OrderedDict"),
    (object, lambda: {1, 2}, "state: expected JSON data, found set"),
    (object, lambda: b"x", "state: expected JSON data, found bytes"),
    (object, lambda: s.Pair(1), "state: expected JSON data, found Pair"),
    (object, lambda: [s.Counter(1)], "state[0]: expected JSON data, found Counter"),
    (object, lambda: object(), "state: expected JSON data, found object"),
    (object, cycle, "state[1].again: contains itself"),
    (object, lambda: deep(10_000), "nested more than 200 levels deep"),
    (object, lambda: [1 << 20_000], "state[0]: an int of more than 4300 digits"),
    (object, lambda: ["\ud83d\ude00"], "state[0]: two lone surrogates in a row come back as one character"),
    (object, lambda: {"a": {"\ud83d\ude00": 1}}, "state.a: two lone surrogates in a row come back as one character"),
    # by hint
    (int, lambda: True, "state: expected int, found bool"),
    (int, lambda: 1.0, "state: expected int, found float"),
    (int, lambda: s.Level.LOW, "state: expected int, found Level"),
    (float, lambda: True, "state: expected float, found bool"),
    (str, lambda: s.Text("a"), "state: expected str, found Text"),
    (str, lambda: None, "state: expected str, found None"),
    (list[float], lambda: [1.0, float("nan")], "state[1]: nan has no form in JSON"),
    (set[float], lambda: {float("inf")}, "state: an item has no form in JSON"),
    (dict[float, int], lambda: {float("inf"): 1}, "state.inf: the key inf has no form in JSON"),
    (list[int], lambda: [1, 1 << 20_000], "state[1]: an int of more than 4300 digits"),
    (list[int], lambda: (1,), "state: expected list[int], found tuple"),
    (tuple[int, ...], lambda: [1], "state: expected tuple[int, ...], found list"),
    (tuple[int, str], lambda: s.Pair(1, "a"), "state: expected tuple[int, str], found Pair"),
    (tuple[int, str], lambda: (1,), "state: expected 2 items, found 1"),
    (s.Pair, lambda: (1, "a"), "state: expected Pair, found tuple"),
    (set[int], lambda: frozenset({1}), "state: expected set[int], found frozenset"),
    (set[int], lambda: {True}, "state[0]: expected int, found bool"),
    (dict[int, str], lambda: {1: "a", True + 1: 5}, "state[2]: expected str, found int"),
    (dict[str, int], lambda: {1: 1}, "state[1]: expected str, found int"),
    (dict[str, int], lambda: SubDict(a=1), "state: expected dict[str, int], found SubDict"),
    (dict[str, int], lambda: collections.defaultdict(int, a=1), "expected dict[str, int], found defaultdict"),
    (Literal["a", 1], lambda: True, "state: expected Literal['a', 1], found bool"),
    (Literal["a", 1], lambda: "b", "state: 'b' is not one of Literal['a', 1]"),
    (s.Colour, lambda: "red", "state: expected Colour, found str"),
    # times
    (dt.datetime, lambda: "2026-01-01", "state: expected datetime, found str"),
    (dt.date, lambda: dt.datetime(2026, 1, 1), "state: expected date, found datetime"),
    (dt.datetime, lambda: dt.datetime(2026, 1, 1, tzinfo=OwnZone()), "would not come back as it is"),
    (
        dt.datetime,
        lambda: dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")),
        "would not come back as it is",
    ),
    # classes
    (s.Counter, lambda: {"n": 1}, "state: expected Counter, found dict"),
    (s.Counter, lambda: s.SubCounter(1), "state: expected Counter, found SubCounter, a subclass of it"),
    (s.Counter, lambda: s.Counter(True), "state.n: expected int, found bool"),
    (s.Cart, lambda: s.Cart([s.Item("a", 1), s.Item("b", "5")]), "state.items[1].price: expected int, found str"),
    (s.Cart, lambda: s.Cart([], anything={"x": (1,)}), "state.anything.x: expected JSON data, found tuple"),
    (s.Cart, lambda: s.Cart([], by_id={"3": s.Item("a", 1)}), 'state.by_id["3"]: expected int, found str'),
    (s.Open, lambda: set_later(s.Open(1), "extra", 2), "state: the attribute `extra` is not a field and would be lost"),
    (s.Point, lambda: set_later(s.Point(1), "z", 2), "state: the attribute `z` is not a field and would be lost"),
    (s.Private, lambda: unset(s.Private(1), "_secret"), "state._secret: has no value"),
    (s.Derived, lambda: set_later(s.Derived(1), "double", 7), "state.double: 7 comes back as 2"),
    (s.WithInitVar, lambda: s.WithInitVar(1), "state.n: 2 comes back as 4"),
    (s.Converted, untrimmed, "state.text: ' a' comes back as 'a'"),
    (s.Growing, lambda: s.Growing(1), "state.n: 2 comes back as 3"),
    (
        s.Checked,
        lambda: set_later(s.Checked(1), "n", -1),
        "state: Checked refuses it: ValueError: 'n' must be >= 0: -1",
    ),
    (list[s.Growing], lambda: [s.Growing(1)], "state[0].n: 2 comes back as 3"),
    (s.Node, node_cycle, "state.children[0].children[0]: contains itself"),
    (s.Node, lambda: deep_node(10_000), "nested more than 200 levels deep"),
    (s.Node, lambda: deep_node(250), "nested more than 200 levels deep"),
    (s.Box[int], lambda: s.Box("a"), "state.content: expected int, found str"),
    (s.Movie, lambda: {"year": 1}, "state: Movie has no `title` here"),
    (s.Movie, lambda: {"title": "a", "more": 1}, "state: Movie does not know the key 'more'"),
    (s.Movie, lambda: {"title": 1}, "state.title: expected str, found int"),
    # unions
    (s.Counter | s.Item, lambda: s.SubCounter(1), "state: expected Counter | Item, found SubCounter"),
    (s.Counter | s.Item, lambda: s.Item("a", "b"), "state.price: expected int, found str"),
    (int | str, lambda: 1.0, "state: expected int | str, found float"),
    (list[int] | list[str], lambda: [1, "a"], "no member takes this list"),
    # pydantic
    (s.Model, lambda: s.Model.model_construct(when="soon"), "state"),
    (s.Model, lambda: s.Model.model_construct(when=dt.datetime(2026, 1, 1), tags={1}), "state"),
    (s.Model, lambda: s.Counter(1), "state: expected Model, found Counter"),
]


@pytest.mark.parametrize(("hint", "make", "message"), REFUSED, ids=lambda each: each[:70] if type(each) is str else "")
def test_a_value_that_would_come_back_changed_is_refused_with_its_path(
    hint: Any, make: Callable[[], Any], message: str
) -> None:
    value = make()

    with pytest.raises(ValueNotEncodable) as encoding:
        codec_for(hint).encode(value)
    with pytest.raises(ValueNotEncodable) as to_data:
        codec_for(hint).to_data(value)

    assert message in str(encoding.value)
    assert str(encoding.value) == str(to_data.value)
    assert len(str(encoding.value)) < 2_000


def test_a_zone_read_from_a_file_is_refused_because_nothing_names_it() -> None:
    source = next((each for each in map(Path, zoneinfo.TZPATH) if (each / "Europe/Rome").is_file()), None)
    if source is None:
        pytest.skip("no system time zone database")
    with (source / "Europe/Rome").open("rb") as file:
        zone = ZoneInfo.from_file(file)

    with pytest.raises(ValueNotEncodable, match="without a key"):
        codec_for(dt.datetime).encode(dt.datetime(2026, 1, 1, tzinfo=zone))


MISFITS: list[tuple[Any, str, str]] = [
    (s.Cart, '{"items":[{"name":"a","price":"5"}]}', "state.items[0].price: expected int, found str"),
    (s.Counter, '{"n":true}', "state.n: expected int, found bool"),
    (s.Counter, '{"n":1.0}', "state.n: expected int, found float"),
    (s.Counter, '{"n":1,"m":2,"k":3}', "state: Counter does not know `k`, `m`"),
    (s.Counter, "{}", "state: Counter has no `n` here"),
    (s.Counter, "[]", "state: expected Counter, found list"),
    (s.Counter, "null", "state: expected Counter, found None"),
    (s.Counter, "", "state: not JSON"),
    (s.Counter, '{"n":1', "state: not JSON"),
    (s.Counter, '{"n":1}}', "state: not JSON"),
    (object, "NaN", "state: not JSON: NaN is not JSON"),
    (object, "[" * 100_000, "state: "),
    (object, "1" * 5_000, "state: not JSON"),
    (s.Checked, '{"n":-1}', "state: Checked refuses it: ValueError"),
    (list[int], '{"0":1}', "state: expected list[int], found dict"),
    (list[str], '"abc"', "state: expected list[str], found str"),
    (set[int], "[1,1]", "state: an item is there twice"),
    (set[object], "[[]]", "state: an item cannot be in a set"),
    (dict[int, int], '{"01":1}', "state[\"01\"]: the key '01' is not one of its type"),
    (dict[int, int], '{"x":1}', "state.x: the key 'x' is not one of its type"),
    (dict[int | str, int], '[["a",1],["a",2]]', "state: a key is there twice"),
    (dict[int | str, int], '[["a"]]', "state[0]: expected 2 items, found 1"),
    (dt.datetime, '"tomorrow"', "state: 'tomorrow' is not a datetime"),
    (
        dt.datetime,
        '"2026-01-01T00:00:00[Nowhere/Land]"',
        "state: this machine does not know the time zone `Nowhere/Land`",
    ),
    (dt.datetime, '"2026-01-01T00:00:00[../../etc/passwd]"', "does not know the time zone"),
    (dt.timedelta, '"3 days"', "state: '3 days' is not a timedelta"),
    (bytes, '"a"', "state: 'a' is not a bytes"),
    (s.Colour, '"green"', "state: 'green' is not one of Colour: 'red', 'blue'"),
    (s.Level, "true", "state: True is not one of Level"),
    (s.Rights, "99", "state: 99 is not a Rights"),
    (Literal[1], "true", "state: True is not one of Literal[1]"),
    (s.Counter | s.Item, '{"n":1}', "state: expected an object with `$type` of 'Counter', 'Item'; found None there"),
    (s.Counter | s.Item, '{"$type":"Item","name":1,"price":1}', "state.name: expected str, found int"),
    (dt.datetime | str, '{"$type":"datetime"}', "state: expected exactly `$type` and `value`"),
    (s.Model, '{"when":"never"}', "state: Model.model_validate refuses it"),
]


@pytest.mark.parametrize(("hint", "text", "message"), MISFITS, ids=lambda each: str(each)[:50])
def test_stored_text_that_does_not_fit_is_refused_with_its_path(hint: Any, text: str, message: str) -> None:
    with pytest.raises(ValueNotDecodable) as caught:
        codec_for(hint).decode(text)

    assert message in str(caught.value)


@attrs.frozen
class Callback:
    when_done: Callable[[], None]


@attrs.frozen
class Deep:
    inner: dict[str, list[Callback]]


UNSTORABLE: list[tuple[Any, str]] = [
    (s.Unmodelled, "state: the type Unmodelled has no stored form"),
    (Callback, "state.when_done: the type "),
    (Deep, "state.inner.when_done: the type "),
    (type, "state: the type type has no stored form"),
    (complex, "state: the type complex has no stored form"),
    ("Missing", "state: the forward reference 'Missing' cannot be resolved"),
    (
        list["Missing"],  # noqa: F821 - the point
        "state: the forward reference 'Missing' cannot be resolved",
    ),
    (object | s.Counter, "cannot be told apart"),
    (Literal[b"x"], "state: Literal[b'x'] cannot be stored"),
    (Literal["red", s.Colour.RED], "have the same form in JSON"),
    ([], "state: the type [] has no stored form"),
    (collections.defaultdict[str, int], "has no stored form"),
]


@pytest.mark.parametrize(("hint", "message"), UNSTORABLE, ids=lambda each: str(each)[:50])
def test_a_type_without_a_stored_form_is_refused_when_the_codec_is_made(hint: Any, message: str) -> None:
    with pytest.raises(ValueNotEncodable) as caught:
        codec_for(hint)

    assert message in str(caught.value)


def test_the_hint_says_what_to_do() -> None:
    with pytest.raises(ValueNotEncodable) as tuple_:
        codec_for(object).encode((1, 2))
    with pytest.raises(ValueNotEncodable) as subclass:
        codec_for(s.Counter).encode(s.SubCounter(1))
    with pytest.raises(ValueNotEncodable) as unhinted:
        codec_for(object).encode(s.Counter(1))

    assert tuple_.value.hint == "annotate it, as in tuple[int, ...], or use a list"
    assert subclass.value.hint == "hint it as a union: Counter | SubCounter"
    assert unhinted.value.hint is not None
    assert "Agent(state_type=…)" in unhinted.value.hint


def test_what_names_the_thing_in_the_path() -> None:
    with pytest.raises(ValueNotEncodable, match=r"^result\.n: "):
        codec_for(s.Counter, what="result").encode(s.Counter(None))  # type: ignore[arg-type]
    with pytest.raises(ValueNotEncodable, match=r"^arguments of tool `x`\.a\[0\]: "):
        encode_json({"a": [set()]}, "arguments of tool `x`")
    with pytest.raises(ValueNotEncodable, match=r"^args\[1\]\.again: contains itself"):
        encode_json(cycle(), "args")
    with pytest.raises(ValueNotEncodable, match=r"^args\[0\]: nan"):
        encode_json([float("nan")], "args")


def test_a_refused_value_leaves_the_codec_usable() -> None:
    codec = codec_for(s.Counter)
    with pytest.raises(ValueNotEncodable):
        codec.encode(s.Counter("x"))  # type: ignore[arg-type]

    assert codec.encode(s.Counter(1)).text == '{"n":1}'
