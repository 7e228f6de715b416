"""What runs as frames: each transition has cells, variables and blocks of its own, as each call has."""

from __future__ import annotations

import asyncio
import contextlib
import dis
import gc
import inspect
import linecache
import sys
import textwrap
import traceback
import tracemalloc
import warnings
import weakref
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from loom_core.tailcalls import explain_tailcalls, tailrec
from loom_core.tailcalls.frames import Next

NUMBERS = count()


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def namespace(source: str, **names: Any) -> dict[str, Any]:
    text = textwrap.dedent(source).lstrip("\n")
    path = f"<frames {next(NUMBERS)}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    found: dict[str, Any] = {"__name__": "program", "asyncio": asyncio, "contextlib": contextlib, **names}
    with warnings.catch_warnings():
        # From Python 3.14 on, `return` in `finally` is warned of here; by the decorator it must not be.
        warnings.simplefilter("ignore", SyntaxWarning)
        code = compile(text, path, "exec")
    exec(code, found)
    return found


def both(source: str, options: str = "()") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a program twice: ``@T`` is nothing in the first, and ``@tailrec`` in the second."""
    loop = namespace(source.replace("@T", f"@tailrec{options}"), tailrec=tailrec)
    return namespace(source.replace("@T", "@(lambda fn: fn)")), loop


def outcome(names: dict[str, Any], call: str) -> object:
    try:
        result: object = ("returned", run(eval(call, names)))
    except Exception as error:
        result = ("raised", type(error), error.args, error.__context__ is None)
    return result, names.get("LOG")


def agrees(source: str, call: str, options: str = "()") -> object:
    plain, loop = both(source, options)
    expected = outcome(plain, call)
    assert outcome(loop, call) == expected
    return expected


CAPTURES = {
    "lambda": "out.append(lambda: (n, x))",
    "function with default": "def g(y=x): return n, y\n    out.append(g)",
    "generator expression": "out.append((q + n for q in range(x)).__next__)",
    "class": "class K:\n        def g(self): return n, x\n    out.append(K().g)",
    "nested twice": "out.append(lambda: (lambda: (n, x))())",
    "lambda in a comprehension": "out += [lambda: (n, x, q) for q in range(2)]",
    "lambda that writes": "def g():\n        nonlocal x\n        x += 1\n        return n, x\n    out += [g, g]",
    "argument": "out = [*out, *(lambda *a, **k: a)(lambda: n, lambda: x)]",
}


@pytest.mark.parametrize("capture", CAPTURES.values(), ids=CAPTURES)
def test_what_is_captured_in_a_transition_keeps_the_values_of_that_transition(capture: str) -> None:
    source = f"""
@T
async def f(n, out):
    x = n + 1
    {capture}
    x += 10
    if n:
        return await f(n - 1, out)
    return [one() for one in out]
