"""The traps: each is silently wrong in some implementation in use. One test per trap, each against plain recursion."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import linecache
import subprocess
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from loom_core.tailcalls import TailCallError, TailCallWarning, explain_tailcalls, tailrec, tailstream

DEEP = 20_000
_number = itertools.count()


def undecorated(fn: Any = None, **_: object) -> Any:
    """Stand in for ``tailrec`` and ``tailstream``: leave the recursion as it is."""
    return undecorated if fn is None else fn


def module(source: str, *, loop: bool, **names: Any) -> Any:
    """Return ``source`` executed as a module, with the real decorators or without."""
    text = textwrap.dedent(source).strip("\n") + "\n"
    path = f"<trap {next(_number)}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    made = ModuleType("trap")
    decorators = {"tailrec": tailrec, "tailstream": tailstream} if loop else dict.fromkeys(_DECORATORS, undecorated)
    made.__dict__.update(LOG=[], HERE=made, run=asyncio.run, **decorators, **names)
    exec(compile(text, path, "exec"), made.__dict__)
    return made


_DECORATORS = ("tailrec", "tailstream")


def seen(made: Any) -> list[object]:
    """Return how ``main`` ended, and what was logged on the way."""
    try:
        ended: list[object] = ["returned", asyncio.run(made.main())]
    except Exception as error:
        ended = ["raised", type(error), error.args]
    return [*ended, made.LOG]


def alike(source: str, expected: object = ..., *, mode: str | None = None, name: str = "f", **names: Any) -> Any:
    """Check that ``main`` does the same with and without the decorator, and that ``name`` does become a loop."""
    plain, loop = module(source, loop=False, **names), module(source, loop=True, **names)
    with recursion():
        wanted = seen(plain)
    assert seen(loop) == wanted
    if expected is not ...:
        assert wanted[1] == expected
    if mode is not None:
        report = explain_tailcalls(eval(name, loop.__dict__))
        assert report.accepted
        assert report.mode == mode, report
        assert any(site.action == "loop" for site in report.sites)
    return loop


@contextmanager
def recursion() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


# Loops.


def test_nested_loops_are_left_by_a_tail_call_and_not_continued() -> None:
    alike(
        """
        @tailrec
        async def f(n, seen):
            for i in range(3):
                for j in range(3):
                    while True:
                        seen.append((n, i, j))
                        if n and j:
                            return await f(n - 1, seen)
                        break
            return seen

        async def main():
            return await f(2, [])
        """,
        mode="direct",
    )


def test_a_loop_inside_while_true_is_neither_wrong_nor_endless() -> None:
    alike(
        """
        @tailrec
        async def f(n, total=0):
            while True:
                for i in range(n):
                    total += i
                    if i == 2:
                        return await f(n - 1, total)
                if n < 3:
                    return total, n
                n -= 2

        async def main():
            return [await f(n) for n in range(8)]
        """,
        mode="direct",
    )


def test_the_else_of_a_loop_runs_where_the_recursion_runs_it() -> None:
    alike(
        """
        @tailrec
        async def f(n, seen):
            for i in range(3):
                if n == 1:
                    break
                if i == n:
                    return await f(n - 1, seen)
            else:
                seen.append("else")
                while n > 3:
                    n -= 1
                    if n == 4:
                        return await f(n - 2, seen)
                else:
                    seen.append("inner")
            return seen, n

        async def main():
            return [await f(n, []) for n in range(8)]
        """,
        mode="direct",
    )


def test_an_async_for_is_left_as_well() -> None:
    alike(
        """
        async def ticks(n):
            for i in range(n):
                yield i

        @tailrec
        async def f(n, seen):
            async for i in ticks(3):
                seen.append((n, i))
                if i == 1 and n:
                    return await f(n - 1, seen)
            else:
                seen.append("else")
            return seen

        async def main():
            return await f(3, [])
        """,
    )


# Blocks.


def test_a_finally_does_not_see_rebound_arguments() -> None:
    source = """
        @tailrec{option}
        async def f(n):
            {block}
        async def main():
            await f(3)
        """
    inside = "try:\n                LOG.append(n)\n                if n: return await f(n - 1)\n"
    inside += "            finally:\n                LOG.append(('finally', n))\n"
    with pytest.raises(TailCallError, match="inside `try`"):
        module(source.format(option="", block=inside), loop=True)
    left = module(source.format(option="(blocks='leave-first')", block=inside), loop=True)
    asyncio.run(left.main())
    assert left.LOG == [3, ("finally", 3), 2, ("finally", 2), 1, ("finally", 1), 0, ("finally", 0)]
    asyncio.run(left.f(DEEP))


def test_leave_first_says_so_in_its_explanation() -> None:
    made = module(
        """
        @tailrec(blocks="leave-first")
        async def f(n):
            try:
                return await f(n - 1) if n else n
            finally:
                LOG.append(n)
        """,
        loop=True,
    )
    (site,) = explain_tailcalls(made.f).sites
    assert site.action == "loop"
    assert "left" in site.reason


def test_suppress_does_not_swallow_what_a_later_call_raises() -> None:
    source = """
        from contextlib import suppress

        @tailrec{option}
        async def f(n):
            with suppress(ValueError):
                if n == 0:
                    raise KeyError(n)
                if n == 1:
                    LOG.append("last")
                    return await g(n)
                return await f(n - 1)
            return "swallowed"

        async def g(n):
            raise ValueError("of another function, awaited inside the block")

        async def main():
            return await f(3)
        """
    with pytest.raises(TailCallError, match="inside `with`"):
        module(source.format(option=""), loop=True)
    left = module(source.format(option="(blocks='leave-first')"), loop=True)
    assert asyncio.run(left.main()) == "swallowed"

    raising = """
        from contextlib import suppress

        @tailrec(blocks="leave-first")
        async def f(n):
            if n == 0:
                raise ValueError("outside of every block")
            with suppress(ValueError):
                return await f(n - 1)

        async def main():
            return await f(3)
        """
    # In the recursion the caller's block swallows it; with leave-first every block has been left. That is documented.
    with pytest.raises(ValueError, match="outside of every block"):
        asyncio.run(module(raising, loop=True).main())


def test_arguments_are_evaluated_inside_the_block_that_is_left_first() -> None:
    made = module(
        """
        from contextlib import suppress

        @tailrec(blocks="leave-first")
        async def f(n):
            with suppress(ZeroDivisionError):
                return await f(10 // n)
            return "swallowed", n

        @tailrec(blocks="leave-first")
        async def g(n):
            with suppress(TypeError):
                return await g(n, n)
                return await g(n)
            return "swallowed"
        """,
        loop=True,
    )
    assert asyncio.run(made.f(20)) == ("swallowed", 0)
    assert asyncio.run(made.g(1)) == "swallowed"


def test_a_transaction_rolls_back_where_the_recursion_rolls_back() -> None:
    source = """
        class Transaction:
            async def __aenter__(self):
                LOG.append("begin")
            async def __aexit__(self, kind, error, trace):
                LOG.append("rollback" if kind else "commit")

        @tailrec{option}
        async def f(n):
            async with Transaction():
                if n == 0:
                    raise ValueError("bottom")
                return await f(n - 1)

        async def main():
            await f(2)
        """
    plain = module(source.format(option=""), loop=False)
    with pytest.raises(ValueError, match="bottom"):
        asyncio.run(plain.main())
    assert plain.LOG == ["begin"] * 3 + ["rollback"] * 3
    # So it must not become a loop silently, in which the outer ones would commit.
    with pytest.raises(TailCallError, match="inside `async with`"):
        module(source.format(option=""), loop=True)
    left = module(source.format(option="(blocks='leave-first')"), loop=True)
    with pytest.raises(ValueError, match="bottom"):
        asyncio.run(left.main())
    assert left.LOG == ["begin", "commit"] * 2 + ["begin", "rollback"]


def test_what_leaving_the_block_raises_takes_the_place_of_the_call() -> None:
    made = module(
        """
        @tailrec(blocks="leave-first")
        async def f(n):
            LOG.append(n)
            try:
                return await f(n - 1)
            finally:
                if n == 1:
                    raise KeyError("leaving")
        """,
        loop=True,
    )
    with pytest.raises(KeyError, match="leaving"):
        asyncio.run(made.f(3))
    assert made.LOG == [3, 2, 1]


def test_a_return_in_finally_overrides_the_call() -> None:
    source = """
        @tailrec(blocks="leave-first")
        async def f(n):
            LOG.append(n)
            try:
                return await f(n - 1)
            finally:
                if n == 1:
                    return "overridden"
        """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # from 3.14 on
        made = module(source, loop=True)
    assert asyncio.run(made.f(3)) == "overridden"
    assert made.LOG == [3, 2, 1]


def test_no_exception_is_being_handled_in_the_iteration_after_an_except() -> None:
    made = module(
        """
        import sys

        @tailrec(blocks="leave-first")
        async def f(n):
            LOG.append(sys.exc_info()[0])
            try:
                raise KeyError(n)
            except KeyError:
                if n:
                    return await f(n - 1)
            raise ValueError("the last")
        """,
        loop=True,
    )
    with pytest.raises(ValueError, match="the last") as raised:
        asyncio.run(made.f(2))
    assert made.LOG == [None, None, None]
    assert raised.value.__context__ is None


# Scopes.


def test_a_closure_keeps_the_variables_of_its_own_call() -> None:
    alike(
        """
        @tailrec
        async def f(n, kept):
            square = n * n
            kept.append(lambda: (n, square))
            n += 100
            return await f(n - 101, kept) if n > 100 else [one() for one in kept]

        async def main():
            return await f(3, [])
        """,
        [(103, 9), (102, 4), (101, 1), (100, 0)],
        mode="frames",
    )


def test_a_closure_made_in_a_loop_sees_the_last_value_of_its_own_call() -> None:
    alike(
        """
        @tailrec
        async def f(n, kept):
            for i in range(n):
                kept.append(lambda: (i, n))
            return await f(n - 1, kept) if n else [one() for one in kept]

        async def main():
            return await f(3, [])
        """,
        [(2, 3), (2, 3), (2, 3), (1, 2), (1, 2), (0, 1)],
        mode="frames",
    )


def test_closures_of_one_call_share_a_cell_and_those_of_another_do_not() -> None:
    alike(
        """
        @tailrec
        async def f(n, kept):
            def add(by):
                nonlocal n
                n += by
                return n
            kept.append((add, lambda: n))
            if n:
                return await f(n - 1, kept)
            kept[0][0](10)
            kept[1][0](20)
            return [read() for _, read in kept]

        async def main():
            return await f(2, [])
        """,
        [12, 21, 0],
        mode="frames",
    )


def test_generators_and_classes_keep_variables_too() -> None:
    alike(
        """
        @tailrec
        async def f(n, kept):
            class Kept:
                at_once = n
                def later(self): return n
            kept += [Kept().later, (n + i for i in range(2)).__next__, lambda: Kept.at_once]
            n += 10
            return await f(n - 11, kept) if n > 10 else [one() for one in kept]

        async def main():
            return await f(1, [])
        """,
        mode="frames",
    )


def test_nonlocal_writes_the_variable_of_the_scope_around() -> None:
    alike(
        """
        def make(start):
            shared = start
            @tailrec
            async def f(n):
                if n:
                    nonlocal shared
                    shared = shared * 2 + n
                    return await f(n - 1)
                return shared
            return f, lambda: shared

        async def main():
            (one, read_one), (other, read_other) = make(0), make(100)
            return await one(3), await other(2), await one(1), read_one(), read_other()
        """,
    )


def test_global_writes_are_seen_at_once_by_everybody() -> None:
    alike(
        """
        COUNT = 0

        @tailrec
        async def f(n):
            global COUNT, MADE
            COUNT += n
            MADE = n
            LOG.append(HERE.COUNT)
            return await f(n - 1) if n else COUNT

        async def main():
            return await f(4), COUNT, HERE.MADE
        """,
        (10, 10, 0),
        mode="direct",
    )


def test_a_patched_helper_is_called_from_then_on() -> None:
    loop = module(
        """
        def rate(): return 1

        @tailrec
        async def f(n, total=0):
            return await f(n - 1, total + rate()) if n else total
        """,
        loop=True,
    )
    with mock.patch.object(loop, "rate", return_value=10):
        assert asyncio.run(loop.f(3)) == 30
    assert asyncio.run(loop.f(3)) == 3


def test_mock_patch_of_the_function_itself_is_seen_as_by_the_recursion() -> None:
    source = """
        @tailrec
        async def f(n):
            LOG.append(n)
            return await f(n - 1) if n else "bottom"
        """
    results = []
    for loop in (False, True):
        made = module(source, loop=loop)
        original = made.f
        with mock.patch.object(made, "f", mock.AsyncMock(return_value="mocked")) as mocked:
            results.append((asyncio.run(original(3)), mocked.await_args_list, list(made.LOG)))
        results.append((asyncio.run(made.f(1)), [], made.LOG))
    assert results[:2] == results[2:]
    assert results[0][0] == "mocked"


def test_helpers_defined_later_in_the_module_are_found() -> None:
    alike(
        """
        @tailrec
        async def f(n, total=0):
            return await f(n - 1, add(total, n)) if n else CLOSING.format(total)

        def add(one, other): return one + other
        CLOSING = "total {}"

        async def main():
            return await f(4)
        """,
        "total 10",
        mode="direct",
    )


def test_a_class_names_itself_in_its_methods() -> None:
    alike(
        """
        class Counter:
            step = 2

            @tailrec
            async def f(self, n, total=0):
                if not n:
                    return total, type(self) is Counter, Counter.__name__
                return await self.f(n - 1, total + Counter.step)

            @staticmethod
            @tailrec
            async def s(n, total=0):
                return await Counter.s(n - 1, total + Counter.step) if n else total

        async def main():
            return await Counter().f(3), await Counter.s(4)
        """,
        ((6, True, "Counter"), 8),
        mode="direct",
        name="Counter.f",
    )


@pytest.mark.parametrize(
    "inherited", ["super().rate(n)", "super(Child, self).rate(n)", "__class__.__bases__[0].rate(self, n)"]
)
def test_super_and_the_class_cell_mean_the_class_around(inherited: str) -> None:
    loop = alike(
        f"""
        class Base:
            def rate(self, n): return n

        class Child(Base):
            def rate(self, n): return -n

            @tailrec
            async def f(self, n, total=0):
                return await self.f(n - 1, total + {inherited}) if n else (total, self.rate(1))

        class Grandchild(Child):
            def rate(self, n): return n * 100

        async def main():
            return await Child().f(3), await Grandchild().f(2)
        """,
        ((6, -1), (3, 100)),
    )
    assert asyncio.run(loop.Child().f(DEEP))


def test_private_names_belong_to_the_class_around() -> None:
    alike(
        """
        class Holder:
            __rate = 3

            def __init__(self): self.__own = 1
            def __add(self, total): return total + self.__rate + self.__own

            @tailrec
            async def f(self, n, total=0, *, __limit=50):
                if n == 0 or total > __limit:
                    return total, Holder.__rate
                return await self.f(n - 1, self.__add(total), _Holder__limit=__limit)

            @tailrec
            async def __f(self, n):
                return await self.__f(n - 1) if n else "private"

            async def both(self): return await self.f(4), await self.__f(3)

        async def main():
            return await Holder().both()
        """,
        ((16, 3), "private"),
    )


def test_functions_in_functions_are_each_their_own() -> None:
    alike(
        """
        def make(step):
            @tailrec
            async def f(n, total=0):
                return await f(n - 1, total + step) if n else total
            return f

        async def main():
            return [await make(step)(4) for step in (1, 10)]
        """,
        [4, 40],
    )


def test_nested_functions_of_the_same_name_are_left_alone() -> None:
    alike(
        """
        @tailrec
        async def f(n):
            class Inner:
                async def f(self, n): return ("inner", n)
            async def other():
                async def f(n): return ("local", n)
                return await f(n)
            if n:
                return await f(n - 1)
            return await Inner().f(n), await other()

        async def main():
            return await f(2)
        """,
    )


# Callees.


def test_a_decorator_that_registers_or_marks_below_is_kept() -> None:
    loop = alike(
        """
        REGISTERED = []
        def register(fn):
            REGISTERED.append(fn)
            fn.mark = 7
            return fn

        @tailrec
        @register
        async def f(n):
            return await f(n - 1) if n else f.mark

        async def main():
            return await f(3), len(REGISTERED), await REGISTERED[0](2)
        """,
        (7, 1, 7),
        mode="direct",
    )
    assert asyncio.run(loop.f(DEEP)) == 7


def test_a_wrapper_below_is_kept_at_every_call_and_not_dropped() -> None:
    source = """
        import functools

        def traced(fn):
            @functools.wraps(fn)
            async def wrapper(n):
                LOG.append(n)
                return await fn(n)
            return wrapper

        @tailrec
        @traced
        async def f(n):
            return await f(n - 1) if n else "bottom"

        async def main():
            return await f(3)
        """
    plain = module(source, loop=False)
    with pytest.warns(TailCallWarning):
        kept = module(source, loop=True)
    assert seen(kept) == seen(plain) == ["returned", "bottom", [3, 2, 1, 0]]
    report = explain_tailcalls(kept.f)
    assert {site.action for site in report.sites} == {"kept"}
    assert report.notes


def test_a_decorator_above_is_called_at_every_call_and_the_explanation_says_so() -> None:
    loop = alike(
        """
        import functools

        def traced(fn):
            @functools.wraps(fn)
            async def wrapper(*args, **kwargs):
                LOG.append((args, kwargs))
                return await fn(*args, **kwargs)
            return wrapper

        @traced
        @tailrec
        async def f(n, *, k=0):
            return await f(n - 1, k=k + 1) if n else k

        async def main():
            return await f(3)
        """,
        3,
    )
    assert loop.LOG == [((3,), {}), ((2,), {"k": 1}), ((1,), {"k": 2}), ((0,), {"k": 3})]
    assert explain_tailcalls(loop.f).notes


@pytest.mark.parametrize(
    "source",
    [
        "async def f(n):\n    g = f\n    return await g(n - 1)",
        "async def f(n):\n    return await other.f(n - 1)",
        "async def f(self, n):\n    return await self.f(n - 1)",
        "async def f(n):\n    return await (lambda: f)()(n - 1)",
        "async def f(n):\n    return await globals()['f'](n - 1)",
    ],
)
def test_an_alias_is_never_accepted_without_being_optimised(source: str) -> None:
    with pytest.raises(TailCallError) as error:
        module(f"@tailrec\n{source}\n", loop=True)
    assert error.value.hint


def test_a_method_called_through_self_is_a_loop_and_not_merely_accepted() -> None:
    source = """
        class C:
            @tailrec
            async def f(self, n):
                return await self.f(n - 1) if n else self

            @classmethod
            @tailrec
            async def c(cls, n):
                return await cls.c(n - 1) if n else cls

            @tailrec
            @classmethod
            async def d(cls, n):
                return await C.d(n - 1) if n else cls

            @staticmethod
            @tailrec
            async def s(n):
                return await C.s(n - 1) if n else "s"

            @tailrec
            @staticmethod
            async def t(n):
                return await C.t(n - 1) if n else "t"

            @tailrec
            async def e(self, n):
                return await C.e(self, n - 1) if n else self
        """
    made = module(source, loop=True)
    one = made.C()
    assert asyncio.run(one.f(DEEP)) is one
    assert asyncio.run(made.C.f(one, DEEP)) is one
    assert asyncio.run(made.C.e(one, DEEP)) is one
    assert [asyncio.run(getattr(made.C, name)(DEEP)) for name in "cdst"] == [made.C, made.C, "s", "t"]
    child = type("Child", (made.C,), {})
    assert asyncio.run(child.c(DEEP)) is child
    assert asyncio.run(child.d(DEEP)) is made.C


OVERRIDES = {
    "a subclass": """
        class D(C):
            async def f(self, n):
                LOG.append(n)
                return await super().f(n)
        it = D()
        """,
    "the instance": """
        it = C()
        real = it.f
        async def spy(n):
            LOG.append(n)
            return await real(n)
        it.f = spy
        """,
    "the class": """
        real = C.f
        async def spy(self, n):
            LOG.append(n)
            return await real(self, n)
        C.f = spy
        it = C()
        """,
    "__getattribute__": """
        class D(C):
            def __getattribute__(self, name):
                LOG.append(name)
                return super().__getattribute__(name)
        it = D()
        """,
    "a property": """
        class D(C):
            @property
            def f(self):
                LOG.append("read")
                return super().f
        it = D()
        """,
    "nothing, but __getattr__": """
        class D(C):
            def __getattr__(self, name):
                LOG.append(name)
        it = D()
        """,
    "nothing, but slots": """
        class D(C):
            __slots__ = ("x",)
        it = D()
        """,
    "nothing, but a later base": """
        class E:
            async def f(self, n):
                return "never"
        class D(C, E): ...
        it = D()
        """,
    "an earlier base": """
        class E(C):
            async def f(self, n):
                LOG.append(n)
                return await C.f(self, n)
        class D(E, C): ...
        it = D()
        """,
}
METHOD = """
        class C:
            @tailrec
            async def f(self, n):
                return await self.f(n - 1) if n else "bottom"
        async def main():
            return await it.f(3)
"""


@pytest.mark.parametrize("what", OVERRIDES)
def test_what_overrides_a_method_is_seen_as_by_the_recursion(what: str) -> None:
    alike(METHOD + OVERRIDES[what])


# Arguments.


def test_duplicate_keywords_in_spreads_are_an_error_with_the_functions_name() -> None:
    loop = alike(
        """
        @tailrec
        async def f(n, k=0, **rest):
            if not n:
                return k, rest
            return await f(n - 1, k=1, **{"k": 2, **rest})

        async def main():
            return await f(2)
        """,
        TypeError,
    )
    with pytest.raises(TypeError, match=r"^trap\.f\(\) got multiple values for keyword argument 'k'$"):
        asyncio.run(loop.main())


def test_a_default_expression_is_evaluated_once_at_the_definition() -> None:
    alike(
        """
        def default():
            LOG.append("default")
            return []

        @tailrec
        async def f(n, found=default(), *, last=default()):
            found.append(n)
            return await f(n - 1) if n else (found, last, f.__defaults__[0] is found)

        async def main():
            return await f(3), await f(1)
        """,
        mode="direct",
    )


def test_defaults_are_those_that_the_function_has_now() -> None:
    loop = module(
        """
        @tailrec
        async def f(n, found="old"):
            return await f(n - 1) if n else found
        """,
        loop=True,
    )
    assert asyncio.run(loop.f(2)) == "old"
    loop.f.__defaults__ = ("new",)
    assert asyncio.run(loop.f(2)) == "new"


def test_every_kind_of_parameter_and_argument() -> None:
    alike(
        """
        @tailrec
        async def f(n, /, a, b=2, *rest, k, m=5, **more):
            LOG.append((n, a, b, rest, k, m, more))
            if n == 5:
                return await f(n - 1, b, a, n, *rest, k=m, m=k, n="also", **more)
            if n == 4:
                return await f(n - 1, *(a, b), k=1)
            if n == 3:
                return await f(*[n - 1, 9], **{"k": 8, "z": 7})
            if n == 2:
                return await f(n - 1, b=a, a=b, k=k, extra=rest)
            return await f(0, *"abc", **more, k="k") if n else "done"

        async def main():
            return await f(5, "a", k="k", y=1)
        """,
        "done",
    )


MISFITS = ["f()", "f(1, 2, 3, k=1)", "f(n - 1)", "f(n - 1, k=1, j=2)", "f(n, 2, a=3, k=1)", "f(*range(9), k=1)"]
MISFITS += ["f(n - 1, k=1, **{'j': 2})", "f(n - 1, k=1, **3)", "f(*3, k=1)", "f(n - 1, **{1: 2})", "f(n - 1, n=2, k=1)"]


@pytest.mark.parametrize("call", MISFITS)
def test_what_does_not_fit_is_pythons_own_error_at_the_users_line(call: str) -> None:
    source = f"""
        @tailrec
        async def f(n, a=0, *, k):
            LOG.append(n)
            if n == 1:
                return await {call}
            return await f(n - 1, k=k)

        async def main():
            await f(3, k=1)
        """
    loop = alike(source)
    with pytest.raises(TypeError) as raised:
        asyncio.run(loop.main())
    frames = [one.lineno for one in traceback.extract_tb(raised.value.__traceback__) if one.name == "f"]
    assert frames[-1] == 5


def test_arguments_are_evaluated_once_each_and_in_order() -> None:
    alike(
        """
        def note(value):
            LOG.append(value)
            return value

        @tailrec
        async def f(a, b, c=3, *rest, k=0, **more):
            if not a:
                return a, b, c, rest, k, more
            return await f(note(a - 1), k=note("k"), *[note((b := (a, b)))], **{note("z"): note(c)})

        async def main():
            return await f(2, "b")
        """,
    )


def test_a_swap_of_arguments_is_simultaneous() -> None:
    alike(
        """
        @tailrec
        async def f(n, a, b, c):
            return await f(n - 1, b, c, a) if n else (a, b, c)

        async def main():
            return [await f(n, 1, 2, 3) for n in range(4)]
        """,
        [(1, 2, 3), (2, 3, 1), (3, 1, 2), (1, 2, 3)],
        mode="direct",
    )


def test_the_keyword_dictionary_is_fresh_at_every_call() -> None:
    alike(
        """
        @tailrec
        async def f(n, kept, **more):
            more[n] = n
            kept.append(more)
            return await f(n - 1, kept, **{str(k): v for k, v in more.items()}) if n else kept

        async def main():
            return await f(2, [])
        """,
        [{2: 2}, {"2": 2, 1: 1}, {"2": 2, "1": 1, 0: 0}],
    )


@pytest.mark.parametrize(
    "tail",
    [
        "a and await f(n - 1)",
        "a or await f(n - 1)",
        "(a or b) and await f(n - 1)",
        "(a and b) or await f(n - 1)",
        "a and (b or await f(n - 1))",
        "a or (b and (await f(n - 1) if n else c))",
        "not a or await f(n - 1)",
        "(a if b else c) and await f(n - 1)",
        "a or b or await f(n - 1)",
        "(await f(n - 1)) if a and b else (a or b)",
    ],
)
def test_truth_is_asked_for_as_often_as_in_the_recursion(tail: str) -> None:
    source = f"""
        class Truth:
            def __init__(self, name, value): self.name, self.value = name, value
            def __repr__(self): return self.name
            def __bool__(self):
                LOG.append(self.name)
                return self.value

        @tailrec
        async def f(n):
            if n <= 0:
                LOG.append("bottom")
                return Truth("last", VALUES[0])
            a, b, c = (Truth(name, value) for name, value in zip("abc", VALUES))
            return {tail}

        async def main():
            return repr(await f(3))
        """
    for values in itertools.product((True, False), repeat=3):
        alike(source, VALUES=values)


def test_a_local_variable_is_unbound_at_the_start_of_every_call() -> None:
    alike(
        """
        @tailrec
        async def f(n):
            if n == 2:
                once = "bound"
            try:
                LOG.append(once)
            except UnboundLocalError as error:
                LOG.append(error.args)
            return await f(n - 1) if n else n

        async def main():
            return await f(3)
        """,
        0,
    )


def test_names_seen_by_locals_are_the_users() -> None:
    alike(
        """
        @tailrec
        async def f(n, *rest, **more):
            before = sorted(locals())
            x = eval("n + 1")
            LOG.append((before, sorted(locals().items(), key=repr), sorted(vars()), sorted(dir())))
            return await f(n - 1, x, k=x) if n else x

        async def main():
            return await f(2)
        """,
        1,
        mode="frames",
    )


# What people look at.


def test_tracebacks_have_the_users_lines() -> None:
    source = """
        @tailrec
        async def f(n):
            if n == 0:
                raise ValueError("bottom")
            for _ in range(2):
                if n % 2:
                    return await f(n - 1)
            return await f(
                n
                - 1
            )

        async def main():
            await f(4)
        """
    for given in (source, source.replace("for _ in", "keep = lambda: n\n            for _ in")):
        shown = []
        for loop in (False, True):
            made = module(given, loop=loop)
            with pytest.raises(ValueError, match="bottom") as raised:
                asyncio.run(made.main())
            frames = [one for one in traceback.extract_tb(raised.value.__traceback__) if one.name == "f"]
            shown.append((frames[-1].lineno, frames[-1].line, frames[-1].filename.startswith("<trap")))
            assert all(one.line for one in frames)
        assert shown[0] == shown[1]
        assert shown[0][1] == 'raise ValueError("bottom")'


def test_error_texts_have_the_functions_name() -> None:
    made = module(
        """
        class C:
            def make(self):
                @tailrec
                async def f(n, *, k):
                    return await f(n - 1, **{}) if n else k
                return f
        """,
        loop=True,
    )
    with pytest.raises(TypeError, match=r"^C\.make\.<locals>\.f\(\) missing 1 required keyword-only argument: 'k'$"):
        made.C().make()(1)
    with pytest.raises(TypeError, match=r"^C\.make\.<locals>\.f\(\) missing 1 required keyword-only argument: 'k'$"):
        asyncio.run(made.C().make()(1, k=1))


def test_names_documentation_signature_and_source_are_those_of_the_function() -> None:
    source = '''
        @tailrec
        async def f(n: int, k: "str" = "k", *args: float, **more: bool) -> str:
            """Say k."""
            return await f(n - 1, k) if n else k
        '''
    plain, loop = module(source, loop=False).f, module(source, loop=True).f
    for what in (
        "__name__",
        "__qualname__",
        "__doc__",
        "__annotations__",
        "__defaults__",
        "__kwdefaults__",
        "__module__",
    ):
        assert getattr(loop, what) == getattr(plain, what), what
    assert inspect.signature(loop) == inspect.signature(plain)
    assert inspect.iscoroutinefunction(loop)
    assert inspect.getsource(loop) == inspect.getsource(plain)
    assert loop.__code__.co_firstlineno == plain.__code__.co_firstlineno
    assert inspect.getsource(loop.__wrapped__) == inspect.getsource(plain)


LINES = """
@tailrec
async def f(n, log):
    if n == 0:
        log.append("bottom")
        return log
    elif n < 0:
        log.append("never")
        return None
    {capture}
    for i in range(2):
        if i:
            return await f(n - 1, log)
    return 5
"""


@pytest.mark.parametrize("capture", ["pass", "log.append(lambda: n)"])
def test_the_lines_that_run_are_the_lines_of_the_recursion(capture: str) -> None:
    """What coverage and debuggers see: the trace function's line events in the function."""
    ran = []
    for loop in (False, True):
        made = module(LINES.format(capture=capture), loop=loop)
        lines: set[int] = set()

        def trace(frame: Any, event: str, arg: object, lines: set[int] = lines) -> Any:
            if frame.f_code.co_filename.startswith("<trap") and event == "line":
                lines.add(frame.f_lineno)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            asyncio.run(made.f(3, []))
        finally:
            sys.settrace(before)
        ran.append(lines - {1, 2})  # the check of the name stands at the line of `def`
    assert ran[0] == ran[1]


def test_coverage_reports_the_same_lines(tmp_path: Path) -> None:
    pytest.importorskip("coverage")
    missing = []
    for loop in (False, True):
        path = tmp_path / f"covered_{loop}.py"
        head = "from loom_core.tailcalls import tailrec\n" if loop else "def tailrec(fn): return fn\n"
        tail = "\nimport asyncio\nasyncio.run(f(3, []))\n"
        path.write_text(head + LINES.format(capture="pass") + tail)
        data = tmp_path / f"data_{loop}"
        script = f"import coverage, runpy\nc = coverage.Coverage(data_file={str(data)!r}, include=[{str(path)!r}])\n"
        script += f"c.start()\nrunpy.run_path({str(path)!r})\nc.stop()\nprint(c.analysis2({str(path)!r})[3])\n"
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd(), check=True)
        missing.append(ran.stdout)
    assert missing[0] == missing[1]
    assert missing[0].strip() == "[9, 10, 15]"


