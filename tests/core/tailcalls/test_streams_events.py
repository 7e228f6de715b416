"""Whatever a consumer does to a stream, at whatever item: the same events as in the recursion."""

from __future__ import annotations

import asyncio
import linecache
import textwrap
from collections.abc import AsyncGenerator
from itertools import count
from typing import Any

import pytest

from loom_core.tailcalls import explain_tailcalls, tailstream

NUMBERS = count()
DEPTH = 3

# The mode that each is to run in, its options, and the function; `log` notes an event.
STREAMS = {
    "plain": ("direct", "async def f(n):\n    log('start', n)\n    yield n\n    log('went on', n)\n    TAIL"),
    "two items": ("direct", "async def f(n):\n    yield n\n    yield -n\n    TAIL"),
    "never yields": ("direct", "async def f(n):\n    log(n)\n    if n > 99: yield n\n    TAIL"),
    "yields behind an await": (
        "direct",
        "async def f(n):\n    await pause()\n    yield n\n    await pause()\n    TAIL",
    ),
    "an await in a block": (
        "direct",
        """
        async def f(n):
            try:
                await pause()
            except asyncio.CancelledError:
                log('cancelled', n)
            finally:
                log('finally', n)
            yield n
            TAIL
        """,
    ),
    "uses what is sent": ("frames", "async def f(n):\n    sent = yield n\n    log('sent', n, sent)\n    TAIL"),
    "asks for what is sent": ("frames", "async def f(n):\n    while (yield n):\n        log('again', n)\n    TAIL"),
    "try": (
        "frames",
        """
        async def f(n):
            try:
                log('sent', (yield n))
                yield -n
            except BaseException as error:
                log('seen', n, repr(error))
                raise
            finally:
                log('finally', n)
            TAIL
        """,
    ),
    "awaits in finally": (
        "frames",
        "async def f(n):\n    try: yield n\n    finally:\n        await pause()\n        log('finally', n)\n    TAIL",
    ),
    "yields in finally": (
        "frames",
        "async def f(n):\n    try: yield n\n    finally:\n        log('finally', n)\n        yield -n\n    TAIL",
    ),
    "swallows": (
        "frames",
        "async def f(n):\n    try:\n        yield n\n    except BaseException as e:\n        log(n, repr(e))\n    TAIL",
    ),
    "async with": ("frames", "async def f(n):\n    async with block(n):\n        yield n\n    TAIL"),
    "with in a loop": (
        "frames",
        "async def f(n):\n    for i in range(2):\n        async with block(n):\n            yield n, i\n    TAIL",
    ),
    "a generator that is closed": ("frames", "async def f(n):\n    for i in items(n):\n        yield n, i\n    TAIL"),
    "an async one": ("frames", "async def f(n):\n    async for i in aitems(n):\n        yield n, i\n    TAIL"),
    "closures": (
        "frames",
        "async def f(n):\n    yield lambda: n\n    n += 10\n    yield lambda: n\n    n -= 10\n    TAIL",
    ),
    "raises": ("direct", "async def f(n):\n    yield n\n    if n == 1: raise KeyError(n)\n    TAIL"),
    "raises in frames": (
        "frames",
        "async def f(n):\n    try: yield n\n    finally: log(n)\n    if n == 1: raise KeyError(n)\n    TAIL",
    ),
    "StopAsyncIteration": (
        "direct",
        "async def f(n):\n    yield n\n    if n == 1: raise StopAsyncIteration(n)\n    TAIL",
    ),
    "StopIteration in frames": (
        "frames",
        "async def f(n):\n    log((yield n))\n    if n == 1: raise StopIteration(n)\n    TAIL",
    ),
    "GeneratorExit": ("direct", "async def f(n):\n    yield n\n    if n == 1: raise GeneratorExit\n    TAIL"),
    "returns": ("direct", "async def f(n):\n    yield n\n    if n == 1: return\n    TAIL"),
    "unbound": (
        "direct",
        """
        async def f(n):
            try:
                log(seen)
            except UnboundLocalError as error:
                log(str(error))
            if n == 2:
                seen = n
            yield n
            TAIL
        """,
    ),
    "its variable is a parameter": (
        "direct",
        "async def f(n, x=0):\n    yield n, x\n    if n:\n        async for x in f(n - 1, x + 1): yield x",
    ),
    "its variable is unbound": (
        "direct",
        """
        async def f(n):
            try:
                yield_ = x
            except UnboundLocalError as error:
                log(str(error))
            yield n
            if n:
                async for x in f(n - 1):
                    yield x
        """,
    ),
    "in loops": (
        "direct",
        """
        async def f(n):
            while True:
                for i in range(3):
                    yield n, i
                    if i == n:
                        async for x in f(n - 1): yield x
                        return
                else:
                    yield 'else'
                    break
            else:
                log('never')
        """,
    ),
    "left by break": (
        "frames",
        """
        async def f(n):
            for i in range(2):
                sent = yield n, i
                if n:
                    async for x in f(n - 1): yield x
                    break
            else:
                log('never', sent)
        """,
    ),
    "match": (
        "direct",
        """
        async def f(n):
            match n:
                case 0:
                    yield 'end'
                case 1 | 2:
                    yield n
                    async for x in f(n - 1): yield x
                case _:
                    pass
                    async for y in f(2): yield y
                    pass
        """,
    ),
    "spread": (
        "direct",
        "async def f(n, *more, k=1, **rest):\n    yield n, more, k, rest\n    if n:\n"
        "        async for x in f(*(n - 1, n), **{'k': k + 1, f'a{n}': n}): yield x",
    ),
    "spread in frames": (
        "frames",
        "async def f(n, *more, k=1, **rest):\n    log((yield n, more, k, rest))\n    if n:\n"
        "        async for x in f(*(n - 1, n), **{'k': k + 1, f'a{n}': n}): yield x",
    ),
    "does not fit": (
        "frames",
        "async def f(n, *, k=1):\n    log((yield n, k))\n    if n < 2:\n"
        "        async for x in f(*[1, 2]): yield x\n    else:\n        async for x in f(n - 1, k=k + 1): yield x",
    ),
    "nonlocal": (
        "direct",
        """
        def make():
            total = 0
            async def f(n):
                nonlocal total
                total += n
                yield n, total
                TAIL
            return f
        f = make()
        """,
    ),
    "locals": (
        "frames",
        "async def f(n, /, a=2, *r, k=3, **kw):\n    b = 1\n    log(sorted(locals()))\n    yield locals()\n    if n:\n"
        "        async for x in f(n - 1, sorted(locals()), *r, z=eval('b')): yield x",
    ),
}


