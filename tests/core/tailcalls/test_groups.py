"""Members of a group hand over to each other: exactly the mutual recursion, in constant stack and memory."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import linecache
import sys
import sysconfig
import textwrap
import traceback
import tracemalloc
import weakref
from collections.abc import Iterator
from itertools import count
from typing import Any
from unittest import mock

import pytest

from loom_core.errors import BadInput
from loom_core.tailcalls import explain_tailcalls, tailrec

NUMBERS = count()


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def both(source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a program twice: ``@T`` is nothing in the first, a member of one group in the second."""
    text = textwrap.dedent(source).lstrip("\n")
    plain = text.replace("@T", "@(lambda fn: fn)")
    return _executed(plain), _executed(text.replace("@T", '@tailrec(group="all")'))


def _executed(text: str) -> dict[str, Any]:
    path = f"<groups {next(NUMBERS)}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    names: dict[str, Any] = {"__name__": "program", "asyncio": asyncio, "tailrec": tailrec, "functools": functools}
    exec(compile(text, path, "exec"), names)
    return names


def outcome(names: dict[str, Any], call: str) -> object:
    try:
        result: object = ("returned", run(eval(call, names)))
    except Exception as error:
        result = ("raised", type(error), error.args)
    return result, names.get("LOG")


def agrees(source: str, call: str) -> object:
    plain, loop = both(source)
    expected = outcome(plain, call)
    assert outcome(loop, call) == expected
    return expected


@tailrec(group="parity")
async def even(n: int) -> bool:
    if n == 0:
        return True
    return await odd(n - 1)


@tailrec(group="parity")
async def odd(n: int) -> bool:
    """Say whether n is odd."""
    return n != 0 and await even(n=n - 1)


@tailrec(group="machine")
async def first(n: int, log: list[str]) -> list[str]:
    return await second(n - 1, log) if n else log


@tailrec(group=first)
async def second(n: int, log: list[str], *args: int, **kwargs: int) -> list[str]:
    return await third(*[n], log=log)


@tailrec(group=second)
async def third(n: int, *, log: list[str]) -> list[str]:
    log.append("third")
    return await first(n, log)


def test_a_million_transitions_need_no_stack_and_no_memory() -> None:
    tracemalloc.start()
    try:
        assert run(even(50_000)) is True
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000
    assert run(even(1_000_001)) is False


def test_members_may_be_named_by_reference() -> None:
    assert len(run(first(5000, []))) == 5000


def test_the_recursion_itself_would_not_have_survived() -> None:
    source = "async def f(n): return await g(n - 1) if n else 0\nasync def g(n): return await f(n)"
    with pytest.raises(RecursionError):
        run(_executed(source)["f"](10**5))


METHODS = """
LOG = []
class Machine:
    def __init__(self, name): self.name = name
    @T
    async def start(self, n, keep=None):
        LOG.append((self.name, n, keep and keep()))
        return await self.middle(n - 1, keep=lambda: n) if n else "done"
    @T
    @classmethod
    async def build(cls, n, keep=None):
        return await cls.check(n, cls.__name__)
    @T
    @staticmethod
    async def check(n, name):
        return await Machine(name).start(n)
    @T
    async def middle(self, n, **kw):
        return await self.other.start(n, *kw.values())
    @property
    def other(self):
        LOG.append("other")
        return self if self.name == "a" else type(self)("a")
    def __getattr__(self, name):
        LOG.append(name)
        raise AttributeError(name)
class Sub(Machine):
    async def middle(self, n, **kw):
        LOG.append("overridden")
        return await super().middle(n, **kw)
class Super(Machine):
    @T
    async def start(self, n, keep=None):
        return await super().start(n, keep)
"""


@pytest.mark.parametrize("call", ["Machine('a')", "Machine('b')", "Sub('a')", "Super('b')"])
def test_methods_and_overrides_are_those_of_the_object_at_each_call(call: str) -> None:
    agrees(METHODS, f"{call}.start(4)")


@pytest.mark.parametrize(
    "call", ["Machine.build(3)", "Sub.build(3)", "Machine.check(2, 'a')", "Machine.start(Sub('a'), 2)"]
)
def test_classmethods_and_staticmethods_are_members(call: str) -> None:
    agrees(METHODS, call)


