"""What is accepted behaves like the recursion that it replaces: the traps, one by one."""

from __future__ import annotations

import asyncio
import dis
import functools
import gc
import inspect
import linecache
import pickle
import re
import traceback
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

import loom_core.tailcalls
from loom_core.tailcalls import explain_tailcalls, tailrec
from loom_core.tailcalls import tailrec as by_another_name

RATE = 2


@tailrec
async def count(n: int, total: int = 0) -> int:
    """Count down."""
    if n == 0:
        return total
    return await count(n - 1, total + RATE)


@tailrec
async def fibonacci(n: int, a: int = 0, b: int = 1) -> int:
    return await fibonacci(n - 1, b, a + b) if n else a


@tailrec
async def find(n: int, seen: list[tuple[int, int]]) -> list[tuple[int, int]]:
    for i in range(5):
        for j in range(5):
            if (i, j) == (n, 1):
                seen.append((i, j))
                return await find(n - 1, seen)
        else:
            if i == 4:
                break
    else:
        seen.append((-1, -1))
    return seen


@tailrec
async def endless(n: int) -> str:
    while True:
        n += 1
        while n:
            if n > 10:
                return "done"
            return await endless(n)


@tailrec
async def forgets(n: int, found: list[object]) -> list[object]:
    if n == 3:
        seen = n
    try:
        found.append(seen)
    except UnboundLocalError as error:
        found.append(str(error))
    if n == 0:
        return found
    return await forgets(n - 1, found)


@tailrec
async def chosen(value: object, n: int = 3) -> object:
    match value:
        case [first, *rest] if n:
            return await chosen(rest, n=n - first)
        case {"next": inner}:
            return await chosen(inner)
        case _:
            return value, n