# Groups and streams.


def test_mutual_recursion_in_a_group_needs_no_stack_and_means_the_same() -> None:
    loop = alike(
        """
        @tailrec(group="parity")
        async def even(n):
            return await odd(n - 1) if n else True

        @tailrec(group=even)
        async def odd(n):
            return await even(n - 1) if n else False

        async def main():
            return [await even(n) for n in range(5)]
        """,
        [True, False, True, False, True],
    )
    assert asyncio.run(loop.even(DEEP)) is True
    with mock.patch.object(loop, "odd", mock.AsyncMock(return_value="patched")):
        assert asyncio.run(loop.even(3)) == "patched"


def test_a_tail_to_another_tailrec_function_is_awaited() -> None:
    alike(
        """
        @tailrec
        async def g(n, total):
            return await g(n - 1, total + n) if n else total

        @tailrec
        async def f(n, total=0):
            if n > 3:
                return await f(n - 1, total + 100)
            return await g(n, total)

        async def main():
            return await f(5)
        """,
        206,
        mode="direct",
    )


STREAM = """
    @tailstream
    async def f(n):
        LOG.append(("sent", (yield n)))
        LOG.append(("then", n))
        if n:
            async for x in f(n - 1):
                yield x

    async def main():
        stream = f(3)
        {consumer}
    """