def test_methods_need_no_stack() -> None:
    _, loop = both(METHODS)
    assert run(loop["Super"]("b").start(3000)) == "done"
    assert run(loop["Machine"].build(3000)) == "done"


def test_a_patch_is_seen_at_the_very_next_call() -> None:
    seen: list[int] = []

    async def spy(n: int) -> bool:
        seen.append(n)
        return await original(n)

    original = odd
    with mock.patch.dict(globals(), odd=spy):
        assert run(even(5)) is False
    assert seen == [4, 2, 0]
    assert run(even(4)) is True


def test_a_patch_that_the_recursion_makes_itself_is_seen() -> None:
    source = """
    LOG = []
    @T
    async def f(n):
        global g
        if n == 2:
            async def g(n):
                LOG.append("patched")
                return await f(n - 1)
        return await g(n - 1) if n > 0 else n
    @T
    async def g(n):
        LOG.append("own")
        return await f(n - 1)
    """
    agrees(source, "f(6)")


def test_what_is_no_member_is_awaited_as_it_was() -> None:
    source = """
    LOG = []
    class Awaitable:
        def __await__(self):
            LOG.append("awaited")
            return (yield from asyncio.sleep(0, "slept").__await__())
    async def plain(n): return "plain", n
    def wrapper(fn):
        @functools.wraps(fn)
        async def inner(*args):
            LOG.append("inner")
            return await fn(*args)
        return inner
    @T
    async def f(n):
        LOG.append(n)
        if n == 1: return await asyncio.sleep(0, "asyncio")
        if n == 2: return await Awaitable()
        if n == 3: return await plain(n)
        if n == 4: return await functools.partial(g, 3)()
        if n == 5: return await (lambda n: g(n - 1))(n)
        if n == 6: return await wrapped(n - 1)
        if n == 7: return await [g][0](n - 1)
        if n == 8: return await missing(n)
        if n == 9: return await (5)(n)
        if n == 10: return await len("no coroutine")
        if n == 11: return await g.missing(n)
        if n == 12: return await g(n, n)
        if n == 13: return await g(**{"n": n}, **{"n": n})
        return await g(n - 1)
    @T
    async def g(n): return await f(n)
    wrapped = wrapper(g)
    """
    source = source.replace("(5)(n)", "five(n)").replace("LOG = []", "LOG = []\n    five = 5")
    for n in range(1, 16):
        agrees(source, f"f({n})")


def test_the_callee_is_evaluated_before_the_arguments_and_each_once() -> None:
    source = """
    LOG = []
    def log(value):
        LOG.append(str(value)[:9])
        return value
    @T
    async def f(n, *args, k=0):
        if not n: return args, k
        return await log(g)(log(n) - 1, *log([n]), k=log(k + 1), **log({}))
    @T
    async def g(n, *args, **kw): return await (log(f) if log(n) else log(f))(n, *args, **kw)
    """
    agrees(source, "f(3)")


def test_members_of_another_group_or_of_none_are_awaited() -> None:
    source = """
    import sys
    def depth():
        frame, found = sys._getframe(1), 0
        while frame: frame, found = frame.f_back, found + 1
        return found
    @tailrec(group="one")
    async def one(n): return await two(n - 1) if n else depth()
    @tailrec(group="two")
    async def two(n): return await one(n - 1) if n else depth()
    @tailrec
    async def alone(n): return await one(n) if n == 1 else await alone(n - 1)
    """
    names = _executed(textwrap.dedent(source))
    assert run(names["one"](10)) - run(names["one"](0)) == 20
    assert run(names["alone"](100)) > 0


def test_equal_names_in_other_modules_are_other_groups() -> None:
    source = "@tailrec(group='x')\nasync def f(n, g=None): return await g(n - 1, f) if n else 'done'\n"
    one, other = _executed(source), _executed(f"__name__ = 'elsewhere'\n{source}")
    assert run(one["f"](5, other["f"])) == "done"
    with pytest.raises(RecursionError):
        run(one["f"](10_000, other["f"]))
    assert run(one["f"](10_000, _executed(source)["f"])) == "done"


