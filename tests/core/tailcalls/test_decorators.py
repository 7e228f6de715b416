"""Decorators above and below, options, and what the explanation says of them."""

from __future__ import annotations

import asyncio
import functools
import json
import warnings
from typing import Any

import pytest

from loom_core.tailcalls import TailCallWarning, explain_tailcalls, tailrec
from tests.core.tailcalls.worlds import world

DEEP = 20_000
SEEN: list[int] = []


def same(fn: Any) -> Any:
    return fn


def marked(fn: Any) -> Any:
    fn.mark = ["kept"]
    return fn


def counted(fn: Any) -> Any:
    @functools.wraps(fn)
    async def wrapper(n: int) -> Any:
        SEEN.append(n)
        return await fn(n)

    return wrapper


class Wrapper:
    """A decorator that is a class, whose objects are no functions."""

    def __init__(self, fn: Any) -> None:
        functools.update_wrapper(self, fn)

    def __call__(self, n: int) -> Any:
        SEEN.append(n)
        return self.__wrapped__(n)  # type: ignore[attr-defined]


def decorated(*lines: str) -> Any:
    names = {"same": same, "marked": marked, "counted": counted, "Wrapper": Wrapper}
    head = "".join(f"{line}\n" for line in lines)
    return world(f"{head}async def f(n):\n    return await f(n - 1) if n else 'end'\n", **names)["f"]


@pytest.mark.parametrize("below", ["@same", "@marked"])
def test_a_decorator_below_that_returns_the_function_is_kept_and_it_loops(below: str) -> None:
    fn = decorated("@tailrec", below)
    assert asyncio.run(fn(DEEP)) == "end"
    assert getattr(fn, "mark", ["kept"]) == ["kept"]


@pytest.mark.parametrize("below", ["@counted", "@Wrapper"])
def test_a_wrapper_below_is_kept_as_it_is_and_said_not_to_loop(below: str) -> None:
    SEEN.clear()
    with pytest.warns(TailCallWarning, match=r"world\.f does not loop: a decorator below @tailrec wraps") as caught:
        fn = decorated("@tailrec", below)
    # The place is that of the decorated function.
    assert [(one.filename[:6], one.lineno) for one in caught] == [("<world", 1)]
    assert asyncio.run(fn(3)) == "end"
    assert SEEN == [3, 2, 1, 0]
    report = explain_tailcalls(fn)
    assert (report.accepted, report.mode, [site.action for site in report.sites]) == (True, None, ["kept"])
    assert report.notes


def test_nothing_is_warned_of_what_loops() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decorated("@tailrec", "@marked")
        decorated("@counted", "@tailrec")


def test_a_decorator_above_sees_every_call() -> None:
    SEEN.clear()
    fn = decorated("@counted", "@tailrec")
    assert asyncio.run(fn(2)) == "end"
    assert SEEN == [2, 1, 0]
    assert "plain recursion runs" in str(explain_tailcalls(fn))


def test_a_decorated_function_may_be_decorated_again() -> None:
    assert decorated("@tailrec", "@tailrec").__wrapped__.__code__.co_freevars == ()


@pytest.mark.parametrize("line", ["@tailrec", "@tailrec()", "@tailrec(blocks=None)", "@tailrec(blocks='leave-first')"])
def test_the_decorator_has_a_form_with_options_and_one_without(line: str) -> None:
    fn = decorated(line)
    assert asyncio.run(fn(DEEP)) == "end"
    assert explain_tailcalls(fn).mode == "direct"


def test_leaving_a_block_first_is_visible_in_the_explanation() -> None:
    source = "@tailrec(blocks='leave-first')\nasync def f(n):\n    with n:\n        return await f(n - 1)\n"
    report = explain_tailcalls(world(source)["f"])
    assert (report.mode, report.why_frames) == ("frames", "a tail call leaves `with` first")
    assert "after `with` is left" in report.sites[0].reason
    found = json.loads(report.to_json())
    assert (found["mode"], found["schema"]) == ("frames", "loom.tailcalls/1")


def test_attributes_that_were_set_on_a_class_method_stay() -> None:
    source = """
    class C:
        async def f(cls, n):
            return await cls.f(n - 1) if n else cls.__name__
        f = classmethod(f)
        f.mark = 1
        inside = f.__func__
        f = tailrec(f)
    """
    raw = vars(world(source)["C"])["f"]
    assert (type(raw), raw.mark, raw.__wrapped__) == (classmethod, 1, raw.__func__)


def test_a_later_decorated_function_that_is_awaited_in_tail_position_is_said_to_need_stack() -> None:
    source = """
    @tailrec
    async def f(n):
        return await f(n - 1) if n else await g(n)
    @tailrec
    async def g(n):
        return await g(n - 1) if n else 1
    h = f
    @tailrec
    async def other(n):
        if n > 5:
            return await other(n - 1)
        return await alias(n)
    alias = other
    """
    names = world(source)
    report = explain_tailcalls(names["f"])
    assert [site.action for site in report.sites] == ["loop", "kept"]
    assert "another @tailrec function" in report.sites[1].reason
    assert "group" in str(report.sites[1].instead)
    assert "`alias` is an alias" in explain_tailcalls(names["other"]).sites[1].reason


def test_a_private_function_in_a_method_is_known_by_its_name() -> None:
    source = """
    class C:
        def make(self):
            @tailrec
            async def __inner(n):
                return await __inner(n - 1) if n else 1
            return __inner
    """
    fn = world(source)["C"]().make()
    assert asyncio.run(fn(DEEP)) == 1
    assert explain_tailcalls(fn).notes == ()


def test_explaining_a_bound_method_or_a_class_method_is_explaining_its_function() -> None:
    source = "class C:\n    async def f(self, n):\n        return await self.f(n - 1) if n else 1\n"
    cls = world(source)["C"]
    assert explain_tailcalls(cls().f) == explain_tailcalls(cls.f)
    with pytest.raises(Exception, match="a value of type method is not a function"):
        tailrec(cls().f)
