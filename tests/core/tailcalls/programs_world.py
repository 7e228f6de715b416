"""What random programs may use, how they are run step by step, and everything that can be seen of a run."""

from __future__ import annotations

import linecache
import sys
import warnings
from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from functools import partial, wraps
from types import CodeType, TracebackType, coroutine
from typing import Any

_TOO_LONG = 20_000
Seen = list[object]


class Endless(BaseException):
    """A program that does not end; no program catches it."""


class Pause:
    """Give the turn to whatever else runs."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Turns:
    """An event loop of one's own: everything takes its turn in order, asynchronous finalizers too."""

    def __init__(self, log: Callable[..., None]) -> None:
        self.log = log
        self.ready: list[tuple[Any, int | None]] = []

    def run(self, *coroutines: Coroutine[Any, Any, object]) -> list[object]:
        """Return how each ended, after all have, and after every finalizer that they left."""
        outcomes: list[object] = [None] * len(coroutines)
        self.ready = [(one, index) for index, one in enumerate(coroutines)]
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self.finalize)
        try:
            while self.ready:
                awaited, index = self.ready.pop(0)
                try:
                    awaited.send(None)
                except StopIteration as stop:
                    ended: object = ("returned", stop.value)
                except (Exception, CancelledError) as error:
                    ended = failure(error)
                else:
                    self.ready.append((awaited, index))
                    continue
                if index is None:
                    # The recursion also has the generators between the first and the last to finalize.
                    if ended != ("returned", None):
                        self.log("finalized", ended)
                else:
                    outcomes[index] = ended
        finally:
            sys.set_asyncgen_hooks(*hooks)
        return outcomes

    def finalize(self, generator: Any) -> None:
        self.ready.append((generator.aclose(), None))

    async def settle(self) -> None:
        """Wait until no finalizer has anything left to do."""
        while any(index is None for _, index in self.ready):
            await Pause()


def failure(error: BaseException, *, lines: bool = True) -> Seen:
    """Return what a program can know of an exception, its causes, and the line of the program it came from."""
    seen: Seen = ["raised"]
    one: BaseException | None = error
    while one is not None and len(seen) < 10:
        # CPython 3.11 fuses a store with the load after it in warm code, and reports the line of the store.
        line = None if isinstance(one, UnboundLocalError) or not lines else _last_line(one.__traceback__)
        seen += [type(one).__name__, repr(one.args), line, one.__suppress_context__]
        if isinstance(one, BaseExceptionGroup):
            seen.append([failure(inner) for inner in one.exceptions])
        one = one.__cause__ or one.__context__
    return seen


def _last_line(trace: TracebackType | None) -> object:
    found: object = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith("<program"):
            found = (code.co_name, trace.tb_lineno)
        trace = trace.tb_next
    return found