def test_closures_cells_and_unbound_locals_belong_to_their_transition() -> None:
    source = """
    def make():
        shared = 0
        @T
        async def f(n, out):
            nonlocal shared
            shared += 1
            try: out.append(late)
            except UnboundLocalError as error: out.append(str(error))
            late = lambda: (n, shared)
            return await g(n, [*out, late])
        @T
        async def g(n, out):
            return await f(n - 1, out) if n else [one() if callable(one) else one for one in out]
        return f
    f = make()
    """
    agrees(source, "f(3, [])")


def test_variables_read_by_name_are_the_users_only() -> None:
    source = """
    LOG = []
    @T
    async def f(n, *args, k=1, **kw):
        LOG.append(list(locals()))
        return await locals()["kw"].get("then", g)(n - 1) if n else 0
    @T
    async def g(n): return await eval("f")(n, then=g)
    """
    agrees(source, "f(3)")


def test_defaults_are_those_at_the_moment_of_the_call() -> None:
    source = """
    @T
    async def f(n, a=1, *, k=2):
        if n == 2: g.__defaults__ = (n, a)
        if n == 1: g.__kwdefaults__["z"] = "z"
        return await g() if n == 2 else await g(n - 1) if n else (a, k)
    @T
    async def g(n=0, a=5, *, z=0): return await f(n - 1 if n else n, a, k=z)
    """
    agrees(source, "f(7)")
    agrees(source, "f(4)")


def test_a_member_is_let_go_when_the_next_begins_and_a_parameter_when_it_is_rebound() -> None:
    source = """
    import weakref
    LOG = []
    REFS = []
    class Big: ...
    def alive(): return sum(ref() is not None for ref in REFS)
    def watched(big):
        REFS.append(weakref.ref(big))
        return big
    @T
    async def f(n, big):
        await asyncio.sleep(0)
        LOG.append(alive())
        big = None
        LOG.append(alive())
        return await g(n, big=watched(Big()), other=watched(Big())) if n else "end"
    @T
    async def g(n, **kw):
        await asyncio.sleep(0)
        LOG.append(alive())
        kw = None
        LOG.append(alive())
        return await f(n - 1, watched(Big()))
    """
    _, loop = both(source)
    result = run(loop["f"](2, loop["watched"](loop["Big"]())))  # an assert would keep the argument
    assert result == "end"
    assert loop["LOG"] == [1, 0, 2, 0, 1, 0, 2, 0, 1, 0]


def test_tracebacks_show_the_users_lines() -> None:
    source = """
    @T
    async def f(n):
        if n == 0:
            raise ValueError("bottom")
        return await g(n - 1)
    @T
    async def g(n):
        return await f(n) if n != 50 else await f(n, n)
    """
    _, loop = both(source)
    with pytest.raises(ValueError, match="bottom") as raised:
        run(loop["f"](40))
    frames = [(one.name, one.line) for one in traceback.extract_tb(raised.value.__traceback__)]
    assert frames[-2:] == [("f", "async def f(n):"), ("f", 'raise ValueError("bottom")')]
    with pytest.raises(TypeError, match=r"^f\(\) takes 1 positional argument but 2 were given$") as misfit:
        run(loop["f"](100))
    frames = [(one.name, one.line) for one in traceback.extract_tb(misfit.value.__traceback__)]
    assert frames[-2:] == [("f", "async def f(n):"), ("g", "return await f(n) if n != 50 else await f(n, n)")]


def test_cancellation_arrives_in_the_member_that_waits() -> None:
    source = """
    LOG = []
    async def main():
        started = asyncio.Event()
        @T
        async def f(n):
            return await g(n - 1)
        @T
        async def g(n):
            try:
                if n <= 0:
                    started.set()
                    await asyncio.get_running_loop().create_future()
            finally:
                LOG.append(n)
            return await f(n)
        task = asyncio.create_task(f(3))
        await started.wait()
        task.cancel()
        return type((await asyncio.gather(task, return_exceptions=True))[0]).__name__
    """
    assert agrees(source, "main()") == (("returned", "CancelledError"), [2, 1, 0])