"""
    plain, loop = both(source)
    assert explain_tailcalls(loop["f"]).mode == "frames"
    assert run(loop["f"](3, [])) == run(plain["f"](3, []))


def test_parameters_that_are_captured_are_fresh_also_when_they_are_passed_on_by_stars() -> None:
    source = """
    @T
    async def f(n, *args, k=0, **kw):
        args = (*args, lambda: (n, args, k, kw))
        return await f(n - 1, *args, **kw, k=n) if n else [one()[::2] for one in args]
    """
    agrees(source, "f(3, z=1)")


def test_locals_that_were_never_assigned_are_unbound_in_each_transition() -> None:
    source = """
    @T
    async def f(n, seen):
        g = lambda: late
        try:
            seen.append(g())
        except NameError as error:
            seen.append(str(error))
        late = n
        return await f(n - 1, seen) if n else seen
    """
    unbound = "cannot access free variable 'late' where it is not associated with a value in enclosing scope"
    assert agrees(source, "f(2, [])") == (("returned", [unbound] * 3), None)


BY_NAME = {
    "order": "list(locals())",
    "locals": "sorted((k, v) for k, v in locals().items() if k != 'f')",
    "eval": "eval('n, k, x')",
    "vars": "list(vars())",
    "dir": "dir()",
    "exec": "exec('LOG.append(sorted(locals()))')",
    "comprehension": "[sorted(locals()) for _ in range(1)] and 0",
}


@pytest.mark.parametrize("read", BY_NAME.values(), ids=BY_NAME)
@pytest.mark.parametrize("own", [True, False])
def test_who_reads_variables_by_name_sees_the_users_only(read: str, *, own: bool) -> None:
    source = f"""
    LOG = []
    def outer():
        free = 1
        @T
        async def f(n, *args, k=2, **kw):
            x = free
            LOG.append({read})
            return await f(n - 1, n, k=k + 1, z=x) if n else 0
        def rebind():
            nonlocal f
            original = f
            async def f(*args, **kw):
                return await original(*args, **kw)
        {"" if own else "rebind()"}
        return f
    f = outer()
    """
    agrees(source, "f(2)")


def test_frames_show_the_users_variables_only() -> None:
    seen: list[list[str]] = []

    @tailrec
    async def f(n: int) -> int:
        keep = lambda: n  # noqa: E731
        seen.append(sorted(sys._getframe().f_locals))
        return await f(n - 1) if n else keep()

    assert run(f(1)) == 0
    assert seen == [["f", "keep", "n", "seen"]] * 2


BLOCKS = """
# finally
try:
    return await f(n - 1)
finally:
    LOG.append(("left", n))
# finally that sees the arguments
try:
    n -= 1
    return await f(n)
finally:
    LOG.append(n)
