"""``tailrec`` and ``explain_tailcalls``: the two ways into the compiler."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine
from types import MethodType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload

from loom_core.errors import BadInput
from loom_core.tailcalls.errors import TailCallError, TailCallWarning
from loom_core.tailcalls.examining import Options, examine, is_stream
from loom_core.tailcalls.now import explain_now
from loom_core.tailcalls.report import TailCallReport

Blocks = Literal["leave-first"]
Group = str | Callable[..., object]
if TYPE_CHECKING:
    _ClassMethod = classmethod[Any, ..., Coroutine[Any, Any, Any]]
    _StaticMethod = staticmethod[..., Coroutine[Any, Any, Any]]
AsyncFunction = TypeVar(
    "AsyncFunction",
    bound="Callable[..., Coroutine[Any, Any, Any]] | _ClassMethod | _StaticMethod",
)


class TailRec(Protocol):
    """The decorator that ``tailrec(...)`` returns; the type of what it decorates stays."""

    def __call__(self, fn: AsyncFunction, /) -> AsyncFunction:
        """Return ``fn`` as a loop."""
        ...


@overload
def tailrec(fn: AsyncFunction, /) -> AsyncFunction: ...
@overload
def tailrec(*, blocks: Blocks | None = None, group: Group | None = None) -> TailRec: ...
def tailrec(fn: Any = None, /, *, blocks: Blocks | None = None, group: Group | None = None) -> Any:
    """Return ``fn`` with every ``return await fn(...)`` in tail position turned into a jump.

    What is returned behaves exactly like the recursion, in constant stack and memory: same result, exceptions, order
    of effects, signature, name, documentation and source lines. ``__wrapped__`` is the recursion as it was written.
    Once per outer call it is checked that the function's own name still refers to it; otherwise plain recursion runs.

    ``fn`` may be a function, a method, a ``classmethod`` or a ``staticmethod``. What a decorator below made of it (seen
    by its ``__wrapped__``) is returned as it is, with a ``TailCallWarning``: its recursion goes through that decorator.

    With ``blocks="leave-first"`` a tail call inside ``try``, ``with`` or ``async with`` leaves the block *before* the
    next transition. With ``group`` (a name, the same for all members in a module, or a function that is a member) the
    function hands over to every other member that it calls in tail position.

    Raises ``TailCallError`` where that cannot be proved, and where there is no tail call at all; ``BadInput`` for any
    other value of an option.
    """
    options = options_of(blocks, group)
    if fn is None:
        return lambda fn: decorate(fn, options)
    return decorate(fn, options)


def decorate(fn: object, options: Options) -> object:
    """Return what takes the place of ``fn``; raise or warn where it does not loop."""
    report, new = examine(fn, options)
    if not report.accepted:
        raise TailCallError(report)
    if new is fn and report.mode is None:
        warnings.warn(TailCallWarning(report), stacklevel=3)
    return new


def options_of(blocks: object, group: Group | None = None) -> Options:
    """Return the options of a decorator; raise ``BadInput`` for a value of ``blocks`` that has no meaning."""
    if blocks not in (None, "leave-first"):
        raise BadInput(f"`blocks` cannot be {blocks!r}", hint='write `blocks="leave-first"`, or leave it out')
    return Options(leave_first=blocks is not None, group=group)


@overload
def explain_tailcalls(fn: Callable[..., object], as_json: Literal[False] = False) -> TailCallReport: ...
@overload
def explain_tailcalls(fn: Callable[..., object], as_json: Literal[True]) -> str: ...
def explain_tailcalls(fn: Callable[..., object], as_json: bool = False) -> TailCallReport | str:
    """Say for every recursive call of ``fn`` what is done with it, or why not, and what to write instead.

    ``fn`` may be decorated by ``tailrec`` or ``tailstream`` (and by others above it) or plain; of a plain function it
    says what ``tailrec`` would do, of an async generator what ``tailstream`` would. Never raises for a function. With
    ``as_json`` the report is a JSON text.
    """
    if isinstance(fn, MethodType):
        fn = fn.__func__
    report = explain_now(fn)
    if report is None:
        report, _ = examine(fn, Options(stream=is_stream(fn)))
    return report.to_json() if as_json else report
