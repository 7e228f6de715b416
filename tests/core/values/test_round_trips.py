"""What comes back as it went."""

from __future__ import annotations

import datetime as dt
import json
import math
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, Optional, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from typing_extensions import TypeAliasType

from loom_core.errors import ValueNotDecodable
from loom_core.values import codec_for, same
from tests.core.values import shapes as s

ROME = ZoneInfo("Europe/Rome")
NAIVE = dt.datetime(2026, 1, 2, 3, 4, 5, 678)
REPEATED = dt.datetime(2026, 10, 25, 2, 30, tzinfo=ROME)

KEPT: list[tuple[Any, Any, str | None]] = [
    # JSON values
    (object, None, "null"),
    (object, True, "true"),
    (object, 1, "1"),
    (object, 1.0, "1.0"),
    (object, -0.0, "-0.0"),
    (object, 5e-324, None),
    (object, 10**400, None),
    (object, "é\x00\u2028🐍\n", None),
    (object, "\ud800", '"\\ud800"'),
    (object, {"b": 1, "a": ["\udc80x", {"": None}]}, None),
    (Any, [], "[]"),
    (dict, {"a": {}}, '{"a":{}}'),
    (list, [1, "a", None], None),
    (object | None, {"a": 1}, None),
    # numbers and text
    (int, -(2**70), None),
    (float, 3, "3"),
    (float, sys.float_info.max, None),
    (int | float, 1, "1"),
    (int | float, 1.0, "1.0"),
    (int | bool, True, "true"),
    (s.UserId, 7, "7"),
    (Annotated[int, "unit"], 7, "7"),
    (bytes, b"\x00\xff", '"AP8="'),
    (Decimal, Decimal("1.00"), '"1.00"'),
    (Decimal, Decimal("-0"), None),
    (Decimal, Decimal("NaN"), None),
    (UUID, UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
    (Path, Path("a/../b"), '"a/../b"'),
    (PurePosixPath, PurePosixPath("/x"), None),
    (PureWindowsPath, PureWindowsPath("C:/x"), None),
    # times
    (dt.datetime, NAIVE, '"2026-01-02T03:04:05.000678"'),
    (dt.datetime, NAIVE.replace(fold=1), '"2026-01-02T03:04:05.000678[_fold=1]"'),
    (dt.datetime, NAIVE.replace(tzinfo=dt.UTC), '"2026-01-02T03:04:05.000678+00:00"'),
    (dt.datetime, NAIVE.replace(tzinfo=dt.timezone(dt.timedelta(hours=-3, seconds=7))), None),
    (dt.datetime, dt.datetime(2026, 1, 1, tzinfo=ROME), '"2026-01-01T00:00:00+01:00[Europe/Rome]"'),
    (dt.datetime, REPEATED, '"2026-10-25T02:30:00+02:00[Europe/Rome]"'),
    (dt.datetime, REPEATED.replace(fold=1), '"2026-10-25T02:30:00+01:00[Europe/Rome]"'),
    (dt.datetime, dt.datetime(2026, 3, 29, 2, 30, fold=1, tzinfo=ROME), None),  # skipped by the clocks
    (dt.datetime, dt.datetime(2026, 1, 1, fold=1, tzinfo=ROME), '"2026-01-01T00:00:00+01:00[Europe/Rome][_fold=1]"'),
    (dt.datetime, dt.datetime(1800, 1, 1, tzinfo=ROME), None),
    (dt.datetime, dt.datetime.min, None),
    (dt.datetime, dt.datetime.max.replace(tzinfo=ROME), None),
    (dt.date, dt.date(1, 1, 1), '"0001-01-01"'),
    (dt.time, dt.time(1, 2, 3, 4, fold=1), None),
    (dt.time, dt.time(1, tzinfo=dt.UTC), None),
    (dt.time, dt.time(1, tzinfo=ROME), '"01:00:00[Europe/Rome]"'),
    (dt.timedelta, dt.timedelta(days=3, hours=1), '"P3DT3600S"'),
    (dt.timedelta, dt.timedelta(microseconds=-1), '"-P0DT0.000001S"'),
    (dt.timedelta, dt.timedelta.max, None),
    (dt.timedelta, dt.timedelta.min, None),
    # choices
    (s.Colour, s.Colour.RED, '"red"'),
    (s.Level, s.Level.HIGH, "2"),
    (s.Odd, s.Odd.PAIR, '"PAIR"'),
    (s.Mixed, s.Mixed.ONE, '"ONE"'),
    (s.Rights, s.Rights.READ | s.Rights.WRITE, "3"),
    (s.Rights, s.Rights(0), "0"),
    (Literal["a", 1, None, True], True, "true"),
    (Literal["a", 1, None, True], 1, "1"),
    (Literal[s.Colour.RED], s.Colour.RED, '"red"'),
    # containers
    (list[int], [], "[]"),
    (list[float], [1, 2.5], "[1,2.5]"),
    (Sequence[str], ["a"], '["a"]'),
    (tuple[int, ...], (1, 2), "[1,2]"),
    (tuple[int, str], (1, "a"), '[1,"a"]'),
    (tuple[()], (), "[]"),
    (tuple, (1, "a"), None),
    (set[int], {3, 1, 2}, "[1,2,3]"),
    (frozenset[str], frozenset({"b", "a"}), '["a","b"]'),
    (set[tuple[int, str]], {(1, "a")}, None),
    (dict[str, int], {"b": 1, "a": 2}, '{"b":1,"a":2}'),
    (Mapping[str, int], {"b": 1}, None),
    (dict[int, str], {10: "a", -1: "b"}, '{"10":"a","-1":"b"}'),
    (dict[bool, int], {True: 1}, '{"true":1}'),
    (dict[float, int], {1.5: 1, 2: 3}, '{"1.5":1,"2":3}'),
    (dict[s.Colour, int], {s.Colour.BLUE: 1}, '{"blue":1}'),
    (dict[s.Level, int], {s.Level.LOW: 1}, '{"1":1}'),
    (dict[UUID, int], {UUID(int=1): 1}, None),
    (dict[dt.date, int], {dt.date(2026, 1, 1): 1}, '{"2026-01-01":1}'),
    (dict[int | str, int], {1: 1, "1": 2}, '[[1,1],["1",2]]'),
    (dict[tuple[int, int], str], {(1, 2): "a"}, '[[[1,2],"a"]]'),
    (dict[str | None, int], {None: 1, "null": 2}, None),
    # classes
    (s.Counter, s.Counter(1), '{"n":1}'),
    (s.SubCounter, s.SubCounter(1, 2), '{"n":1,"extra":2}'),
    (s.Cart, s.Cart([s.Item("a", 1, ("x",))], {3: s.Item("b", 2)}, "n", {"k": [1]}), None),
    (s.Point, s.Point(1, -0.0), '{"x":1,"y":-0.0}'),
    (s.Slotted, s.Slotted(NAIVE, 3), None),
    (s.WithCache, s.WithCache(1), '{"n":1}'),
    (s.Derived, s.Derived(2), '{"n":2}'),
    (s.Private, s.Private(1, 2), '{"_secret":1,"renamed":2}'),
    (s.Converted, s.Converted(" a "), '{"text":"a"}'),
    (s.Checked, s.Checked(0), None),
    (s.Open, s.Open(1), None),
    (s.Node, s.Node(1, [s.Node(2)], s.Node(3)), None),
    (s.Box[int], s.Box(1, [2]), '{"content":1,"more":[2]}'),
    (s.Box[s.Box[s.Item]], s.Box(s.Box(s.Item("a", 1)), []), None),
    (s.Box, s.Box([1, "a"], []), None),
    (s.IntBox, s.IntBox(1, [2], "l"), None),
    (s.Shelf[dt.date], s.Shelf({"a": s.Box(dt.date(2026, 1, 1))}, [dt.date(2026, 1, 2)]), None),
    (TypeAliasType("Ints", list[int] | None), [1], "[1]"),
    (s.Pair, s.Pair(1, "a"), '{"left":1,"right":"a"}'),
    (s.Loose, s.Loose(1, [2]), '{"a":1,"b":[2]}'),
    (s.Movie, {"year": 1, "title": "a"}, '{"year":1,"title":"a"}'),
    (s.Movie, {"title": "a"}, None),
    (s.Partial, {"title": "a"}, None),
    # unions
    (Optional[s.Item], None, "null"),  # noqa: UP045
    (Optional[s.Item], s.Item("a", 1), '{"name":"a","price":1,"tags":[]}'),  # noqa: UP045
    (s.Counter | s.Item, s.Counter(1), '{"$type":"Counter","n":1}'),
    (s.Counter | s.SubCounter, s.SubCounter(1), None),
    (Union[s.Counter, s.Item, None], None, "null"),  # noqa: UP007 - the other spelling
    (s.Item | str, "Item", '"Item"'),
    (s.Counter | dict[str, int], {"$type": 1, "n": 1}, None),
    (s.Movie | s.Partial, {"title": "a", "year": 1}, None),
    (dt.datetime | int, NAIVE, '"2026-01-02T03:04:05.000678"'),
    (dt.datetime | str, NAIVE, '{"$type":"datetime","value":"2026-01-02T03:04:05.000678"}'),
    (dt.datetime | str, "2026-01-02T03:04:05", '"2026-01-02T03:04:05"'),
    (dt.datetime | dt.date, dt.date(2026, 1, 1), None),
    (list[int] | tuple[int, ...], (1,), None),
    (list[int] | list[str], ["a"], None),
    (s.Box[int] | s.Box[str], s.Box("a"), None),
    (s.Colour | Literal["red"], "red", '"red"'),
    (s.Colour | Literal["red"], s.Colour.RED, None),
    (Decimal | float, Decimal(1), '"1"'),
    (s.Plus | s.Number, s.Plus(s.Number(1.0), s.Plus(s.Number(2), s.Number(3))), None),
    (s.Model | s.Counter, s.Model(when=NAIVE), None),
    # pydantic
    (s.Model, s.Model(when=NAIVE, tags={"a"}, s=3), None),
    (list[s.Model], [s.Model(when=NAIVE)], None),
    (s.Names, s.Names(["a"]), '["a"]'),
]


def _id(each: object) -> str:
    """The same in every process: the order in which a set shows its strings is not."""
    return f"{type(each).__name__} of {len(each)}" if isinstance(each, (set, frozenset)) else repr(each)[:60]


@pytest.mark.parametrize(("hint", "value", "text"), KEPT, ids=_id)
def test_a_value_of_its_type_comes_back_the_same_in_value_and_type(hint: Any, value: Any, text: str | None) -> None:
    codec = codec_for(hint)

    encoded = codec.encode(value)

    assert same(value, codec.decode(encoded.text)) is None
    assert text is None or text == encoded.text
    assert same(value, codec.from_data(json.loads(encoded.text))) is None
    assert json.loads(encoded.text) == codec.to_data(value)


def test_an_int_in_a_float_field_stays_an_int() -> None:
    codec = codec_for(s.Point)

    x = codec.decode(codec.encode(s.Point(3)).text).x

    assert (3, int) == (x, type(x))


def test_a_zone_comes_back_as_a_zoneinfo_with_its_fold() -> None:
    codec = codec_for(dt.datetime)

    for fold in (0, 1):
        came = codec.decode(codec.encode(REPEATED.replace(fold=fold)).text)
        assert (ROME, fold) == (came.tzinfo, came.fold)


def test_a_cached_property_that_was_read_is_not_part_of_the_value() -> None:
    value = s.WithCache(4)
    assert value.double == 8

    came = codec_for(s.WithCache).decode(codec_for(s.WithCache).encode(value).text)

    assert "double" not in vars(came)


def test_a_class_made_inside_a_function_may_refer_to_itself() -> None:
    import attrs

    @attrs.frozen
    class Local:
        n: int
        below: Local | None = None

    codec = codec_for(Local)

    assert codec.decode(codec.encode(Local(1, Local(2))).text) == Local(1, Local(2))


def test_fields_may_have_the_names_that_generated_code_uses() -> None:
    import attrs

    names = ["cl", "converter", "attrs", "data", "value", "cls", "at", "write", "Mismatch", "res", "o", "errors", "v0"]
    odd = attrs.make_class("OddNames", {name: attrs.field(type=int) for name in names})
    value = odd(*range(len(names)))

    assert codec_for(odd).decode(codec_for(odd).encode(value).text) == value


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type aliases that contain themselves need the type statement")
def test_a_type_alias_may_contain_itself() -> None:
    scope: dict[str, Any] = {}
    exec("type Tree = dict[int, Tree] | int", scope)
    codec = codec_for(scope["Tree"])

    assert codec.decode(codec.encode({1: {2: {}, 3: 4}}).text) == {1: {2: {}, 3: 4}}


def test_nesting_of_a_hundred_levels_comes_back() -> None:
    value: Any = []
    node = s.Node(0)
    for level in range(90):
        value, node = [value], s.Node(level, [node])

    assert value == codec_for(object).decode(codec_for(object).encode(value).text)
    assert node == codec_for(s.Node).decode(codec_for(s.Node).encode(node).text)


def test_a_state_that_a_default_was_added_to_reads_older_states() -> None:
    assert s.Item("a", 1, ()) == codec_for(s.Item).decode('{"name":"a","price":1}')


def test_equal_sets_have_one_text() -> None:
    one, other = {"a", "b", "c", "d"}, {"d", "c", "b", "a"}

    assert codec_for(set[str]).encode(one) == codec_for(set[str]).encode(other)


def test_infinity_is_refused_even_where_json_spells_it_as_a_number() -> None:
    assert math.isinf(json.loads("1e999"))
    with pytest.raises(ValueNotDecodable) as caught:
        codec_for(s.Number).decode('{"value":1e999}')
    assert str(caught.value) == "state.value: expected float, found inf"
