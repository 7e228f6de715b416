"""What ``tailstream`` accepts: items, forms of the call, names, blocks, memory and speed."""

from __future__ import annotations

import asyncio
import copy
import dis
import gc
import inspect
import pickle
import sys
import traceback
import tracemalloc
import warnings
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any
from unittest import mock

import pytest

from loom_core.errors import BadInput
from loom_core.tailcalls import TailCallError, TailCallWarning, explain_tailcalls, tailrec, tailstream

HERE = sys.modules[__name__]


def items(stream: Any) -> list[Any]:
    async def take() -> list[Any]:
        return [item async for item in stream]

    return asyncio.run(take())


@tailstream
async def down(n: int, *, step: int = 1) -> AsyncIterator[int]:
    """Count down."""
    yield n
    if n > 0:
        async for item in down(n - step):
            yield item


@tailstream
async def guarded(n: int) -> AsyncIterator[int]:
    try:
        yield n
    finally:
        pass
    if n > 0:
        async for item in guarded(n - 1):
            yield item


@tailstream
async def silent(n: int) -> AsyncIterator[int]:
    if n < 0:
        yield n
    elif n:
        async for item in silent(n - 1):
            yield item


@tailstream
async def silent_frames(n: int) -> AsyncIterator[int]:
    if n < 0:
        print((yield n))
    elif n:
        async for item in silent_frames(n - 1):
            yield item


class Pages:
    size = 2

    @tailstream
    async def read(self, cursor: int, seen: tuple[int, ...] = ()) -> AsyncIterator[tuple[int, int]]:
        yield cursor, self.size
        if cursor:
            async for page in self.read(cursor - 1, (*seen, cursor)):
                yield page

    @tailstream
    @classmethod
    async def of(cls, n: int) -> AsyncIterator[tuple[str, int]]:
        yield cls.__name__, n
        while n:
            async for item in cls.of(n - 1):
                yield item
            return

    @classmethod
    @tailstream
    async def of_frames(cls, n: int) -> AsyncIterator[Callable[[], object]]:
        yield lambda: (cls.__name__, n)
        if n:
            async for item in cls.of_frames(n - 1):
                yield item

    @staticmethod
    @tailstream
    async def static(n: int) -> AsyncIterator[int]:
        yield n
        if n:
            async for item in Pages.static(n - 1):
                yield item

    @tailstream
    async def __private(self, n: int) -> AsyncIterator[int]:
        yield n
        if n:
            async for item in self.__private(n - 1):
                yield item

    def private(self, n: int) -> Any:
        return self.__private(n)


class Louder(Pages):
    @tailstream
    async def read(self, cursor: int, seen: tuple[int, ...] = ()) -> AsyncIterator[tuple[int, int]]:
        async for page in super().read(cursor * 0, seen):
            yield page
        yield cursor, len(__class__.__name__)  # type: ignore[name-defined]
        if cursor:
            async for page in self.read(cursor - 1, (*seen, cursor)):
                yield page


def test_the_item_of_every_transition_comes_in_order() -> None:
    assert items(down(3)) == [3, 2, 1, 0]
    assert items(down(4, step=3)) == items(down.__wrapped__(4, step=3)) == [4, 1, 0]  # type: ignore[attr-defined]


def test_methods_classmethods_and_staticmethods_go_on_with_themselves() -> None:
    assert items(Pages().read(2)) == [(2, 2), (1, 2), (0, 2)]
    assert items(Pages.of(1)) == [("Pages", 1), ("Pages", 0)]
    assert items(Louder.of(1)) == [("Louder", 1), ("Louder", 0)]
    assert [item() for item in items(Louder.of_frames(1))] == [("Louder", 1), ("Louder", 0)]
    assert items(Pages().static(2)) == [2, 1, 0]
    assert items(Pages().private(2)) == [2, 1, 0]
    assert items(Louder().read(1)) == [(0, 2), (1, 6), (0, 2), (0, 6)]
    assert explain_tailcalls(Louder.read).mode == "frames"
    assert {explain_tailcalls(one).mode for one in (Pages.read, Pages.of, Pages.static)} == {"direct"}


