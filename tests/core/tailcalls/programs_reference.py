"""What the decorators mean, for the reference: plain recursion, and a handwritten loop for ``leave-first``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from functools import partial, wraps
from typing import Any


class Next:
    """A call that a body has made, with its arguments bound by Python, and that nobody has awaited yet."""

    def __init__(self, call: Any) -> None:
        self.call = call


class Call:
    """What calling a driven function returns: its coroutine, and a loop that awaits one call after the other."""

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self.coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, object]:
        coroutine = self.coroutine
        while True:
            result = yield from coroutine.__await__()
            if type(result) is not Next:
                return result
            coroutine = result.call.coroutine


class Box:
    """The call that a generator hands over when it ends; None if it just ends."""

    handed: Stream | None = None


class Stream:
    """What calling a driven generator function returns.

    The first frame is connected to the consumer; when it has ended with a call in its box, its blocks left, it stands
    at the end of its body in ``async for x in <the call>: yield x``. So what is sent is not passed on, and what is
    thrown is raised there.
    """

    def __init__(self, reference: Reference, frame: AsyncGenerator[object, object]) -> None:
        self.reference = reference
        self.frame = frame
        self.box = Box()
        self.next: Stream | None = None

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> object:
        return await self.asend(None)

    async def asend(self, value: object) -> object:
        if self.next is not None:
            return await self._later()
        return await self._onwards(self.frame.asend(value))

    async def athrow(self, error: BaseException) -> object:
        if self.next is not None:
            self.next = None
            raise error
        return await self._onwards(self.frame.athrow(error))

    async def aclose(self) -> None:
        if self.next is None:
            await self.frame.aclose()
        self.next = None

    async def _onwards(self, step: Awaitable[object]) -> object:
        # The first thing that the body does is to ask for its box, before anything else can take its turn.
        self.reference.opening = self.box
        try:
            return await step
        except StopAsyncIteration:
            if self.box.handed is None:
                raise
        self.next, self.box.handed = self.box.handed, None
        return await self._later()

    async def _later(self) -> object:
        assert self.next is not None
        try:
            return await self.next.__anext__()
        except BaseException:
            self.next = None
            raise


class Reference:
    """The decorators of one reference world. ``close`` forgets the calls that a block's end made superfluous."""

    def __init__(self) -> None:
        self.made: list[Coroutine[Any, Any, object]] = []
        self.names: dict[str, object] = {"tailrec": self.tailrec, "tailstream": self.tailstream, "Next": Next}
        self.opening = Box()
        self.names["opened"] = lambda: self.opening

    def tailrec(self, fn: Any = None, /, *, blocks: str | None = None, group: object = None) -> Any:
        if fn is None:
            return partial(self.tailrec, blocks=blocks, group=group)
        if blocks is None:
            return fn
        if isinstance(fn, classmethod | staticmethod):
            return type(fn)(self.driven(fn.__func__))
        return self.driven(fn)

    def driven(self, fn: Callable[..., Coroutine[Any, Any, object]]) -> Callable[..., Call]:
        @wraps(fn)
        def call(*positional: Any, **named: Any) -> Call:
            coroutine = fn(*positional, **named)
            self.made.append(coroutine)
            return Call(coroutine)

        return call

    def tailstream(self, fn: Any = None, /, *, blocks: str | None = None) -> Any:
        if fn is None:
            return partial(self.tailstream, blocks=blocks)
        if blocks is None:
            return fn
        if isinstance(fn, classmethod | staticmethod):
            return type(fn)(self.streaming(fn.__func__))
        return self.streaming(fn)

    def streaming(self, fn: Callable[..., AsyncGenerator[object, object]]) -> Callable[..., Stream]:
        @wraps(fn)
        def call(*positional: Any, **named: Any) -> Stream:
            return Stream(self, fn(*positional, **named))

        return call

    def close(self) -> None:
        for one in self.made:
            one.close()
        self.made.clear()
