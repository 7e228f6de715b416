"""For any type and any value: refused when encoded, or the same when decoded."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import functools
import json
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, Union
from uuid import UUID

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loom_core.errors import ValueNotDecodable, ValueNotEncodable
from loom_core.values import Codec, codec_for, same
from tests.core.values import shapes as s

ZONES = [dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=45)), *map(zoneinfo.ZoneInfo, ("Europe/Rome", "Asia/Tokyo"))]
TEXT = st.text(st.characters(codec=None, categories=None), max_size=8)
MOMENTS = st.datetimes(timezones=st.none() | st.sampled_from(ZONES), allow_imaginary=True)

SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (type(None), st.none()),
    (bool, st.booleans()),
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False) | st.integers()),
    (str, TEXT),
    (bytes, st.binary(max_size=8)),
    (dt.datetime, st.builds(lambda at, fold: at.replace(fold=fold), MOMENTS, st.integers(0, 1))),
    (dt.date, st.dates()),
    (dt.time, st.times()),
    (dt.timedelta, st.timedeltas()),
    (Decimal, st.decimals(allow_nan=False)),
    (UUID, st.uuids()),
    (s.Colour, st.sampled_from(s.Colour)),
    (s.Level, st.sampled_from(s.Level)),
    (s.Odd, st.sampled_from(s.Odd)),
    (Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None])),
    (s.Counter, st.builds(s.Counter, st.integers())),
    (s.Pair, st.builds(s.Pair, st.integers(), TEXT)),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ANYTHING = st.recursive(
    st.one_of(
        *(values for _, values in SCALARS),
        st.floats(),
        st.builds(s.SubCounter, st.integers()),
        st.builds(s.Counter, st.booleans() | TEXT),
        st.builds(s.Text, TEXT),
        st.builds(object),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(TEXT | st.integers() | st.booleans(), inner, max_size=3),
        st.builds(s.Box, inner),
        st.builds(lambda one, two: s.Pair(one, two), inner, inner),
    ),
    max_leaves=6,
)


def hashable(pair: tuple[Any, st.SearchStrategy[Any]]) -> bool:
    return pair[0] in {hint for hint, _ in SCALARS}


@st.composite
def typed(draw: Callable[..., Any], depth: int = 3) -> tuple[Any, st.SearchStrategy[Any]]:
    """Draw a hint and the strategy of its values."""
    if depth == 0:
        return draw(st.sampled_from(SCALARS))
    inner = typed(depth=depth - 1)
    scalar = st.sampled_from(SCALARS)
    kind = draw(st.sampled_from(["scalar", "list", "tuple", "fixed", "set", "dict", "union", "class", "box"]))
    if kind == "scalar":
        return draw(scalar)
    if kind == "set":
        hint, values = draw(scalar)
        return set[hint], st.sets(values, max_size=4)
    if kind == "dict":
        (key, keys), (hint, values) = draw(scalar), draw(inner)
        return dict[key, hint], st.dictionaries(keys, values, max_size=3)
    if kind == "fixed":
        (one, ones), (two, twos) = draw(inner), draw(inner)
        return tuple[one, two], st.tuples(ones, twos)
    if kind == "union":
        pairs = draw(st.lists(inner, min_size=2, max_size=4))
        return Union[tuple(hint for hint, _ in pairs)], st.one_of(*(values for _, values in pairs))  # noqa: UP007
    hint, values = draw(inner)
    if kind == "list":
        return list[hint], st.lists(values, max_size=4)
    if kind == "tuple":
        return tuple[hint, ...], st.lists(values, max_size=4).map(tuple)
    if kind == "box":
        return s.Box[hint], st.builds(s.Box, values, st.lists(values, max_size=2))
    made = attrs.make_class("Made", {"one": attrs.field(type=hint), "_two": attrs.field(type=int, default=0)})
    return made, st.builds(made, values, st.integers())


def codec_of(hint: Any) -> Codec | None:
    try:
        return codec_for(hint)
    except ValueNotEncodable:
        return None


def agrees(codec: Codec, value: Any) -> bool:
    """Whether the value was accepted; fails if it was accepted and comes back changed."""
    try:
        encoded = codec.encode(value)
    except ValueNotEncodable:
        return False
    encoded.text.encode()
    came = codec.decode(encoded.text)
    assert same(value, came) is None
    assert encoded == codec.encode(came)
    return True


quick = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)


@quick
@given(st.data())
def test_a_value_of_the_type_is_refused_or_comes_back_the_same(data: st.DataObject) -> None:
    hint, values = data.draw(typed())
    codec = codec_of(hint)
    if codec is not None:
        agrees(codec, data.draw(values))


@quick
@given(st.data())
def test_a_value_of_any_other_type_is_refused_or_comes_back_the_same(data: st.DataObject) -> None:
    hint, _values = data.draw(typed(depth=2))
    codec = codec_of(hint)
    if codec is not None:
        agrees(codec, data.draw(ANYTHING))


@quick
@given(ANYTHING)
def test_without_a_hint_a_value_is_refused_or_comes_back_the_same(value: Any) -> None:
    agrees(codec_for(object), value)


@quick
@given(JSON)
def test_json_values_are_accepted_unless_surrogates_would_join(value: Any) -> None:
    joins = json.loads(json.dumps(value)) != value

    assert agrees(codec_for(object), value) is not joins


@quick
@given(st.data())
def test_scalars_of_their_own_type_are_never_refused(data: st.DataObject) -> None:
    hint, values = data.draw(st.sampled_from([pair for pair in SCALARS if pair[0] not in (str, s.Pair)]))

    assert agrees(codec_for(hint), data.draw(values))


@quick
@given(st.data())
def test_any_json_is_decoded_or_refused_with_a_path(data: st.DataObject) -> None:
    hint, _values = data.draw(typed(depth=2))
    codec = codec_of(hint)
    text = json.dumps(data.draw(JSON))
    if codec is None:
        return
    try:
        value = codec.decode(text)
    except ValueNotDecodable as refusal:
        assert refusal.path.startswith("state")
    else:
        agrees(codec, value)


@quick
@given(JSON, JSON)
def test_same_is_what_the_literal_forms_say(one: Any, other: Any) -> None:
    assert (repr(one) == repr(other)) is (same(one, other) is None)
    assert same(one, copy.deepcopy(one)) is None


def test_unlike_values_that_python_takes_for_equal_are_told_apart() -> None:
    class Number(enum.IntEnum):
        ONE = 1

    unlike = [1, True, 1.0, Decimal(1), Number.ONE]
    for one in unlike:
        assert [one is other for other in unlike] == [same(one, other) is None for other in unlike]
    assert same([{"a": (1,)}], [{"a": [1]}], what="state") == "state[0].a: tuple comes back as list"
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1}) is not None
    assert same(0.0, -0.0) is not None
    assert same(Decimal("1.0"), Decimal("1.00")) is not None
    assert same({1}, {True}) is not None
    assert same(functools.partial, functools.partial) is None