def test_an_override_a_patch_and_a_shadow_are_seen_at_the_next_outer_call() -> None:
    async def other(*arguments: object) -> AsyncIterator[str]:
        yield "other"

    class Override(Pages):
        async def read(self, cursor: int, seen: tuple[int, ...] = ()) -> AsyncIterator[tuple[int, int]]:
            yield -1, -1
            async for page in Pages.read(self, cursor, seen):
                yield page

    assert items(Override().read(1)) == [(-1, -1), (1, 2), (-1, -1), (0, 2)]
    with mock.patch.object(Pages, "read", other):
        assert items(Pages().read(1)) == ["other"]
    pages = Pages()
    with mock.patch.object(pages, "read", other):
        assert items(Pages.read(pages, 3)) == [(3, 2), "other"]
    for name, fn in (("down", down), ("guarded", guarded)):
        with mock.patch.object(HERE, name, other):
            assert items(fn(3)) == [3, "other"]
            assert "plain recursion runs" in str(explain_tailcalls(fn))
        assert items(fn(3)) == [3, 2, 1, 0]


def test_defaults_that_change_are_seen_at_the_next_outer_call() -> None:
    @tailstream
    async def direct(n: int, k: int = 1, *, m: int = 2) -> AsyncIterator[object]:
        yield n, k, m
        if n:
            async for item in direct(n - 1):
                yield item

    @tailstream
    async def frames(n: int, k: int = 1, *, m: int = 2) -> AsyncIterator[object]:
        print((yield n, k, m)) if n < 0 else None
        yield n, k, m
        if n:
            async for item in frames(n - 1):
                yield item

    for fn in (direct, frames):
        assert items(fn(1)) == [(1, 1, 2), (0, 1, 2)]
        fn.__defaults__ = (5,)
        fn.__kwdefaults__["m"] = 6  # type: ignore[index]
        assert items(fn(1)) == [(1, 5, 6), (0, 5, 6)]
    assert [explain_tailcalls(fn).mode for fn in (direct, frames)] == ["direct", "frames"]


@pytest.mark.parametrize("fn", [silent, silent_frames])
def test_a_million_transitions_that_yield_nothing_take_no_stack_and_no_memory(fn: Any) -> None:
    count = 1_000_000 if fn is silent else 100_000
    items(fn(1000))
    tracemalloc.start()
    try:
        assert items(fn(count)) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_million_items_through_frames_that_close_what_they_opened() -> None:
    async def last(stream: AsyncIterator[int]) -> int:
        found = -1
        async for item in stream:
            found = item
        return found

    assert asyncio.run(last(guarded(300_000))) == 0
    assert asyncio.run(last(down(1_000_000))) == 0


def test_only_the_frame_at_work_is_alive() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    class Thing:
        pass

    @tailstream
    async def holds(n: int, thing: Thing) -> AsyncIterator[int]:
        nonlocal most
        alive.add(thing)
        most = max(most, len(alive))
        try:
            yield n
        finally:
            pass
        if n:
            async for item in holds(n - 1, Thing()):
                yield item

    assert explain_tailcalls(holds).mode == "frames"
    assert len(items(holds(50, Thing()))) == 51
    assert most <= 3


def test_the_item_that_is_taken_is_not_kept() -> None:
    class Item:
        pass

    @tailstream
    async def makes(n: int) -> AsyncIterator[Item]:
        yield Item()
        if n:
            async for item in makes(n - 1):
                yield item

    async def main() -> None:
        stream = makes(3)
        first = weakref.ref(await anext(stream))
        second = weakref.ref(await anext(stream))
        await anext(stream)
        assert (first(), second()) == (None, None)
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_a_compiled_function_is_freed_with_its_cells() -> None:
    def make(kind: str) -> Any:
        async def direct(n: int) -> AsyncIterator[int]:
            yield n
            if n:
                async for item in direct(n - 1):
                    yield item

        async def frames(n: int) -> AsyncIterator[int]:
            print((yield n))
            if n:
                async for item in frames(n - 1):
                    yield item

        async def by_name(n: int) -> AsyncIterator[object]:
            yield sorted(locals())
            if n:
                async for item in by_name(n - 1):
                    yield item

        return tailstream({"direct": direct, "frames": frames, "by_name": by_name}[kind])

    for kind in ("direct", "frames", "by_name"):
        fn = make(kind)
        items(fn(0)) if kind != "frames" else None
        gone = weakref.ref(fn)
        del fn
        gc.collect()
        assert gone() is None, kind


def test_a_function_that_looks_at_its_variables_sees_none_of_ours() -> None:
    @tailstream
    async def looks(n: int, *rest: object) -> AsyncIterator[list[str]]:
        yield sorted(locals())
        if n:
            async for item in looks(n - 1, *sorted(locals())):
                yield item

    assert items(looks(2)) == [["looks", "n", "rest"]] * 3
    assert explain_tailcalls(looks).why_frames == "it can see its variables by name"