def test_calls_in_blocks_stay_awaits_unless_the_block_is_to_be_left_first() -> None:
    source = """
    LOG = []
    @tailrec(group="x"{option})
    async def f(n):
        if n > 1000: return await g(n - 1)
        try:
            return await g(n - 1)
        finally:
            LOG.append(n)
    @tailrec(group="x")
    async def g(n): return await f(n) if n else "end"
    """
    kept = _executed(textwrap.dedent(source.replace("{option}", "")))
    left = _executed(textwrap.dedent(source.replace("{option}", ', blocks="leave-first"')))
    assert run(kept["f"](3)) == run(left["f"](3)) == "end"
    assert (kept["LOG"], left["LOG"]) == ([1, 2, 3], [3, 2, 1])
    assert run(left["f"](900)) == "end"
    with pytest.raises(RecursionError):
        run(kept["f"](900))


def test_a_wrapper_that_took_over_the_attributes_is_no_member() -> None:
    calls: list[int] = []

    @functools.wraps(odd)
    async def wrapper(n: int) -> bool:
        calls.append(n)
        return await odd(n)

    @tailrec(group=even)
    async def start(n: int) -> bool:
        return await wrapper(n - 1)

    assert run(start(3)) is False
    assert calls == [2]


def test_a_group_can_be_given_by_whatever_a_member_is_reached_by() -> None:
    class K:
        @tailrec(group="k")
        @classmethod
        async def c(cls, n: int) -> str:
            return await cls.s(n)

        @tailrec(group=c)
        @staticmethod
        async def s(n: int) -> str:
            return await K().m(n)

        @tailrec(group=s)
        async def m(self, n: int) -> str:
            return await self.c(n - 1) if n else "end"

    @tailrec(group=K().m)
    async def start(n: int) -> str:
        return await K.c(n)

    @tailrec(group=functools.wraps(start)(lambda: None))
    async def before(n: int) -> str:
        return await start(n)

    assert run(before(3000)) == "end"


async def ungrouped(n: int) -> int:
    return await ungrouped(n - 1) if n else 0


GROUPS = [
    (ungrouped, "`ungrouped` is in no group"),
    (tailrec(ungrouped), "`ungrouped` is in no group"),
    (len, "`len` is in no group"),
    (5, "a value of type int"),
    ("", "the name of a group is empty"),
]


@pytest.mark.parametrize(("group", "text"), GROUPS)
def test_what_is_no_group_is_refused_with_a_hint(group: Any, text: str) -> None:
    async def f(n: int) -> int:
        return await f(n - 1) if n else 0

    with pytest.raises(BadInput) as raised:
        tailrec(group=group)(f)
    assert text in str(raised.value)
    assert raised.value.hint


def test_identity_and_explanation_are_the_functions_own() -> None:
    plain = odd.__wrapped__  # type: ignore[attr-defined]
    assert (odd.__name__, odd.__qualname__, odd.__doc__) == ("odd", "odd", "Say whether n is odd.")
    assert inspect.signature(odd) == inspect.signature(plain)
    assert inspect.getsource(odd) == inspect.getsource(plain)
    assert inspect.iscoroutinefunction(odd)
    report = explain_tailcalls(odd)
    assert (report.accepted, report.mode, [site.action for site in report.sites]) == (True, "frames", ["loop"])
    assert "parity" in str(report)


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")) and sys.version_info < (3, 14),
    reason="free-threaded 3.13 keeps functions for ever once a thread was started",
)
def test_members_made_in_functions_are_collected() -> None:
    def make() -> Any:
        @tailrec(group="made")
        async def f(n: int) -> int:
            return await g(n - 1) if n else 0

        @tailrec(group=f)
        async def g(n: int) -> int:
            return await f(n)

        return f

    fn = make()
    assert run(fn(2000)) == 0
    ref = weakref.ref(fn)
    del fn
    gc.collect()
    assert ref() is None


@pytest.fixture(autouse=True)
def _forget_sources() -> Iterator[None]:
    yield
    for path in [path for path in linecache.cache if path.startswith("<groups ")]:
        del linecache.cache[path]
