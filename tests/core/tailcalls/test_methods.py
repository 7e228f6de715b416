"""Methods, class methods, static methods: whether the attribute still is the function is asked once per outer call."""

from __future__ import annotations

import asyncio
import textwrap
from typing import Any
from unittest import mock

import pytest

from loom_core.tailcalls import explain_tailcalls, tailrec
from tests.core.tailcalls.worlds import both, outcome, world

DEEP = 20_000


class Counter:
    step = 1
    __private = 7

    @tailrec
    async def down(self, n: int, total: int = 0) -> int:
        if n == 0:
            return total
        return await self.down(n - 1, total + self.step)

    @classmethod
    @tailrec
    async def of_class(cls, n: int) -> str:
        return await cls.of_class(n - 1) if n else cls.__name__

    @tailrec
    @classmethod
    async def closed_below(cls, n: int) -> str:
        return await cls.closed_below(n - 1) if n else cls.__name__

    @staticmethod
    @tailrec
    async def of_none(n: int) -> int:
        return await Counter.of_none(n - 1) if n else 0

    @tailrec
    @staticmethod
    async def none_below(n: int) -> int:
        return await Counter.none_below(n - 1) if n else 0

    @tailrec
    async def by_class(self, n: int) -> str:
        return await Counter.by_class(self, n - 1) if n else type(self).__name__

    @classmethod
    @tailrec
    async def class_by_name(cls, n: int) -> str:
        return await Counter.class_by_name(n - 1) if n else cls.__name__

    @tailrec
    async def __hidden(self, n: int) -> int:
        return await self.__hidden(n - 1) if n else self.__private

    async def hidden(self, n: int) -> int:
        return await self.__hidden(n)


class Sub(Counter):
    step = 3


RUNS: list[tuple[Any, object]] = [
    (lambda: Counter().down(DEEP), DEEP),
    (lambda: Sub().down(DEEP), 3 * DEEP),
    (lambda: Counter.of_class(DEEP), "Counter"),
    (lambda: Sub.of_class(DEEP), "Sub"),
    (lambda: Sub().of_class(DEEP), "Sub"),
    (lambda: Sub.closed_below(DEEP), "Sub"),
    (lambda: Counter.of_none(DEEP), 0),
    (lambda: Counter().none_below(DEEP), 0),
    (lambda: Sub().by_class(DEEP), "Sub"),
    (lambda: Sub.class_by_name(0), "Sub"),
    (lambda: Sub.class_by_name(DEEP), "Counter"),
    (lambda: Sub().hidden(DEEP), 7),
]


@pytest.mark.parametrize("number", range(len(RUNS)))
def test_methods_of_every_kind_loop(number: int) -> None:
    call, expected = RUNS[number]
    assert asyncio.run(call()) == expected


def test_what_a_class_holds_stays_what_it_is() -> None:
    assert type(vars(Counter)["closed_below"]) is classmethod
    assert type(vars(Counter)["none_below"]) is staticmethod
    assert Counter.closed_below.__func__.__wrapped__.__name__ == "closed_below"
    assert explain_tailcalls(Counter.closed_below).accepted
    assert explain_tailcalls(Counter().down).mode == "direct"


CLASS = """
LOG = []
class C:
    @tailrec
    async def f(self, n):
        LOG.append(("C", n))
        return await self.f(n - 1) if n else "C"
"""