def test_metadata_source_and_kind_stay() -> None:
    assert (down.__name__, down.__qualname__, down.__doc__) == ("down", "down", "Count down.")
    assert str(inspect.signature(down)) == "(n: 'int', *, step: 'int' = 1) -> 'AsyncIterator[int]'"
    assert inspect.isasyncgenfunction(down)
    assert inspect.isasyncgenfunction(guarded)
    assert inspect.getsource(guarded).startswith("@tailstream\nasync def guarded")
    assert inspect.isasyncgen(guarded(1))
    assert pickle.loads(pickle.dumps(guarded)) is guarded
    assert copy.deepcopy(guarded) is guarded
    assert guarded.__wrapped__ is not guarded  # type: ignore[attr-defined]


def test_a_traceback_shows_the_users_lines() -> None:
    @tailstream
    async def direct(n: int) -> AsyncIterator[float]:
        yield 1 / n
        async for item in direct(n - 1):
            yield item

    @tailstream
    async def frames(n: int) -> AsyncIterator[float]:
        try:
            yield 1 / n
        finally:
            pass
        async for item in frames(n - 1):
            yield item

    for fn, depth in ((direct, 1), (frames, 2)):
        with pytest.raises(ZeroDivisionError) as error:
            items(fn(3))
        found = [one for one in traceback.extract_tb(error.value.__traceback__) if one.name in ("direct", "frames")]
        assert len(found) == depth
        assert found[-1].line == "yield 1 / n"
        if depth == 2:
            assert found[0].line == "async for item in frames(n - 1):"


def test_what_is_thrown_into_frames_is_raised_at_the_tail() -> None:
    async def main() -> str | None:
        stream: Any = guarded(3)
        await anext(stream)
        await anext(stream)
        try:
            await stream.athrow(KeyError("thrown"))
        except KeyError as error:
            return traceback.extract_tb(error.__traceback__)[-1].line
        return None

    assert asyncio.run(main()) == "yield item"


def test_a_call_that_does_not_fit_raises_the_error_of_python_where_it_is_reached() -> None:
    @tailstream
    async def wrong(n: int, *, how: str = "static") -> AsyncIterator[int]:
        yield n
        if n == 2:
            async for item in wrong(n - 1):
                yield item
        elif how == "static":
            async for item in wrong(n, 1, 2, other=3):  # type: ignore[call-arg,misc]
                yield item
        else:
            async for item in wrong(*[n, 1]):
                yield item

    report = explain_tailcalls(wrong)
    assert [site.action for site in report.sites] == ["loop", "kept", "loop"]
    for how in ("static", "dynamic"):
        errors = []
        for fn in (wrong, wrong.__wrapped__):  # type: ignore[attr-defined]
            with pytest.raises(TypeError) as error:
                items(fn(1, how=how))
            errors.append((error.value.args, traceback.extract_tb(error.value.__traceback__)[-1].line))
        assert errors[0] == errors[1]


def test_leave_first_leaves_the_block_before_the_next_call_begins() -> None:
    log: list[object] = []

    @asynccontextmanager
    async def block(n: int) -> AsyncIterator[None]:
        log.append(("enter", n))
        try:
            yield
        except BaseException as error:
            log.append(("error", n, repr(error)))
            raise
        log.append(("exit", n))

    @tailstream(blocks="leave-first")
    async def blocks(n: int) -> AsyncIterator[int]:
        for _ in range(2):
            async with block(n):
                yield n
                try:
                    if n:
                        async for item in blocks(log.append(("argument", n)) or n - 1):  # type: ignore[func-returns-value]
                            yield item
                        return
                finally:
                    log.append(("finally", n))

    assert items(blocks(1)) == [1, 0, 0]
    assert log == [
        ("enter", 1),
        ("argument", 1),
        ("finally", 1),
        ("exit", 1),
        *[("enter", 0), ("finally", 0), ("exit", 0)] * 2,
    ]
    report = explain_tailcalls(blocks)
    assert "after `try` is left" in str(report)
    log.clear()
    assert len(items(blocks(3000))) == 3002