class Events:
    def __init__(self) -> None:
        self.seen: list[object] = []

    def __call__(self, *event: object) -> None:
        self.seen.append(event)


def define(source: str, name: str, log: Events, *, stream: bool) -> dict[str, Any]:
    tail = "if n:\n        async for x in f(n - 1):\n            yield x\n"
    text = textwrap.dedent(source).lstrip("\n")
    indent = next((len(line) - len(line.lstrip()) for line in text.splitlines() if line.strip() == "TAIL"), 4)
    text = text.replace("TAIL", tail.replace("\n    ", "\n" + " " * indent))
    text = "async def pause():\n    log('pause')\n    await asyncio.sleep(0)\n    log('resumed')\n\n" + text
    text = text.replace(
        "async def f(", "@T\nasync def f(" if "    async def f(" not in text else "@T\n    async def f("
    )
    path = f"<{name} {next(NUMBERS)}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)

    def items(n: int) -> Any:
        try:
            yield from range(2)
        finally:
            log("items closed", n)

    async def aitems(n: int) -> AsyncGenerator[int, None]:
        try:
            yield 0
            yield 1
        finally:
            log("async items closed", n)

    class Block:
        def __init__(self, n: int) -> None:
            self.n = n

        async def __aenter__(self) -> None:
            log("enter", self.n)

        async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
            await asyncio.sleep(0)
            log("exit", self.n, repr(error))

    names: dict[str, Any] = {"__name__": "program", "asyncio": asyncio, "log": log, "items": items, "aitems": aitems}
    names |= {"block": Block, "T": tailstream if stream else lambda fn: fn}
    exec(compile(text, path, "exec"), names)
    return names


def shown(item: Any) -> object:
    return (item(), item()) if callable(item) else item


async def settle(log: Events) -> None:
    """Let the event loop finalize what was dropped."""
    for _ in range(4 * DEPTH + 8):
        await asyncio.sleep(0)