OTHERS = {
    "a subclass that overrides": (
        "class D(C):\n    async def f(self, n):\n        LOG.append(('D', n))\n        return await super().f(n)\n",
        "D().f(3)",
    ),
    "a subclass that inherits": ("class D(C): pass\n", "D().f(3)"),
    "an attribute of the instance": (
        "one = C()\nplain = one.f\nasync def other(n):\n    LOG.append(n)\n    return await plain(n) if n > 1 else 5\n"
        "one.f = other\n",
        "plain(3)",
    ),
    "a class that answers itself": (
        "class D(C):\n    def __getattribute__(self, name):\n        LOG.append(name)\n"
        "        return super().__getattribute__(name)\n",
        "D().f(2)",
    ),
    "a class that answers for what is missing": (
        "class D(C):\n    def __getattr__(self, name):\n        LOG.append(name)\n        raise AttributeError(name)\n",
        "D().f(2)",
    ),
    "slots": ("class D(C):\n    __slots__ = ()\n", "D().f(2)"),
    "a dictionary that is a property": (
        "class D(C):\n    @property\n    def __dict__(self):\n        LOG.append('dict')\n        return {}\n",
        "D().f(2)",
    ),
    "a data descriptor in a subclass": (
        "class P:\n    def __get__(self, one, cls):\n        LOG.append('get')\n        return lambda n: C.f(one, 0)\n"
        "    def __set__(self, one, value): ...\nclass D(C):\n    f = P()\n",
        "C.f(D(), 2)",
    ),
    "an object that is none of the class": (
        "class Other:\n    async def f(self, n):\n        LOG.append(n)\n        return 'other'\n",
        "C.f(Other(), 2)",
    ),
    "an object without such an attribute": ("", "C.f(object(), 2)"),
    "a class for its instance": ("class D(C): pass\n", "C.f(D, 2)"),
    "a class whose metaclass has the attribute": (
        "class M(type):\n    @tailrec\n    async def g(cls, n):\n        LOG.append(n)\n"
        "        return await cls.g(n - 1) if n else 1\nclass E(metaclass=M): pass\n",
        "E.g(3)",
    ),
    "a module for its instance": ("import types\nm = types.ModuleType('m')\nm.f = C().f\n", "C.f(m, 2)"),
    "a class method patched away": ("async def g(n): return n\nC.g = C.f\nC.f = g\n", "C().g(2)"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_answers_by_the_name_is_called_as_in_the_recursion(case: str) -> None:
    more, expression = OTHERS[case]
    plain, loop = both(CLASS + more, expression)
    assert loop == plain


CLASS_METHODS = """
LOG = []
class M(type):
    def __getattribute__(cls, name):
        LOG.append(name)
        return super().__getattribute__(name)
class N(type):
    @property
    def f(cls):
        LOG.append("property")
        return lambda n: None
class C:
    @classmethod
    @tailrec
    async def f(cls, n):
        LOG.append((cls.__name__, n))
        return await cls.f(n - 1) if n else 1
class D(C, metaclass=M): pass
class E(C): f = vars(C)["f"]
class F(C):
    @classmethod
    async def f(cls, n):
        LOG.append(("F", n))
        return await super().f(n)
class G(C, metaclass=N): pass
raw = vars(C)["f"].__func__
"""


@pytest.mark.parametrize(
    "expression", ["C.f(2)", "D.f(2)", "E.f(2)", "F.f(2)", "raw(G, 2)", "raw(C(), 2)", "raw(5, 2)", "raw(C, 2)"]
)
def test_a_class_method_asks_as_the_class_is_asked(expression: str) -> None:
    plain, loop = both(CLASS_METHODS, expression)
    assert loop == plain


def test_a_patched_method_is_seen_at_the_next_outer_call() -> None:
    names = world(CLASS)
    original = names["C"].f

    async def spy(self: Any, n: int) -> str:
        names["LOG"].append("spy")
        return await original(self, n)  # type: ignore[no-any-return]

    with mock.patch.object(names["C"], "f", spy):
        assert asyncio.run(names["C"]().f(2)) == "C"
        assert explain_tailcalls(original).notes
    assert names["LOG"] == ["spy", ("C", 2), "spy", ("C", 1), "spy", ("C", 0)]
    assert explain_tailcalls(original).notes == ()


def test_the_name_of_the_class_is_looked_up_when_the_function_is_called() -> None:
    source = """
    LOG = []
    class C:
        @staticmethod
        @tailrec
        async def f(n):
            LOG.append(n)
            return await C.f(n - 1) if n else 0
    f = C.f
    """
    for change in ("", "del C", "class C: pass", "class C:\n    async def f(n): return 'other'"):
        namespace = "\n" + change + "\n"
        plain, loop = both(textwrap.dedent(source) + namespace, "f(3)")
        assert loop == plain


def test_super_and_class_mean_the_class_of_the_source() -> None:
    source = """
    LOG = []
    class Base:
        def name(self): return "base"
        @classmethod
        def kind(cls): return cls.__name__
    class C(Base):
        def name(self): return "C"
        @tailrec
        async def f(self, n):
            LOG.append((super().name(), __class__.__name__, super(C, self).kind()))
            return await self.f(n - 1) if n else [super().name() for _ in range(2)]
        @classmethod
        @tailrec
        async def g(cls, n):
            return await cls.g(n - 1) if n else (super().kind(), lambda: __class__)[0]
        def nested(self):
            @tailrec
            async def inner(n):
                return await inner(n - 1) if n else (__class__.__name__, super(__class__, self).name())
            return inner
    class D(C): pass
    """
    for expression in ("C().f(2)", "D().f(2)", "D.g(2)", "D().nested()(2)"):
        plain, loop = both(source, expression)
        assert loop == plain
    for method in (world(source)["C"].f, world(source)["C"].g):
        assert explain_tailcalls(method).mode == "direct"


def test_private_names_are_those_of_the_class() -> None:
    source = """
    class _Odd__:
        __secret = 5
        @tailrec
        async def __f(self, __n, __acc=(), *, __k=1):
            __local = __n
            if not __n:
                return __acc, __k, self.__secret
            return await self.__f(__n - 1, (*__acc, __local), __k=__k + 1)
        @tailrec
        async def g(self, __n, *, __k=9):
            if __n == 3: __once = 1
            try:
                __once
            except UnboundLocalError as error:
                if __n == 0: return str(error), __k
            return await self.g(__n - 1)
        @tailrec
        async def __h(self, n, **__more):
            return await self.__h(n - 1, __x=n, y=2) if n else __more
        def make(self):
            @tailrec
            async def __inner(n):
                return await __inner(n - 1) if n else self.__secret
            return __inner
    """
    for expression in (
        "_Odd__()._Odd____f(3)",
        "_Odd__().g(4, _Odd____k=3)",
        "_Odd__()._Odd____h(2)",
        "_Odd__().make()(2)",
    ):
        plain, loop = both(source, expression)
        assert loop == plain


def test_another_self_given_by_the_class_is_asked_for_its_own_method() -> None:
    source = """
    LOG = []
    class C:
        @tailrec
        async def f(self, other, n):
            LOG.append((type(self).__name__, n))
            if n == 2:
                return await C.f(other, self, n - 1)
            return await self.f(other, n - 1) if n else 1
    class D(C):
        async def f(self, other, n):
            LOG.append("D")
            return await super().f(other, n)
    """
    plain, loop = both(source, "C().f(D(), 4)")
    assert loop == plain


def test_a_method_of_a_class_in_a_function_loops() -> None:
    source = """
    def make():
        class Local:
            @tailrec
            async def f(self, n):
                return await self.f(n - 1) if n else 1
            @staticmethod
            @tailrec
            async def g(n):
                return await Local.g(n - 1) if n else Local.__name__
        return Local
    """
    local = world(source)["make"]()
    assert outcome(lambda: local().f(DEEP)) == 1
    assert outcome(lambda: local.g(DEEP)) == "Local"