def test_leave_first_forgets_the_call_if_leaving_fails_and_somebody_catches_that() -> None:
    class Fails:
        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None:
            raise KeyError("leaving")

    @tailstream(blocks="leave-first")
    async def caught(n: int, kind: str) -> AsyncIterator[object]:
        yield n
        try:
            with Fails():
                async for item in caught(n - 1, kind):
                    yield item
                return
        except KeyError as error:
            if kind == "raise":
                raise ValueError(kind) from error
        if kind == "again" and n > 0:
            async for item in caught(n - 1, kind):
                yield item
            return
        yield kind
        if kind == "return":
            return

    assert items(caught(2, "end")) == [2, "end"]
    assert items(caught(2, "return")) == [2, "return"]
    assert items(caught(2, "again")) == [2, 1, 0, "again"]
    with pytest.raises(ValueError, match="raise") as error:
        items(caught(2, "raise"))
    assert [type(one) for one in (error.value.__cause__, error.value.__context__)] == [KeyError, KeyError]


def test_leave_first_shows_the_consumer_only_the_first_frame() -> None:
    log: list[object] = []

    @tailstream(blocks="leave-first")
    async def sent(n: int) -> AsyncIterator[int]:
        try:
            log.append((n, (yield n)))
            if n:
                async for item in sent(n - 1):
                    yield item
        except KeyError:
            log.append(("caught", n))
            yield -n

    async def main() -> None:
        stream: Any = sent(2)
        assert [await anext(stream), await stream.asend("first"), await stream.asend("later")] == [2, 1, 0]
        with pytest.raises(KeyError):
            await stream.athrow(KeyError())
        other: Any = sent(2)
        assert [await anext(other), await other.athrow(KeyError())] == [2, -2]
        await other.aclose()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert log == [(2, "first"), (1, None), ("caught", 2)]


def kept(fn: Any) -> Any:
    return fn


def passes_through(fn: Any) -> Any:
    @wraps(fn)
    async def wrapper(n: int) -> AsyncIterator[object]:
        yield "through"
        async for item in fn(n):
            yield item

    return wrapper


def test_decorators_above_and_below_are_kept() -> None:
    @tailstream
    @kept
    async def same(n: int) -> AsyncIterator[int]:
        yield n
        if n:
            async for item in same(n - 1):
                yield item

    assert items(same(2)) == [2, 1, 0]
    assert explain_tailcalls(same).mode == "direct"

    @passes_through
    @tailstream
    async def above(n: int) -> AsyncIterator[object]:
        yield n
        if n:
            async for item in above(n - 1):
                yield item

    assert items(above(1)) == ["through", 1, "through", 0]
    assert "plain recursion runs" in str(explain_tailcalls(above))

    with pytest.warns(TailCallWarning, match="decorator below @tailstream"):

        @tailstream
        @passes_through
        async def below(n: int) -> AsyncIterator[object]:
            yield n
            if n:
                async for item in below(n - 1):
                    yield item

    assert items(below(1)) == ["through", 1, "through", 0]


def test_options_are_checked_and_a_group_is_for_functions() -> None:
    with pytest.raises(BadInput, match="`blocks` cannot be 'leave'"):
        tailstream(blocks="leave")  # type: ignore[call-overload]
    with pytest.raises(BadInput, match="a stream cannot be a member of a group") as error:
        tailstream(group="pages")  # type: ignore[call-overload]
    assert "@tailrec" in str(error.value.hint)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert items(tailstream()(down.__wrapped__)(1)) == [1, 0]  # type: ignore[attr-defined]


def test_a_decorated_stream_may_be_decorated_again() -> None:
    assert tailstream(down) is down
    with pytest.raises(TailCallError):
        tailrec(down.__wrapped__)  # type: ignore[attr-defined]


def test_a_direct_stream_runs_the_instructions_of_a_handwritten_loop() -> None:
    async def by_hand(n: int) -> AsyncIterator[int]:
        while True:
            yield n
            if n:
                n = n - 1
                continue
            return

    @tailstream
    async def stream(n: int) -> AsyncIterator[int]:
        yield n
        if n:
            async for item in stream(n - 1):
                yield item

    def loop(fn: Any) -> list[tuple[str, object]]:
        code = [one for one in dis.get_instructions(fn) if one.opname not in ("NOP", "EXTENDED_ARG")]
        back = next(one for one in code if one.opname == "JUMP_BACKWARD")
        inside = [one for one in code if back.argval <= one.offset < back.offset]
        return [(one.opname, None if "JUMP" in one.opname else one.argval) for one in inside]

    assert explain_tailcalls(stream).mode == "direct"
    assert loop(stream) == loop(by_hand)