CONSUMERS = [
    "return [x async for x in stream]",
    "return [await anext(stream), await stream.asend(1), await stream.asend(2), await stream.asend(3)]",
    "return [await anext(stream), await stream.athrow(KeyError(1))]",
    "return [await anext(stream), await anext(stream), await stream.athrow(KeyError(1))]",
    "return [await anext(stream), await anext(stream), await stream.aclose(), [x async for x in stream]]",
    "return [await stream.aclose(), [x async for x in stream]]",
    "return [await stream.asend(1)]",
]


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("capture", ["", "keep = lambda: n"])
def test_a_stream_is_to_its_consumer_what_the_recursion_is(consumer: str, capture: str) -> None:
    source = STREAM.format(consumer=consumer).replace("        LOG", f"        {capture or 'pass'}\n        LOG", 1)
    alike(source)


def test_a_generator_that_never_yields_needs_no_stack() -> None:
    made = module(
        """
        @tailstream
        async def f(n):
            if n < 0:
                yield n
            if n:
                async for x in f(n - 1):
                    yield x

        @tailstream
        async def g(n):
            keep = lambda: n
            if n < 0:
                yield n
            if n:
                async for x in g(n - 1):
                    yield x
        """,
        loop=True,
    )

    async def all_of(stream: Any) -> list[object]:
        return [one async for one in stream]

    assert asyncio.run(all_of(made.f(DEEP))) == asyncio.run(all_of(made.g(DEEP))) == []


