"""A binder binds exactly as the function does that it stands for: values, errors, texts."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from typing import Any

import pytest

from loom_core.tailcalls.binder import follow, make_binder, parameter_names

SIGNATURES = [
    "",
    "a",
    "a, b=1",
    "a, /, b, *, k, m=2",
    "a, *args, k=3",
    "*args, **kwargs",
    "a, b=1, /, c=2, *args, k, m=5, **kwargs",
    "__private, *, __key=1",
]
CALLS = [
    "",
    "1",
    "1, 2",
    "1, 2, 3, 4",
    "a=1",
    "1, a=2",
    "1, k=2",
    "1, 2, k=3, z=4",
    "1, 2, 3, k=3, **{'m': 1, 'z': 2}",
    "*[1, 2], **{'k': 1}",
    "*[1, 2], *(3, 4), k=1",
    "1, **{'a': 1}",
    "1, k=1, **{'k': 2}",
    "1, **{'k': 1}, **{'k': 2}",
    "1, **{5: 1}",
    "*5",
    "**5",
    "1, _C__private=2",
    "1, _C__key=2",
]


def function(signature: str) -> Any:
    """Return ``C.f`` with the signature, which returns its variables by name."""
    names: dict[str, Any] = {"__name__": "some.module"}
    exec(f"class C:\n    async def f({signature}): ...\n    def g({signature}): return locals()", names)
    return names["C"]


def outcome(call: str, callee: Callable[..., object]) -> object:
    try:
        return "returned", eval(f"fn({call})", {"fn": callee})
    except TypeError as error:
        return "raised", str(error)


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("call", CALLS)
def test_values_and_texts_of_errors_are_pythons_own(signature: str, call: str) -> None:
    of = function(signature)
    of.g.__name__, of.g.__qualname__ = of.f.__name__, of.f.__qualname__
    binder = make_binder(of.f)
    kind, expected = outcome(call, of.g)
    if isinstance(expected, dict):
        expected = tuple(expected[name] for name in parameter_names(of.f.__code__))
    assert outcome(call, binder) == (kind, expected)


def test_parameters_come_in_the_order_of_a_frame() -> None:
    of = function("a, /, b, *args, k, **kwargs")
    assert parameter_names(of.f.__code__) == ("a", "b", "k", "args", "kwargs")
    assert make_binder(of.f)(1, 2, 3, k=4, z=5) == (1, 2, 4, (3,), {"z": 5})


def test_further_keywords_come_in_a_dict_that_is_new_at_each_call() -> None:
    given = {"z": 1}
    binder = make_binder(function("**kwargs").f)
    (one,), (other,) = binder(**given), binder(**given)
    assert one == other == given
    assert one is not other
    assert one is not given


def test_defaults_are_the_functions_own_objects_and_are_followed() -> None:
    fn = function("a=[], *, k=[]").f
    binder = make_binder(fn)
    assert [id(one) for one in binder()] == [id(fn.__defaults__[0]), id(fn.__kwdefaults__["k"])]
    fn.__kwdefaults__["k"] = 5
    assert binder()[1] == 5
    fn.__defaults__, fn.__kwdefaults__, fn.__qualname__ = None, None, "renamed"
    follow(binder, fn)
    with pytest.raises(TypeError, match=r"^renamed\(\) missing 1 required positional argument: 'a'$"):
        binder()


def test_values_are_handed_to_the_result() -> None:
    assert make_binder(function("a, b").f, list)(1, 2) == [1, 2]


def test_a_binder_keeps_neither_the_function_nor_its_globals() -> None:
    fn = function("a").f
    binder = make_binder(fn)
    assert fn.__globals__ not in (binder.__globals__, *binder.__globals__.values())
    assert binder.__closure__ is None
    assert vars(binder) == {}


def test_a_binder_stands_where_the_function_does() -> None:
    source = "\n\nasync def f(a): ...\n"
    linecache.cache["<where>"] = (len(source), None, source.splitlines(keepends=True), "<where>")
    names: dict[str, Any] = {"__name__": "there"}
    exec(compile(ast.parse(source), "<where>", "exec"), names)
    binder = make_binder(names["f"])
    assert (binder.__code__.co_filename, binder.__code__.co_firstlineno, binder.__module__) == ("<where>", 3, "there")