@tailrec
async def blocks(n: int, log: list[object]) -> list[object]:
    """A block that is left before the tail call is no obstacle."""
    try:
        log.append(1 // (n - 2))
    except ZeroDivisionError as error:
        log.append(str(error))
    finally:
        log.append("finally")
    if n == 0:
        return log
    return await blocks(n - 1, log)


@tailrec
async def fails(n: int) -> None:
    if n == 0:
        raise ValueError("bottom")
    return await fails(n - 1)


def make(start: int) -> tuple[Callable[[int], Any], Callable[[], int]]:
    shared = start

    @tailrec
    async def inner(n: int, *, step: int = 1) -> int:
        nonlocal shared
        shared += step
        if n:
            return await inner(n - 1, step=step)
        return shared

    return inner, lambda: shared


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def test_a_million_transitions_need_no_stack_and_no_memory() -> None:
    tracemalloc.start()
    try:
        assert run(count(1_000_000)) == 2_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000


def test_arguments_are_assigned_at_once_and_not_one_after_the_other() -> None:
    assert run(fibonacci(90)) == 2880067194370816120


def test_the_loop_is_the_handwritten_one_instruction_for_instruction() -> None:
    async def by_hand(n: int, a: int, b: int) -> int:
        while True:
            if n:
                n = n - 1
                a, b = b, a + b
                continue
            return a

    def loop_of(code: Any) -> list[str]:
        found = list(dis.get_instructions(code))
        end = next(i for i, one in enumerate(found) if one.opname.startswith("JUMP_BACKWARD"))
        start = next(i for i, one in enumerate(found) if one.offset == found[end].argval)
        names = (one.opname for one in found[start:end] if one.opname not in ("NOP", "RESUME"))
        # From 3.13 on, neighbours are fused into one instruction, and which they are depends on the order of stores;
        # from 3.14 on, loads may borrow, which is decided by what follows.
        whole = (name.replace("_BORROW", "") for name in names)
        return sorted(part for name in whole for part in re.sub(r"(_FAST)_(?=LOAD|STORE)", r"\1 ", name).split())

    assert loop_of(fibonacci.__code__) == loop_of(by_hand.__code__)


def test_a_tail_call_inside_nested_loops_leaves_all_of_them() -> None:
    assert run(find(3, [])) == run(find.__wrapped__(3, [])) == [(3, 1), (2, 1), (1, 1), (0, 1)]
    assert run(endless(1)) == "done"


def test_a_local_of_an_earlier_iteration_is_unbound_again() -> None:
    unbound = "cannot access local variable 'seen' where it is not associated with a value"
    assert run(forgets(4, [])) == [unbound, 3, unbound, unbound, unbound]


def test_only_locals_that_may_be_stale_are_reset() -> None:
    def deleted(of: Any) -> list[str]:
        return [one.argval for one in dis.get_instructions(of.__code__) if one.opname == "DELETE_FAST"]

    assert "seen" in deleted(forgets)
    assert deleted(find) == []
    assert deleted(chosen) == []


def test_match_statements_are_tail_positions() -> None:
    assert run(chosen([1, 1, 1, 9])) == ([9], 0)
    assert run(chosen({"next": {"next": 7}}, n=1)) == (7, 3)


def test_blocks_that_are_left_before_the_tail_call_run_as_written() -> None:
    assert run(blocks(3, [])) == run(blocks.__wrapped__(3, []))


def test_real_cells_are_shared_and_rebound() -> None:
    one, read_one = make(0)
    other, read_other = make(100)
    assert run(one(3)) == 4
    assert run(other(0, step=5)) == 105
    assert (read_one(), read_other()) == (4, 105)
    original = one.__wrapped__
    assert all(any(cell is mine for mine in one.__closure__) for cell in original.__closure__)
    assert one.__globals__ is original.__globals__


def test_globals_are_late_bound_and_can_be_patched() -> None:
    with mock.patch.dict(globals(), RATE=10):
        assert run(count(3)) == 30
    assert run(count(3)) == 6


def test_when_the_name_is_something_else_plain_recursion_runs() -> None:
    calls: list[int] = []

    async def spy(n: int, total: int = 0) -> int:
        calls.append(n)
        return await original(n, total)

    original = count
    with mock.patch.dict(globals(), count=spy):
        assert run(original(3)) == 6
        assert explain_tailcalls(original).notes == (
            "its name refers to something else now (a decorator above, a patch): plain recursion runs",
        )
    assert calls == [2, 1, 0]
    assert explain_tailcalls(original).notes == ()


def test_when_the_name_is_gone_the_error_comes_where_the_recursion_has_it() -> None:
    source = "LOG = []\nasync def gone(n):\n    LOG.append(n)\n    return await gone(n - 1)\n"
    plain, loop = namespaces(source, "gone")
    for names in (plain, loop):
        fn = names.pop("gone")
        with pytest.raises(NameError, match="name 'gone' is not defined"):
            run(fn(3))
        assert names["LOG"] == [3]


def test_decorators_above_see_every_call_of_the_recursion() -> None:
    depths: list[int] = []

    def counted(fn: Any) -> Any:
        @functools.wraps(fn)
        async def wrapper(n: int) -> Any:
            depths.append(n)
            return await fn(n)

        return wrapper

    @counted
    @tailrec
    async def down(n: int) -> int:
        return await down(n - 1) if n else 0

    assert run(down(3)) == 0
    assert depths == [3, 2, 1, 0]
    assert explain_tailcalls(down).notes


def test_a_loop_made_by_a_plain_call_loops_although_the_name_is_still_the_recursion() -> None:
    async def down(n: int) -> int:
        return await down(n - 1) if n else 0

    assert run(tailrec(down)(100_000)) == 0


def test_defaults_are_evaluated_once_and_are_the_functions_own() -> None:
    source = """
MADE = []
def made(value):
    MADE.append(value)
    return [value]
async def f(n, /, a=made(1), *, k=made(2)):
    a.append(n)
    k.append(-n)
    if n:
        return await f(n - 1)
    return a, k
"""
    for names in namespaces(source, "f"):
        assert run(names["f"](2)) == ([1, 2, 1, 0], [2, -2, -1, 0])
        assert names["MADE"] == [1, 2]


@pytest.mark.parametrize("change", ["f.__defaults__ = (9,)", "f.__defaults__ = None", "f.__kwdefaults__['k'] = 8"])
def test_defaults_that_were_changed_are_seen_at_the_next_outer_call(change: str) -> None:
    source = "async def f(n, a=1, *, k=2):\n    if n:\n        return await f(n - 1)\n    return a, k\n"
    outcomes = []
    for names in namespaces(source, "f"):
        exec(change, names)
        try:
            outcomes.append(run(names["f"](2, 1)))
        except TypeError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_arguments_are_evaluated_once_in_the_order_in_which_they_are_written() -> None:
    source = """
LOG = []
def e(value):
    LOG.append(value)
    return value
async def f(n, a, b, c, d):
    if not n:
        return a, b, c, d
    return await f(d=e(a), n=e(n - 1), c=e(b), a=(b := e(c)), b=e(d) + b)
"""
    plain, loop = namespaces(source, "f")
    assert run(plain["f"](4, 1, 2, 3, 4)) == run(loop["f"](4, 1, 2, 3, 4))
    assert plain["LOG"] == loop["LOG"]


def test_a_deleted_parameter_is_missed_where_the_recursion_misses_it() -> None:
    source = "async def f(n, a=1):\n    if n == 1:\n        del a\n    return await f(n - 1, a) if n else a\n"
    for names in namespaces(source, "f"):
        with pytest.raises(UnboundLocalError, match="'a'"):
            run(names["f"](2))


def test_comprehensions_see_the_values_of_their_own_iteration() -> None:
    source = """
async def f(n, out):
    out.append([n * q for q in range(2)] + sorted({n + q for q in range(2)}))
    return await f(n - 1, out) if n else out
"""
    plain, loop = namespaces(source, "f")
    assert run(plain["f"](3, [])) == run(loop["f"](3, []))


def test_global_and_nonlocal_writes_reach_their_variable() -> None:
    source = "TOTAL = 0\nasync def f(n):\n    global TOTAL\n    TOTAL += n\n    return await f(n - 1) if n else TOTAL\n"
    plain, loop = namespaces(source, "f")
    assert run(plain["f"](4)) == run(loop["f"](4)) == loop["TOTAL"] == 10


def test_identity_signature_and_source_are_the_functions_own() -> None:
    wrapped = count.__wrapped__
    assert (count.__name__, count.__qualname__, count.__module__) == ("count", "count", wrapped.__module__)
    assert (count.__doc__, count.__annotations__) == ("Count down.", wrapped.__annotations__)
    assert inspect.iscoroutinefunction(count)
    assert inspect.signature(count) == inspect.signature(wrapped)
    assert inspect.getsource(count) == inspect.getsource(wrapped)
    assert count.__code__.co_firstlineno == wrapped.__code__.co_firstlineno
    assert count.__code__.co_varnames[:2] == wrapped.__code__.co_varnames[:2]
    assert make(0)[0].__code__.co_qualname == "make.<locals>.inner"


def test_names_of_what_is_defined_inside_are_kept() -> None:
    def outer() -> Any:
        @tailrec
        async def f(n: int) -> Any:
            class Inside: ...

            return await f(n - 1) if n else (Inside.__qualname__, (lambda: 0).__qualname__)

        return f

    f = outer()
    assert run(f(1)) == run(f.__wrapped__(0))


def test_a_traceback_points_at_the_users_lines() -> None:
    lines, first = inspect.getsourcelines(fails)
    expected = first + next(i for i, line in enumerate(lines) if "raise" in line)
    with pytest.raises(ValueError, match="bottom") as raised:
        run(fails(1000))
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert [frame.lineno for frame in frames if frame.name == "fails"] == [expected]


def test_python_binds_the_outer_call_with_its_own_errors() -> None:
    with pytest.raises(TypeError) as loop:
        count(1, 2, 3)
    with pytest.raises(TypeError) as plain:
        count.__wrapped__(1, 2, 3)
    assert str(loop.value) == str(plain.value)


def test_awaits_interleave_and_cancellation_arrives_in_the_middle() -> None:
    log: list[tuple[str, int]] = []

    @tailrec
    async def ping(name: str, n: int) -> str:
        log.append((name, n))
        await asyncio.sleep(0)
        return await ping(name, n - 1) if n else name

    async def main() -> None:
        assert await asyncio.gather(ping("a", 2), ping("b", 2)) == ["a", "b"]
        forever = asyncio.create_task(ping("c", 10**9))
        while ("c", 10**9 - 3) not in log:
            await asyncio.sleep(0)
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever

    run(main())
    assert log[:6] == [("a", 2), ("b", 2), ("a", 1), ("b", 1), ("a", 0), ("b", 0)]


def test_values_of_earlier_iterations_are_let_go() -> None:
    class Big: ...

    alive: list[weakref.ref[Big]] = []

    @tailrec
    async def pass_on(n: int, big: Big) -> int:
        alive.append(weakref.ref(big))
        return await pass_on(n - 1, Big()) if n else sum(ref() is not None for ref in list(alive))

    # The generator above is no closure over a variable of the loop: `alive` belongs to the test.
    assert run(pass_on(50, Big())) <= 2


def test_functions_made_in_functions_are_collected() -> None:
    fn, _ = make(0)
    ref = weakref.ref(fn)
    del fn
    gc.collect()
    assert ref() is None


def test_pickling_by_name_still_works() -> None:
    assert pickle.loads(pickle.dumps(count)) is count


def test_any_spelling_of_the_decorator_is_known() -> None:
    @by_another_name
    async def one(n: int) -> int:
        return await one(n - 1) if n else 1

    @loom_core.tailcalls.tailrec
    async def two(n: int) -> int:
        return await two(n - 1) if n else 2

    here = tailrec

    @here
    async def three(n: int) -> int:
        return await three(n - 1) if n else 3

    assert [run(fn(5000)) for fn in (one, two, three)] == [1, 2, 3]


def test_asserts_that_pytest_rewrote_are_kept_as_asserts() -> None:
    @tailrec
    async def checked(n: int) -> int:
        assert n >= 0, "below zero"
        return await checked(n - 1) if n else 0

    assert run(checked(5000)) == 0
    with pytest.raises(AssertionError, match="below zero"):
        run(checked(-1))


def test_the_recursion_itself_would_not_have_survived() -> None:
    with pytest.raises(RecursionError):
        run(deep(10**5))
    assert run(tailrec(deep)(10**5)) == 0


async def deep(n: int) -> int:
    return await deep(n - 1) if n else 0


def namespaces(source: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the source executed twice: as it is, and with ``name`` made a loop."""
    found = []
    for kind in ("plain", "loop"):
        path = f"<{kind} {abs(hash(source))}>"
        linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
        names: dict[str, Any] = {"__name__": kind}
        exec(compile(source, path, "exec"), names)
        found.append(names)
    found[1][name] = tailrec(found[1][name])
    return found[0], found[1]
