"""The registry: names, typed and untyped functions, calls outside a run."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from loom_core.contracts.models import ToolSpec
from loom_core.contracts.tools import Tool, ToolContext
from loom_core.errors import ToolArgumentsInvalid, ToolNotFound
from loom_core.tools import ToolDefinitionError, ToolRegistry, tool


@tool(effect="read")
def double(n: int) -> int:
    """Double a number."""
    return 2 * n


def test_a_function_is_called_by_name() -> None:
    registry = ToolRegistry()

    @registry.tool("add")
    async def add(a, b=1):  # type: ignore[no-untyped-def]
        return a + b

    registry.register("half", lambda n: n / 2)
    assert registry.names() == ("add", "half")
    assert asyncio.run(registry.call("add", 1, b=2)) == 3
    assert asyncio.run(registry.call("half", 3)) == 1.5
    assert asyncio.run(add(1)) == 2


def test_an_untyped_function_takes_any_json_and_only_json() -> None:
    def legacy(a, *rest, key=None, **more):  # type: ignore[no-untyped-def]
        return [a, list(rest), key, more]

    registry = ToolRegistry()
    made = registry.register("legacy", legacy)
    assert made.parameters == {
        "type": "object",
        "properties": {"a": {}, "rest": {"type": "array", "items": {}}, "key": {"default": None}},
        "additionalProperties": True,
        "required": ["a"],
    }
    call = functools.partial(registry.call, "legacy")
    assert asyncio.run(call({"x": [1]}, 2, 3, key="k", extra=4)) == [{"x": [1]}, [2, 3], "k", {"extra": 4}]
    assert asyncio.run(call(a=1, rest=[2])) == [1, [2], None, {}]
    assert asyncio.run(call(a=1)) == [1, [], None, {}]
    with pytest.raises(ToolArgumentsInvalid) as refused:
        asyncio.run(call(object()))
    assert refused.value.faults == ("a: expected JSON data, found object",)


def test_hints_are_checked_where_an_otherwise_untyped_function_has_them() -> None:
    registry = ToolRegistry()

    @registry.tool("mixed")
    def mixed(n: int, anything):  # type: ignore[no-untyped-def]
        return n

    with pytest.raises(ToolArgumentsInvalid) as refused:
        asyncio.run(registry.call("mixed", "1", "2"))
    assert refused.value.faults == ("n: expected int, found str",)


def test_a_tool_is_registered_under_its_own_name_or_another() -> None:
    registry = ToolRegistry()
    registry.register(double)
    registry.register("twice", double)
    assert registry.names() == ("double", "twice")
    assert (registry.get("twice").name, registry.get("twice").effect) == ("twice", "read")
    with pytest.raises(ToolArgumentsInvalid, match="tool `twice` was not called: n: missing"):
        registry.get("twice").bind((), {})
    assert asyncio.run(registry.call("twice", 4)) == 8


def test_models_see_every_tool() -> None:
    registry = ToolRegistry()
    registry.register(double)
    assert registry.specs() == (ToolSpec(name="double", description="Double a number.", parameters=double.parameters),)


def test_a_name_is_used_once() -> None:
    registry = ToolRegistry()
    registry.register(double)
    with pytest.raises(ToolDefinitionError, match="tool `double`: the name is in use"):
        registry.register("double", lambda: None)
    assert registry.get("double") is double


@pytest.mark.parametrize(
    "register",
    [
        lambda registry: registry.register("alone"),
        lambda registry: registry.register(len),
        lambda registry: registry.register(double, effect="once", timeout_s=3),
        lambda registry: registry.register("odd name", lambda: None),
        lambda registry: registry.register("reserved", lambda idempotency_key: None),
        lambda registry: registry.register("value", 5),
    ],
)
def test_what_makes_no_tool_is_refused(register: Any) -> None:
    registry = ToolRegistry()
    with pytest.raises(ToolDefinitionError):
        register(registry)
    assert registry.names() == ()


def test_an_unknown_tool_names_the_known_ones() -> None:
    registry = ToolRegistry()
    registry.register(double)
    with pytest.raises(ToolNotFound) as missing:
        registry.get("triple")
    assert (missing.value.known, missing.value.hint) == (("double",), "tools there are: double")


def test_call_result_returns_what_call_raises() -> None:
    registry = ToolRegistry()

    @registry.tool("fail")
    def fail() -> None:
        raise LookupError("gone")

    registry.register(double)
    good = asyncio.run(registry.call_result("double", 2))
    assert (good.ok, good.value, good.error) == (True, 4, None)
    for name, kind in (("fail", LookupError), ("double", ToolArgumentsInvalid), ("none", ToolNotFound)):
        result = asyncio.run(registry.call_result(name))
        assert (result.ok, result.value, type(result.error)) == (False, None, kind)


def test_a_tool_may_have_a_parameter_called_name() -> None:
    registry = ToolRegistry()
    registry.register("greet", lambda name: f"hello {name}")
    assert asyncio.run(registry.call("greet", name="Ada")) == "hello Ada"


def test_outside_a_run_each_call_has_a_key_of_its_own_and_its_deadline() -> None:
    registry = ToolRegistry()
    seen: list[ToolContext] = []

    @registry.tool("note", timeout_s=60)
    def note(context: ToolContext) -> None:
        seen.append(context)

    asyncio.run(registry.call("note"))
    asyncio.run(registry.call("note"))
    assert seen[0].key != seen[1].key
    assert all(one.deadline is not None for one in seen)


def test_methods_partials_and_callable_objects_are_functions_too() -> None:
    class Counter:
        def __init__(self) -> None:
            self.total = 0

        def add(self, n: int) -> int:
            self.total += n
            return self.total

        async def __call__(self, n: int) -> int:
            return self.add(n)

    counter = Counter()
    registry = ToolRegistry()
    registry.register("add", counter.add)
    registry.register("add_two", functools.partial(counter.add, 2))
    made = registry.register("call", counter)
    assert (made.blocking, registry.get("add").blocking) == (False, True)
    assert asyncio.run(registry.call("add", 1)) == 1
    assert asyncio.run(registry.call("call", 5)) == 6
    assert asyncio.run(registry.call("add_two")) == 8


def test_a_foreign_object_that_is_a_tool_is_taken_as_it_is() -> None:
    class Foreign:
        name, description, effect, timeout_s, reconcile, blocking = "foreign", "", "read", None, None, True
        parameters: dict[str, object] = {"type": "object"}

        def bind(self, args: Any, kwargs: Any) -> dict[str, object]:
            return dict(kwargs)

        def encode_arguments(self, arguments: Any) -> object:
            return arguments

        encode_result = decode_result = encode_arguments

        def call(self, arguments: Any, context: ToolContext) -> object:
            return arguments

    foreign: Any = Foreign()
    registry = ToolRegistry()
    checked: Tool = foreign
    assert registry.register(checked) is foreign
    assert asyncio.run(registry.call("foreign", a=1)) == {"a": 1}
    with pytest.raises(ToolDefinitionError, match="the tool's own name is `foreign`"):
        registry.register("other", foreign)