async def consume(stream: Any, log: Events, operation: str, at: int) -> None:
    try:
        for _ in range(at):
            log("item", shown(await stream.__anext__()))
        match operation:
            case "send":
                log("sent", shown(await stream.asend("value")))
            case "throw":
                log("thrown", shown(await stream.athrow(KeyError("thrown"))))
            case "stop":
                log("thrown", shown(await stream.athrow(StopAsyncIteration("thrown"))))
            case "close":
                log("closed", await stream.aclose())
            case "cancel":
                task = asyncio.ensure_future(stream.__anext__())
                await asyncio.sleep(0)
                task.cancel()
                log("cancelled", shown(await task))
            case _:
                pass
    except BaseException as error:
        log("raised", type(error), error.args, repr(error.__cause__), repr(error.__context__))
    await settle(log)
    if operation == "drop":
        del stream
        await settle(log)
        return
    for _ in range(20):
        try:
            log("then", shown(await stream.__anext__()))
        except BaseException as error:
            log("ended", type(error), error.args)
            break
    await settle(log)


def observed(names: dict[str, Any], log: Events, operation: str, at: int) -> list[object]:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: log("unhandled", repr(context.get("exception"))))
        await consume(names["f"](DEPTH), log, operation, at)

    log.seen.clear()
    asyncio.run(main())
    return list(log.seen)


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_consumer_sees_the_events_of_the_recursion_whatever_it_does_and_when(name: str) -> None:
    mode, source = STREAMS[name]
    plain_log, log = Events(), Events()
    plain = define(source, name, plain_log, stream=False)
    stream = define(source, name, log, stream=True)
    report = explain_tailcalls(stream["f"])
    assert (report.mode, report.accepted) == (mode, True), str(report)
    for operation in ("send", "throw", "stop", "close", "cancel", "drop"):
        for at in range(3 * DEPTH + 3):
            expected = observed(plain, plain_log, operation, at)
            assert observed(stream, log, operation, at) == expected, (operation, at)


def test_a_later_frame_is_closed_by_the_event_loop_and_not_inside_aclose() -> None:
    log = Events()
    names = define(STREAMS["try"][1], "order", log, stream=True)

    async def main() -> None:
        stream = names["f"](DEPTH)
        while await stream.__anext__() != 1:
            pass
        await stream.aclose()
        log("closed")
        await settle(log)

    asyncio.run(main())
    assert log.seen[-3:] == [("closed",), ("seen", 1, "GeneratorExit()"), ("finally", 1)]


def test_without_an_event_loop_a_stream_is_driven_and_closed_by_hand() -> None:
    """No finalizer hook is installed: what is dropped is closed on the spot."""

    def by_hand(*, stream: bool) -> list[object]:
        log = Events()
        generator = define(STREAMS["try"][1], "by hand", log, stream=stream)["f"](DEPTH)
        for step in (None, None, "closing"):
            awaitable = generator.aclose() if step else generator.asend(None)
            try:
                awaitable.send(None)
            except StopIteration as stop:
                log("came", stop.value)
            log("after", step)
        return log.seen

    assert by_hand(stream=True) == by_hand(stream=False)


def test_a_stream_that_runs_already_says_so() -> None:
    async def main(names: dict[str, Any]) -> str:
        stream = names["f"](DEPTH)
        await stream.__anext__()
        await stream.__anext__()
        first = asyncio.ensure_future(stream.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError) as error:
            await stream.__anext__()
        await first
        return str(error.value)

    source = STREAMS["yields behind an await"][1]
    plain, stream = (define(source, "running", Events(), stream=kind) for kind in (False, True))
    assert asyncio.run(main(stream)) == asyncio.run(main(plain))


def test_streams_at_the_same_time_do_not_meet() -> None:
    source = STREAMS["uses what is sent"][1]

    async def main(names: dict[str, Any]) -> list[list[int]]:
        async def take(n: int) -> list[int]:
            found = []
            async for item in names["f"](n):
                await asyncio.sleep(0)
                found.append(item)
            return found

        return await asyncio.gather(*(take(n) for n in range(5)))

    assert asyncio.run(main(define(source, "many", Events(), stream=True))) == [[*range(n, -1, -1)] for n in range(5)]
