"""What a model sees of a tool: its JSON Schema, made of the hints."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import attrs
import pytest

from loom_core.contracts.tools import ToolContext
from loom_core.tools import ToolDefinitionError, tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Point:
    x: int
    y: Annotated[int, "upwards"] = 0


@dataclasses.dataclass
class Node:
    name: str
    children: list[Node] = dataclasses.field(default_factory=list)


class Query(TypedDict):
    text: str
    limit: NotRequired[int]


def properties(of: Any) -> dict[str, Any]:
    found = of.parameters["properties"]
    assert isinstance(found, dict)
    return found


def test_parameters_are_an_object_that_admits_nothing_else() -> None:
    @tool
    def add(a: int, b: int = 2) -> int:
        """Add."""
        return a + b

    assert add.parameters == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 2}},
        "additionalProperties": False,
        "required": ["a"],
    }


def test_every_supported_hint_has_its_schema() -> None:
    @tool
    def every(
        text: str,
        number: float,
        yes: bool,
        maybe: int | None,
        choice: Literal["a", 1],
        colour: Colour,
        many: list[int],
        pair: tuple[int, str],
        few: set[str],
        table: dict[str, float],
        when: dt.datetime,
        path: Path,
        anything: Any,
        point: Point,
        query: Query,
        none: None = None,
    ) -> None: ...

    assert properties(every) == {
        "text": {"type": "string"},
        "number": {"type": "number"},
        "yes": {"type": "boolean"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "choice": {"enum": ["a", 1]},
        "colour": {"enum": ["red", "blue"]},
        "many": {"type": "array", "items": {"type": "integer"}},
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "minItems": 2,
            "maxItems": 2,
            "items": False,
        },
        "few": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "table": {"type": "object", "additionalProperties": {"type": "number"}},
        "when": {"type": "string", "format": "date-time"},
        "path": {"type": "string"},
        "anything": {},
        "point": {
            "type": "object",
            "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "description": "upwards"}},
            "additionalProperties": False,
            "required": ["x"],
        },
        "query": {
            "type": "object",
            "properties": {"text": {"type": "string"}, "limit": {"type": "integer"}},
            "additionalProperties": False,
            "required": ["text"],
        },
        "none": {"type": "null", "default": None},
    }


def test_a_class_that_contains_itself_is_a_definition() -> None:
    @tool
    def walk(tree: Node) -> None: ...

    node = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
        "additionalProperties": False,
        "required": ["name"],
    }
    assert properties(walk) == {"tree": {"$ref": "#/$defs/Node"}}
    assert walk.parameters["$defs"] == {"Node": node}


GOOGLE = """Find.

    More words.

    Args:
        what: What to find,
            in words.
        limit (int): How many.

    Returns:
        what: no.
"""
SPHINX = """Find.

    More words.

    :param what: What to find,
        in words.
    :param int limit: How many.
    :returns: nothing
"""


@pytest.mark.parametrize("docstring", [GOOGLE, SPHINX])
def test_descriptions_come_from_the_docstring(docstring: str) -> None:
    def find(what: str, limit: int = 3) -> None: ...

    find.__doc__ = docstring
    made = tool(find)
    assert made.description == "Find.\n\nMore words."
    assert properties(made)["what"]["description"] == "What to find, in words."
    assert properties(made)["limit"]["description"] == "How many."


def test_annotated_wins_over_the_docstring_and_a_given_description_over_both() -> None:
    @tool(description="Given.")
    def find(what: Annotated[str, "from the hint"]) -> None:
        """Written.

        Args:
            what: from the docstring
        """

    assert find.description == "Given."
    assert properties(find)["what"] == {"type": "string", "description": "from the hint"}


def test_the_context_is_no_argument() -> None:
    @tool
    def pay(amount: int, context: ToolContext) -> str:
        return f"{amount} under {context.key}"

    assert list(properties(pay)) == ["amount"]
    context = ToolContext(run_id="r", call_id="0/0", key="k", epoch=1, deadline=None)
    assert pay.call(pay.bind((), {"amount": 3}), context) == "3 under k"


def test_a_default_of_none_admits_null() -> None:
    @tool
    def find(what: str = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert properties(find)["what"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}


def test_a_default_that_json_does_not_know_is_not_shown() -> None:
    nothing: Any = object()

    @tool
    def find(what: str = nothing) -> bool:
        return what is nothing

    assert properties(find)["what"] == {"type": "string"}
    assert find.call(find.bind((), {}), ToolContext(run_id="", call_id="", key="", epoch=0, deadline=None)) is True


def test_a_tool_is_still_its_function() -> None:
    @tool(name="sum-of-two", effect="read", timeout_s=5)
    def add(a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    assert (add(1, 2), add(b=4, a=3)) == (3, 7)
    assert (add.name, add.effect, add.timeout_s, add.blocking) == ("sum-of-two", "read", 5, True)
    assert (add.__name__, add.__doc__, list(inspect.signature(add).parameters)) == ("add", "Add.", ["a", "b"])
    assert repr(add) == "<tool sum-of-two (read)>"


def test_the_effect_is_once_unless_it_is_declared() -> None:
    @tool
    async def send(text: str) -> None: ...

    assert (send.effect, send.blocking, send.reconcile) == ("once", False, None)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda: _unhinted, "parameter `b` has no type hint"),
        (lambda: _starred, "parameter `*rest` cannot be described to a model"),
        (lambda: _odd_hint, "parameter `b`: not supported: the type complex"),
        (lambda: _odd_key, "parameter `b`: not supported: a dict with keys of int: the keys of a JSON object are str"),
        (
            lambda: _reserved,
            "a parameter cannot be named `idempotency_key`, which is an argument of `ctx.call_tool` itself",
        ),
        (
            lambda: _unresolved,
            "parameter `b`: its hint 'NoSuchType' cannot be resolved: name 'NoSuchType' is not defined",
        ),
        (lambda: _odd_result, "the result: the type complex has no stored form"),
        (lambda: _generator, "a generator returns no result"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_at_decoration_by_name(write: Any, message: str) -> None:
    with pytest.raises(ToolDefinitionError) as refused:
        tool(write())
    assert str(refused.value) == f"tool `{write().__name__}`: {message}"
    assert refused.value.hint


def _unhinted(a: int, b) -> None: ...  # type: ignore[no-untyped-def]
def _starred(a: int, *rest: int) -> None: ...
def _odd_hint(a: int, b: complex) -> None: ...
def _odd_key(a: int, b: dict[int, str]) -> None: ...
def _reserved(a: int, idempotency_key: str) -> None: ...
def _unresolved(a: int, b: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def _odd_result(a: int) -> complex: ...  # type: ignore[empty-body]
def _generator(a: int) -> Any:
    yield a


@pytest.mark.parametrize(
    "options", [{"name": "no spaces"}, {"name": ""}, {"name": "x" * 65}, {"effect": "twice"}, {"timeout_s": 0}]
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    def fine(a: int) -> int:
        return a

    with pytest.raises(ToolDefinitionError):
        tool(**options)(fine)


def test_a_local_class_is_found_under_postponed_annotations() -> None:
    @dataclasses.dataclass
    class Local:
        n: int

    @tool
    def use(value: Local) -> int:
        return value.n

    assert use.bind((), {"value": {"n": 3}}) == {"value": Local(3)}


def test_importing_tools_imports_neither_asyncio_nor_cattrs_nor_the_codec() -> None:
    check = (
        "import sys; before = set(sys.modules); import loom_core.tools; "
        "new = set(sys.modules) - before; print(sorted({'asyncio', 'cattrs', 'loom_core.values'} & new))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
