"""Arguments are validated before a tool is called: strictly, all faults at once, each with its path."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from pathlib import Path
from typing import Any, Literal, TypedDict
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom_core.contracts.tools import ToolContext
from loom_core.errors import ToolArgumentsInvalid
from loom_core.tools import arguments_from_json, tool

CONTEXT = ToolContext(run_id="r", call_id="0/0", key="k", epoch=1, deadline=None)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Point:
    x: int
    _hidden: int = attrs.field(default=0, validator=attrs.validators.ge(0))


@dataclasses.dataclass(frozen=True)
class Line:
    start: Point
    end: Point


class Query(TypedDict):
    text: str


def faults(of: Any, *args: Any, **kwargs: Any) -> tuple[str, ...]:
    with pytest.raises(ToolArgumentsInvalid) as refused:
        of.bind(args, kwargs)
    return refused.value.faults


@tool
def typed(n: int = 0, f: float = 0.0, s: str = "", b: bool = False, u: int | str = 0) -> None: ...


@pytest.mark.parametrize(
    ("given_value", "fault"),
    [
        ({"n": "5"}, "n: expected int, found str"),
        ({"n": True}, "n: expected int, found bool"),
        ({"n": 5.0}, "n: expected int, found float"),
        ({"n": None}, "n: expected int, found None"),
        ({"f": "1.5"}, "f: expected float, found str"),
        ({"f": True}, "f: expected float, found bool"),
        ({"f": float("nan")}, "f: nan is no JSON number"),
        ({"f": 10**400}, "f: the number is too large for a float"),
        ({"s": 5}, "s: expected str, found int"),
        ({"s": "\ud800"}, "s: the text holds half a character (a lone surrogate)"),
        ({"b": 1}, "b: expected bool, found int"),
        ({"b": "true"}, "b: expected bool, found str"),
        ({"u": 1.5}, "u: expected int or str, found float"),
        ({"m": 1}, "m: there is no such argument"),
    ],
)
def test_nothing_is_converted_that_json_can_tell_apart(given_value: dict[str, Any], fault: str) -> None:
    found = faults(typed, **given_value)
    assert len(found) == 1
    assert found[0].startswith(fault)


def test_an_integer_is_a_float_where_one_is_asked_for() -> None:
    bound = typed.bind((), {"f": 5})
    assert (bound, type(bound["f"])) == ({"f": 5.0}, float)


def test_an_integer_stays_one_where_it_may() -> None:
    @tool
    def either(x: float | int) -> None: ...

    assert type(either.bind((5,), {})["x"]) is int


def test_every_fault_is_told_at_once_with_its_path() -> None:
    @tool
    def draw(lines: list[Line], colour: Colour, width: int, query: Query) -> None: ...

    found = faults(
        draw,
        lines=[{"start": {"x": 1}, "end": {"x": "2", "z": 0}}, {"start": {"_hidden": 1}}],
        colour="green",
        query={},
        widht=3,
    )
    assert found == (
        "lines[0].end.z: there is no such field",
        "lines[0].end.x: expected int, found str",
        "lines[1].start.x: missing",
        "lines[1].end: missing",
        "colour: expected one of 'red', 'blue', found 'green'",
        "query.text: missing",
        "widht: there is no such argument; did you mean `width`?",
        "width: missing",
    )


def test_data_and_values_are_both_taken_and_encode_alike() -> None:
    @tool
    def draw(
        line: Line, colour: Colour = Colour.RED, at: dt.date | None = None, few: frozenset[int] = frozenset()
    ) -> None: ...

    line = Line(Point(1), Point(2, 3))
    data = {"start": {"x": 1}, "end": {"x": 2, "_hidden": 3}}
    from_data = draw.bind((data, "blue"), {"at": "2024-02-29", "few": [1]})
    from_values = draw.bind((line, Colour.BLUE), {"at": dt.date(2024, 2, 29), "few": {1}})
    assert from_data == from_values == {"line": line, "colour": Colour.BLUE, "at": dt.date(2024, 2, 29), "few": {1}}
    assert draw.encode_arguments(from_data) == draw.encode_arguments(from_values)


def test_what_is_bound_is_what_was_given_without_defaults() -> None:
    assert typed.bind((), {}) == {}
    assert typed.bind((1,), {"s": "x"}) == {"n": 1, "s": "x"}


@pytest.mark.parametrize(
    ("args", "kwargs", "fault"),
    [
        ((1, 2.0, "", True, 1, 6), {}, "6 positional arguments given, at most 5 are taken"),
        ((1,), {"n": 2}, "n: given twice, by position and by name"),
    ],
)
def test_python_would_refuse_these_too(args: tuple[Any, ...], kwargs: dict[str, Any], fault: str) -> None:
    assert faults(typed, *args, **kwargs) == (fault,)


@pytest.mark.parametrize(
    ("hint", "value", "fault"),
    [
        (list[int], (1, "a"), "x[1]: expected int, found str"),
        (list[int], "12", "x: expected list, found str"),
        (tuple[int, str], [1], "x: expected 2 items, found 1"),
        (set[int], [1, 1], "x: an item stands twice"),
        (dict[str, int], {"a": "b"}, "x.a: expected int, found str"),
        (dict[str, int], {1: 1}, "x (key 1): expected str, found int"),
        (dt.datetime, "yesterday", "x: 'yesterday' is not a datetime"),
        (UUID, "12", "x: '12' is not a UUID"),
        (Literal[1, "a"], True, "x: expected one of 1, 'a', found True"),
        (Point, {"x": 1, "_hidden": -1}, "x: ValueError: '_hidden' must be >= 0: -1"),
        (Point | None, {"x": "1"}, "x.x: expected int, found str"),
        (Any, object(), "x: expected JSON data, found object"),
        (Point, Point("not an int"), "x.x: expected int, found str"),  # type: ignore[arg-type]
    ],
)
def test_faults_inside_a_value_are_named(hint: Any, value: Any, fault: str) -> None:
    def use(x: Any) -> None: ...

    use.__annotations__["x"] = hint
    found = faults(tool(use), x=value)
    assert len(found) == 1
    assert found[0].startswith(fault)


def test_paths_become_paths() -> None:
    @tool
    def read(path: Path) -> None: ...

    assert read.bind(("a/b",), {}) == {"path": Path("a/b")}
    assert read.encode_arguments({"path": Path("a/b")}) == {"path": "a/b"}


def test_results_come_back_as_they_went() -> None:
    @tool
    def measure() -> Line: ...  # type: ignore[empty-body]

    line = Line(Point(1), Point(2))
    assert measure.decode_result(measure.encode_result(line)) == line


def test_positional_only_and_keyword_only_parameters_are_passed_as_they_must_be() -> None:
    @tool
    def odd(a: int = 1, b: int = 2, /, c: int = 3, *, d: int = 4) -> tuple[int, ...]:
        return (a, b, c, d)

    assert odd.call(odd.bind((), {"b": 20, "d": 40}), CONTEXT) == (1, 20, 3, 40)


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_arguments_are_an_empty_object(text: str) -> None:
    assert arguments_from_json(typed, text) == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "the arguments are not JSON: "),
        ("[1]", "the arguments must be a JSON object, not an array"),
        ("null", "the arguments must be a JSON object, not null"),
        ("5", "the arguments must be a JSON object, not a number"),
        ('{"a": 1, "a": 2}', 'the arguments are not usable JSON: the key "a" stands twice in one object'),
        ('{"a": {"b": 1, "b": 1}}', 'the arguments are not usable JSON: the key "b" stands twice in one object'),
        ('{"a": NaN}', "the arguments are not usable JSON: NaN is no JSON number"),
        ('{"a": -Infinity}', "the arguments are not usable JSON: -Infinity is no JSON number"),
        ('{"a": 1e999}', "the arguments are not usable JSON: 1e999 is too large for a number"),
        ('{"a": "\\ud800"}', "the arguments hold half a character (a lone surrogate)"),
        ('{"a": ' + "9" * 5000 + "}", "the arguments are not usable JSON: "),
        ('{"a": ' + "[" * 100_000, "the arguments are not usable JSON: nested too deeply"),
    ],
)
def test_what_a_model_writes_is_json_or_a_fault(text: str, fault: str) -> None:
    with pytest.raises(ToolArgumentsInvalid) as refused:
        arguments_from_json(typed, text)
    assert refused.value.faults[0].startswith(fault)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=6,
)


@tool
def everything(
    n: int, f: float, many: list[int | str], line: Line | None, query: Query, few: set[bool], table: dict[str, Any]
) -> None: ...


@given(st.dictionaries(st.sampled_from(["n", "f", "many", "line", "query", "few", "table", "extra"]), JSON))
def test_any_json_is_bound_or_refused_with_paths_and_what_is_bound_can_be_recorded(data: dict[str, Any]) -> None:
    try:
        bound = everything.bind((), data)
    except ToolArgumentsInvalid as refused:
        assert refused.faults
        assert all(": " in fault for fault in refused.faults)
    else:
        recorded = everything.encode_arguments(bound)
        assert everything.encode_arguments(everything.bind((), recorded)) == recorded  # type: ignore[arg-type]