class World:
    """One run's effects, and the namespace of its program."""

    def __init__(self, **names: object) -> None:
        self.effects: list[tuple[object, ...]] = []
        self.kept: list[Callable[[], object]] = []
        self.turns = Turns(self.log)
        self.names: dict[str, Any] = {
            "__name__": "program",
            "G": 5,
            "c": 7,
            "bump": lambda: 1,
            "e": self.effect,
            "w": self.wait,
            "log": self.log,
            "keep": self.keep,
            "again": self.again,
            "snap": self.snap,
            "kind": lambda: getattr(sys.exc_info()[0], "__name__", None),
            "ticks": self.ticks,
            "T": partial(Truth, self.log),
            "cm": partial(Block, self.log),
            "acm": partial(AsyncBlock, self.log),
            "spied": self.spied,
            "spied_stream": self.spied_stream,
            "pause": Pause,
            "settle": self.turns.settle,
            "failure": failure,
            **names,
        }

    def log(self, *what: object) -> None:
        self.effects.append(what)
        if len(self.effects) > _TOO_LONG:
            raise Endless

    def keep(self, closure: Callable[[], object]) -> None:
        self.kept.append(closure)
        if len(self.kept) > _TOO_LONG:
            raise Endless

    def effect(self, tag: object, value: Any) -> Any:
        self.log(tag, repr(value))
        if value == 13:
            raise ValueError("unlucky", tag)
        return value

    async def wait(self, tag: object, value: Any) -> Any:
        self.log("before", tag)
        await Pause()
        return self.effect(tag, value)

    async def ticks(self, values: Iterable[object]) -> AsyncIterator[object]:
        for value in values:
            await Pause()
            yield value

    def again(self, count: int) -> None:
        """Call what was kept last, possibly several transitions ago."""
        for one in self.kept[-count:]:
            try:
                self.log("again", repr(one()))
            except Exception as error:
                self.log("again", type(error).__name__, str(error))

    def snap(self, names: dict[str, object]) -> None:
        """Log what can be seen by name, but for the variable of the reference for ``leave-first``."""
        seen = [(name, repr(value)) for name, value in names.items() if _is_plain(value) and name != "box"]
        self.log("names", sorted(seen))

    def spied(self, fn: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        @wraps(fn)
        async def spy(*positional: object, **named: object) -> object:
            self.log("spied", repr(named))
            return await fn(*positional, **named)

        return spy

    def spied_stream(self, fn: Callable[..., AsyncIterator[object]]) -> Callable[..., AsyncIterator[object]]:
        @wraps(fn)
        def spy(*positional: object, **named: object) -> AsyncIterator[object]:
            self.log("spied", repr(named))
            return fn(*positional, **named)

        return spy

    async def consume(
        self, fuel: int, script: Sequence[tuple[str, object]], *, beyond: bool, shared: bool = False
    ) -> None:
        """Do to the program's generator what the script says, and log all that comes back.

        ``beyond`` its end too, and with lines: the reference for ``leave-first`` has frames of its own. Where
        transitions are ``shared`` in one frame, what is thrown shows the line of its `yield`, not that of the tail.
        """
        generator: Any = self.names["start"](fuel)
        for operation, value in script:
            thrown = KeyError("thrown", value)
            try:
                match operation:
                    case "send":
                        came = await generator.asend(value)
                    case "throw":
                        came = await generator.athrow(thrown)
                    case "close":
                        came = await generator.aclose()
                    case "cancel":
                        came = await cancelled(generator.asend(None))
                    case _:
                        came = await generator.asend(None)
            except (Exception, CancelledError, GeneratorExit) as error:
                lines = beyond and not (shared and error is thrown)
                self.log(operation, fuel, failure(error, lines=lines))
                ended = True
            else:
                self.log(operation, fuel, repr(came))
                ended = operation == "close"
            if ended or operation in ("throw", "cancel"):
                # Finalizers run some turns earlier than in the recursion; what they do is compared, not when.
                await self.turns.settle()
            if ended and not beyond:
                break
        del generator
        await self.turns.settle()

    def run(self, *starts: Coroutine[Any, Any, object]) -> Seen:
        """Run to the end and return all that can be seen: outcomes, effects in order, globals, what closures say."""
        outcomes = self.turns.run(*starts)
        self.again(10)
        self.again(10)
        seen: Seen = [repr(outcomes), list(self.effects), self.names["G"], self.names["c"]]
        self.effects.clear()
        self.kept.clear()
        return seen


@coroutine
def cancelled(step: Any, turns: int = 1) -> Generator[None, None, object]:
    """Await ``step`` as a task does that is cancelled after some turns."""
    try:
        for _ in range(turns):
            step.send(None)
            yield
        step.throw(CancelledError())
        while True:
            yield
            step.send(None)
    except StopIteration as stop:
        return stop.value


def _is_plain(value: object) -> bool:
    return isinstance(value, int | str | tuple | dict | None)


class Truth(int):
    """A number that says when it is asked whether it is true."""

    log: Callable[..., None]
    tag: object

    def __new__(cls, log: Callable[..., None], tag: object, value: Any) -> Truth:
        self = super().__new__(cls, value)
        self.log, self.tag = log, tag
        return self

    def __bool__(self) -> bool:
        self.log("truth", self.tag)
        return int(self) != 0


class Block:
    """A context manager that says what happens to it, and may swallow exceptions as ``suppress`` does."""

    def __init__(self, log: Callable[..., None], tag: object, swallow: bool) -> None:
        self.log, self.tag, self.swallow = log, tag, swallow

    def __enter__(self) -> object:
        self.log("enter", self.tag)
        return self.tag

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        self.log("exit", self.tag, getattr(kind, "__name__", None), str(error))
        # A generator that swallows GeneratorExit and goes on is not promised anything.
        return self.swallow and kind is not GeneratorExit


class AsyncBlock(Block):
    async def __aenter__(self) -> object:
        await Pause()
        return self.__enter__()

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        await Pause()
        return self.__exit__(kind, error, trace)


_NUMBER = iter(range(10**9))


def written(source: str) -> str:
    """Make ``source`` readable by ``linecache`` and return its path."""
    path = f"<program {next(_NUMBER)}>"
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    return path


def forget(path: str) -> None:
    linecache.cache.pop(path, None)


def compiled(source: str, path: str) -> CodeType:
    with warnings.catch_warnings():
        # From Python 3.14 on, `return` in `finally` is warned of here; by the decorator it must not be.
        warnings.simplefilter("ignore", SyntaxWarning)
        return compile(source, path, "exec", dont_inherit=True)