# except
try:
    LOG.append(1 // 0)
except ZeroDivisionError as e:
    return await f(n - len(e.args))
# else
try:
    pass
except ValueError:
    pass
else:
    return await f(n - 1)
# try star
try:
    return await f(n - 1)
except* ValueError:
    pass
# with
with C(n):
    return await f(n - 1)
# async with
async with C(n):
    LOG.append("in")
    return await f(n - 1)
# nested
with C(1), C(2):
    for i in 5, 6:
        async with C(i):
            return await f(n - 1)
# exit that fails
with C(13):
    return await f(n - 1)
# loop else
for i in range(2):
    with C(i):
        if i:
            return await f(n - 1)
else:
    LOG.append("no")
# finally that returns
try:
    return await f(n - 1)
finally:
    return "finally"
# match, and, or, conditional
match n:
    case 3:
        with C(3):
            return n and await f(n - 1)
    case _ if n == 2:
        with C(2):
            return n == 5 or await f(n - 1)
    case _:
        with C(1):
            return await f(n - 1) if n else 7
# arguments that fail
try:
    return await f(n - 1, *5)
except TypeError as e:
    LOG.append(str(e))
# call that does not bind
try:
    return await f(*[n, n])
except TypeError as e:
    LOG.append(str(e))
"""
CASES = dict(one.split("\n", 1) for one in BLOCKS.split("# ")[1:])
LEAVE_FIRST = """
import sys
LOG = []
class C:
    def __init__(self, name): self.name = name
    def __enter__(self): LOG.append(("enter", self.name))
    def __exit__(self, kind, *_):
        LOG.append(("exit", self.name, kind))
        if self.name == 13: raise ValueError("exit")
    async def __aenter__(self): self.__enter__()
    async def __aexit__(self, *all):
        await asyncio.sleep(0)
        self.__exit__(*all)
@T
async def f(n):
    LOG.append(("begin", n, sys.exc_info()))
    if n <= 0: return "end"
{block}
"""


@pytest.mark.parametrize("block", CASES.values(), ids=CASES)
def test_a_block_is_left_before_the_next_transition(block: str) -> None:
    block = textwrap.indent(block, "    ")
    # The meaning in Python: bind inside the block, leave it, then go on.
    meant = LEAVE_FIRST.format(block=block.replace("await f(", "make(")).replace("@T\nasync def f", "async def step")
    meant += """
class Later(tuple): pass
def make(n): return Later((n,))
make.__qualname__ = "f"
async def f(n):
    result = Later((n,))
    while type(result) is Later:
        result = await step(*result)
    return result
"""
    _, loop = both(LEAVE_FIRST.format(block=block), '(blocks="leave-first")')
    assert outcome(loop, "f(3)") == outcome(namespace(meant), "f(3)")
    report = explain_tailcalls(loop["f"])
    assert (report.mode, report.accepted) == ("frames", True)


def test_a_transaction_commits_before_the_next_transition_and_rolls_back_only_its_own() -> None:
    source = """
    LOG = []
    @contextlib.asynccontextmanager
    async def transaction(n):
        try:
            yield
        except ValueError:
            LOG.append(f"rollback {n}")
            raise
        else:
            LOG.append(f"commit {n}")
    @T
    async def f(n):
        async with transaction(n):
            if n == 0: raise ValueError("bottom")
            return await f(n - 1)
    """
    _, loop = both(source, '(blocks="leave-first")')
    assert outcome(loop, "f(2)")[0][:2] == ("raised", ValueError)  # type: ignore[index]
    assert loop["LOG"] == ["commit 2", "commit 1", "rollback 0"]


def test_suppress_swallows_what_its_own_transition_raises_only() -> None:
    source = """
    @T
    async def f(n):
        with contextlib.suppress(ValueError):
            if n == 0: raise ValueError("bottom")
            return await f(n - 1)
        return "after", n
    """
    _, loop = both(source, '(blocks="leave-first")')
    assert run(loop["f"](3)) == ("after", 0)


def test_a_million_transitions_need_no_stack_and_no_memory() -> None:
    @tailrec
    async def f(n: int, keep: Any = None) -> int:
        return await f(n - 1, lambda: n) if n else 0

    tracemalloc.start()
    try:
        assert run(f(100_000)) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000
    assert run(f(1_000_000)) == 0


LETS_GO = """
import gc, weakref
LOG = []
REFS = []
class Big: ...
def alive(): return sum(ref() is not None for ref in REFS)
def watched(big):
    REFS.append(weakref.ref(big))
    return big
@T
async def f(n, big, *more, keep=None):
    await asyncio.sleep(0)
    LOG.append(alive())
    big = more = keep = None
    LOG.append(alive())
    return await f(n - 1, watched(Big()), watched(Big()), keep=(lambda: n, watched(Big()))) if n else "end"
"""


def test_a_frame_is_let_go_when_the_next_begins_and_a_parameter_when_it_is_rebound() -> None:
    _, loop = both(LETS_GO)
    result = run(loop["f"](3, loop["watched"](loop["Big"]())))  # an assert would keep the argument
    assert result == "end"
    assert loop["LOG"] == [1, 0, 3, 0, 3, 0, 3, 0]


@pytest.mark.parametrize("value", [(), (1, 2), (1, 2, 3), [1], None])
def test_no_result_of_the_user_is_mistaken_for_a_transition(value: object) -> None:
    @tailrec
    async def f(n: int) -> object:
        return await f((lambda: n)() - 1) if n else value

    assert run(f(2)) is value


def test_a_result_that_answers_for_its_class_is_not_asked() -> None:
    class Liar:
        __class__ = Next  # type: ignore[assignment]

    @tailrec
    async def f(n: int) -> object:
        return await f((lambda: n)() - 1) if n else Liar()

    assert type(run(f(2))) is Liar


def test_tracebacks_show_the_def_and_the_users_line() -> None:
    source = """
    @T
    async def f(
        n,
        keep=None,
    ):
        if n == 0:
            raise ValueError("bottom")
        return await f(n - 1, lambda: n)
    """
    _, loop = both(source)
    with pytest.raises(ValueError, match="bottom") as raised:
        run(loop["f"](500))
    frames = [(one.name, one.line) for one in traceback.extract_tb(raised.value.__traceback__)][-2:]
    assert frames == [("f", "async def f("), ("f", 'raise ValueError("bottom")')]
    shown = "".join(traceback.format_exception(raised.value))
    assert "keep=None" not in shown


ERRORS = [
    "f()",
    "f(1, 2, 3)",
    "f(1, x=2)",
    "f(1, n=1)",
    "f(1, **{'n': 2})",
    "f(1, **{'a': 2}, **{'a': 3})",
    "f(*5)",
    "f(**5)",
    "f(1, *LOG)",
]


@pytest.mark.parametrize("call", ERRORS)
def test_errors_of_binding_are_pythons_own_at_the_users_line(call: str) -> None:
    source = f"""
    LOG = [1, 2, 3]
    @T
    async def f(n, a=1):
        if (lambda: n)() == 3:
            return await f(n - 1)
        return await {call}
    """
    plain, loop = both(source)
    assert outcome(loop, "f(3)") == outcome(plain, "f(3)")
    with pytest.raises(TypeError) as raised:
        run(loop["f"](3))
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.name, last.line) == ("f", f"return await {call}")


def test_a_binding_error_marks_the_call_in_the_traceback() -> None:
    source = """
    @T
    async def f(n, keep=None):
        return await f(n - 1, lambda: n) if n else await f(*[])
    """
    plain, loop = both(source)
    marks = []
    for names in (plain, loop):
        with pytest.raises(TypeError) as raised:
            run(names["f"](1))
        last = traceback.extract_tb(raised.value.__traceback__)[-1]
        marks.append((last.line, last.colno, last.end_colno))
    assert marks[0] == marks[1]


def test_cancellation_arrives_in_the_frame_that_waits() -> None:
    source = """
    LOG = []
    async def main():
        started = asyncio.Event()
        @T
        async def f(n):
            try:
                LOG.append((lambda: n)())
                if n == 0:
                    started.set()
                    await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                LOG.append("cancelled")
                raise
            return await f(n - 1)
        task = asyncio.create_task(f(2))
        await started.wait()
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            LOG.append("gone")
    """
    assert agrees(source, "main()") == (("returned", None), [2, 1, 0, "cancelled", "gone"])


def test_what_is_thrown_into_the_coroutine_reaches_the_frame_that_waits() -> None:
    source = """
    LOG = []
    class Once:
        def __await__(self):
            return (yield "waiting")
    @T
    async def f(n):
        keep = lambda: n
        try:
            LOG.append(await Once() if n == 0 else n)
        except KeyError as error:
            LOG.append(repr(error))
        return await f(n - 1) if n >= 0 else keep()
    def drive():
        coroutine = f(1)
        LOG.append(coroutine.send(None))
        LOG.append(type(coroutine).__name__)
        try:
            coroutine.throw(KeyError("thrown"))
        except StopIteration as stop:
            LOG.append(stop.value)
        closed = f(0)
        closed.send(None)
        closed.close()
    """
    plain, loop = both(source)
    for names in (plain, loop):
        names["drive"]()
    assert loop["LOG"] == plain["LOG"]


def test_nothing_is_created_and_not_awaited() -> None:
    source = """
    @T
    async def f(n, keep=None):
        return await f(n - 1, lambda: n) if n else await f(*[])
    """
    _, loop = both(source)
    with pytest.raises(TypeError):
        run(loop["f"](10))
    gc.collect()  # a coroutine that was dropped would warn here, and warnings are errors


def test_defaults_that_were_changed_are_seen_at_the_next_outer_call() -> None:
    source = """
    @T
    async def f(n, a=1, *, k=2):
        if n: return await f((lambda: n)() - 1)
        return a, k
    """
    for change in (
        "f.__defaults__ = (9,)",
        "f.__defaults__ = None",
        "f.__kwdefaults__['k'] = 8",
        "f.__kwdefaults__ = {}",
    ):
        plain, loop = both(source)
        for names in (plain, loop):
            run(names["f"](2))
            exec(change, names)
        assert outcome(loop, "f(2, 1)") == outcome(plain, "f(2, 1)")


def test_defaults_are_those_of_what_the_name_refers_to() -> None:
    async def f(n: int, a: int = 1, keep: Any = None) -> int:
        return await f(n - 1, keep=lambda: n) if n else a

    loop = tailrec(f)
    f.__defaults__ = (5, None)
    assert run(loop(1)) == 5


def test_truth_is_tested_as_often_as_in_the_recursion() -> None:
    source = """
    LOG = []
    class Truth:
        def __init__(self, value): self.value = value
        def __bool__(self):
            LOG.append(self.value)
            return self.value
    @T
    async def f(n):
        keep = lambda: n
        if n == 3: return Truth(True) and await f(n - 1)
        if n == 2: return Truth(False) or (Truth(True) and await f(n - 1))
        if n == 1: return (Truth(False) and Truth(True)) or await f(n - 1)
        return (Truth(False) and await f(n)) is None
    """
    source = source.replace("(Truth(False) and await f(n)) is None", "Truth(True) and 0 or Truth(False) and await f(n)")
    plain, loop = both(source)
    run(plain["f"](3))
    run(loop["f"](3))
    assert loop["LOG"] == plain["LOG"]
    assert explain_tailcalls(loop["f"]).mode == "frames"


def test_names_resolve_where_the_function_stands() -> None:
    source = """
    LOG = []
    G = 1
    class Base:
        async def m(self, n): return "base", n
    def make():
        shared = 10
        class C(Base):
            __secret = 3
            @T
            async def m(self, n, *, __hidden=7):
                global G
                nonlocal shared
                G += 1
                shared += 1
                self.__own = n
                def inner(): return __class__, self.__secret, n
                LOG.append((inner.__qualname__, inner()[1:], __hidden, inner()[0].__name__, self.__own, shared, G))
                return await self.m(n - 1, _C__hidden=n) if n else await super().m(n)
            @T
            @classmethod
            async def c(cls, n, keep=None):
                return await cls.c(n - 1, lambda: n) if n else (cls.__name__, keep())
            @T
            @staticmethod
            async def s(n, keep=None):
                return await C.s(n - 1, lambda: n) if n else keep()
        return C
    C = make()
    """
    agrees(source, "C().m(2)")
    agrees(source, "C().c(2)")
    agrees(source, "C.c(2)")
    agrees(source, "C().s(2)")
    _, loop = both(source)
    assert [explain_tailcalls(vars(loop["C"])[name]).mode for name in "mcs"] == ["frames"] * 3


@pytest.mark.parametrize("keep", ["", "keep = lambda: n"])
def test_a_method_that_goes_on_with_another_object_asks_that_object(keep: str) -> None:
    source = f"""
    class A:
        @T
        async def m(self, n, peer):
            {keep}
            if n > 5: return await A.m(peer, n - 1, self)
            return await self.m(n - 1, peer) if n else "A"
    class B(A):
        async def m(self, n, peer): return "B", n
    """
    assert agrees(source, "A().m(6, B())") == (("returned", ("B", 4)), None)


PRIVATE = ["self.m(n - 1)", "self.m(n - 1, _C__k=n)", "self.m(n - 1, __k=n)", "self.m(n - 1, **{'_C__k': n})"]


@pytest.mark.parametrize("call", PRIVATE)
@pytest.mark.parametrize("keep", ["", "keep = lambda: n"])
def test_a_private_parameter_is_spelled_with_its_class_and_a_keyword_is_not(call: str, keep: str) -> None:
    source = f"""
    class C:
        @T
        async def m(self, n, a=(), *, __k=1):
            {keep}
            if n == 9: return await self.m(n - 1)
            return await {call} if n else (a, __k)
    """
    agrees(source, "C().m(9, 5, _C__k=7)")


QUALIFIED = [
    ("", "f", ""),
    ("def o():", "f", "    return f\nf = o()"),
    ("class K:", "K.f", "f = K.f"),
    ("class K:\n    def o():", "f", "        return f\nf = K.o()"),
    ("def o():\n    class K:", "K.f", "    return K.f\nf = o()"),
    ("def o():\n    class K:\n        def p():", "f", "            return f\n    return K.p()\nf = o()"),
    ("class J:\n    class K:", "self.f", "f = J.K().f"),
    ("def o():\n    global f", "f", "o()"),
    ("def f():", "f", "    return f\nf = f()"),
    ("class f:", "f.f", "f = f.f"),
    ("def o():\n    global K\n    class K:", "K.f", "o()\nf = K.f"),
]


@pytest.mark.parametrize(("before", "callee", "after"), QUALIFIED)
def test_what_is_defined_inside_is_named_as_in_the_recursion(before: str, callee: str, after: str) -> None:
    first = "self, n" if callee == "self.f" else "n"
    definition = f"""
@T
async def f({first}, __p=1):
    class Inside:
        def g(self): return n
    if n < 0: return await {callee}(n - 1)
    return Inside.__qualname__, Inside.g.__qualname__, Inside.g.__code__.co_qualname, f_name()
"""
    depth = before.count("def ") + before.count("class ")
    inside = textwrap.indent(definition, "    " * depth)
    source = f"import sys\ndef f_name(): return sys._getframe(1).f_code.co_qualname\n{before}{inside}{after}\n"
    agrees(source, "f(0)")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are of Python 3.12")
@pytest.mark.parametrize("keep", ["", "keep = lambda: (n, T, U)"])
def test_type_parameters_are_variables_like_others(keep: str) -> None:
    source = f"""
    class C[U]:
        @T
        async def m[T](self, n: T) -> U:
            {keep}
            def inner[W](x: W): return str(W), str(T), str(U), inner.__qualname__, x
            return await self.m(n - 1) if n else (inner(n), __class__.__name__)
    """
    agrees(source, "C().m(3)")


def test_when_the_name_is_something_else_plain_recursion_runs() -> None:
    source = """
    LOG = []
    def spied(fn):
        async def spy(*args):
            LOG.append(args[0])
            return await fn(*args)
        return spy
    @spied
    @T
    async def f(n, out=()):
        return await f(n - 1, (*out, lambda: n)) if n else [one() for one in out]
    """
    assert agrees(source, "f(3)") == (("returned", [3, 2, 1]), [3, 2, 1, 0])


def test_the_fallback_needs_no_more_stack_than_the_recursion() -> None:
    source = """
    import sys
    DEPTH = []
    def depth():
        frame, found = sys._getframe(1), 0
        while frame: frame, found = frame.f_back, found + 1
        return found
    @T
    async def f(n, keep=None):
        return await g(n - 1, lambda: n) if n < 0 else (await f(n - 1, lambda: n) if n else depth())
    """
    plain, loop = both(source)
    for names in (plain, loop):
        exec("g, original = None, f\nasync def f(*args): return await original(*args)", names)
    assert run(loop["f"](20)) == run(plain["f"](20))


def test_a_patch_that_comes_and_goes_is_followed() -> None:
    @tailrec
    async def f(n: int, keep: Any = None) -> str:
        return await f(n - 1, lambda: n) if n else "own"

    async def other(*_: object) -> str:
        return "other"

    original, f = f, other  # type: ignore[assignment]
    assert run(original(1)) == "other"
    f = original
    assert run(original(5000)) == "own"


def test_awaits_interleave_and_each_outer_call_has_frames_of_its_own() -> None:
    source = """
    LOG = []
    @T
    async def f(name, n, keep=None):
        LOG.append((name, n, keep and keep()))
        await asyncio.sleep(0)
        return await f(name, n - 1, lambda: (name, n)) if n else name
    async def main():
        return await asyncio.gather(f("a", 3), f("b", 2))
    """
    agrees(source, "main()")


def test_identity_signature_and_source_are_the_functions_own() -> None:
    @tailrec
    async def f(n: int, /, a: int = 1, *args: int, k: int, **kw: int) -> int:
        """Documented."""
        return await f((lambda: n)() - 1, k=k) if n else a

    plain = f.__wrapped__  # type: ignore[attr-defined]
    assert (f.__name__, f.__qualname__, f.__module__, f.__doc__) == ("f", plain.__qualname__, __name__, "Documented.")
    assert inspect.signature(f) == inspect.signature(plain)
    assert inspect.getsource(f) == inspect.getsource(plain)
    assert inspect.iscoroutinefunction(f)
    assert f.__code__.co_firstlineno == plain.__code__.co_firstlineno
    assert all(any(cell is mine for mine in f.__closure__ or ()) for cell in plain.__closure__ or ())
    assert (f.__defaults__, f.__kwdefaults__, f.__annotations__) == ((1,), None, plain.__annotations__)


def test_debuggers_and_coverage_see_the_users_lines_and_no_other_file() -> None:
    source = """
    @T
    async def f(n):
        keep = lambda: n
        if n:
            return await f(n - 1)
        return keep()
    """
    _, loop = both(source)
    path = loop["f"].__code__.co_filename
    seen: list[tuple[str, int]] = []

    def trace(frame: Any, event: str, argument: object) -> Any:
        if event == "line" and frame.f_back is not None and "asyncio" not in frame.f_code.co_filename:
            seen.append((frame.f_code.co_filename, frame.f_lineno))
        return trace

    coroutine = loop["f"](1)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        assert stop.value == 0
    finally:
        sys.settrace(before)
    files = {file for file, _ in seen} - {__file__}
    assert {file for file in files if "ownness" not in file and "binder" not in file} == {path}
    body = [line for file, line in seen if file == path and line > 2]
    assert body == [3, 4, 5, 3, 4, 6, 3]


def test_the_body_holds_the_binder_as_a_constant_and_makes_the_call_that_was_written() -> None:
    @tailrec
    async def f(n: int) -> int:
        return await f((lambda: n)() - 1) if n else 0

    cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
    body = cells["@body"].cell_contents
    assert body.__code__.co_freevars == f.__wrapped__.__code__.co_freevars  # type: ignore[attr-defined]
    operations = [one.opname for one in dis.get_instructions(body)]
    jumps = [one for one in operations if "_IF_" in one]
    assert len(jumps) == 1
    assert not [one for one in operations if one in ("GET_AWAITABLE", "SEND")]


def test_functions_made_in_functions_are_collected() -> None:
    def make() -> Any:
        @tailrec
        async def f(n: int) -> int:
            return await f((lambda: n)() - 1) if n else 0

        return f

    fn = make()
    assert run(fn(3)) == 0
    ref = weakref.ref(fn)
    del fn
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("keep", ["", "keep = lambda: n"])
def test_what_the_compiler_warned_of_once_it_does_not_warn_of_again(keep: str) -> None:
    source = f"""
    async def f(n):
        {keep}
        assert (n, "always true")
        return await f(n - 1) if n is not 0 else "\\d"
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = namespace(source)
    names["f"] = tailrec(names["f"])
    assert run(names["f"](5)) == r"\d"


@pytest.fixture(autouse=True)
def _forget_sources() -> Iterator[None]:
    yield
    for path in [path for path in linecache.cache if path.startswith("<frames ")]:
        del linecache.cache[path]