# Interpreters and threads.


def test_threads_that_decorate_and_run_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    source = """
        def make(step):
            @tailrec
            async def f(n, total=0):
                return await f(n - 1, total + step) if n else total

            @tailrec
            async def g(n, kept):
                kept.append(lambda: n + step)
                return await g(n - 1, kept) if n else sum(one() for one in kept)
            return f, g
        """
    made = module(source, loop=True)
    start = threading.Barrier(8)
    found: dict[int, object] = {}

    def work(step: int) -> None:
        start.wait()
        for _ in range(10):
            f, g = made.make(step)
            found[step] = (asyncio.run(f(100)), asyncio.run(g(3, [])))

    threads = [threading.Thread(target=work, args=(step,)) for step in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {step: (100 * step, 6 + 4 * step) for step in range(8)}


def test_a_subinterpreter_imports_and_decorates(tmp_path: Path) -> None:
    interpreters: Any = None
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = __import__(name)
            break
        except ImportError:
            continue
    if interpreters is None:
        pytest.skip("this Python has no subinterpreters")
    path = tmp_path / "inside.py"
    path.write_text(
        "from loom_core.tailcalls import tailrec\n@tailrec\nasync def f(n, total=0):\n"
        "    return await f(n - 1, total + n) if n else total\n"
    )
    out = tmp_path / "out"
    script = (
        f"import sys\nsys.path[:] = {[str(tmp_path), *sys.path]!r}\nimport inside\n"
        f"def drive(c):\n    try: c.send(None)\n    except StopIteration as stop: return stop.value\n"
        f"open({str(out)!r}, 'w').write(str(drive(inside.f({DEEP}))))\n"
    )
    one = interpreters.create()
    failed = interpreters.run_string(one, script)
    interpreters.destroy(one)
    assert failed is None
    assert out.read_text() == str(DEEP * (DEEP + 1) // 2)
