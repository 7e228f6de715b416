"""``tailstream``: the way into the compiler for async generators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import attrs

from loom_core.errors import BadInput
from loom_core.tailcalls.decorator import Blocks, decorate, options_of

if TYPE_CHECKING:
    _ClassMethod = classmethod[Any, ..., AsyncIterator[Any]]
    _StaticMethod = staticmethod[..., AsyncIterator[Any]]
AsyncGeneratorFunction = TypeVar(
    "AsyncGeneratorFunction",
    bound="Callable[..., AsyncIterator[Any]] | _ClassMethod | _StaticMethod",
)


class TailStream(Protocol):
    """The decorator that ``tailstream(...)`` returns; the type of what it decorates stays."""

    def __call__(self, fn: AsyncGeneratorFunction, /) -> AsyncGeneratorFunction:
        """Return ``fn`` as a loop."""
        ...


@overload
def tailstream(fn: AsyncGeneratorFunction, /) -> AsyncGeneratorFunction: ...
@overload
def tailstream(*, blocks: Blocks | None = None) -> TailStream: ...
def tailstream(fn: Any = None, /, *, blocks: Blocks | None = None, group: object = None) -> Any:
    """Return ``fn`` with every ``async for x in fn(...): yield x`` at its end turned into a jump.

    What is returned behaves exactly like the recursion, in constant stack and memory: same items, exceptions, order of
    effects, signature, name, documentation and source lines. What is sent, thrown or closed by the consumer reaches the
    first transition's own ``yield``s and no other's. ``__wrapped__`` is the recursion as it was written. Once per outer
    call it is checked that the function's own name still refers to it; otherwise plain recursion runs.

    ``fn`` may be an async generator function, a method, a ``classmethod`` or a ``staticmethod``. What a decorator below
    made of it (seen by its ``__wrapped__``) is returned as it is, with a ``TailCallWarning``.

    With ``blocks="leave-first"`` a tail inside ``try``, ``with`` or ``async with`` leaves the block *before* the next
    transition begins. Groups are for functions only.

    Raises ``TailCallError`` where that cannot be proved, and where there is no such tail at all; ``BadInput`` for any
    other value of an option.
    """
    if group is not None:
        hint = "leave `group` out; a function that hands over to others by `return await` can be in a group of @tailrec"
        raise BadInput("a stream cannot be a member of a group", hint=hint)
    options = attrs.evolve(options_of(blocks, None), stream=True)
    if fn is None:
        return lambda fn: decorate(fn, options)
    return decorate(fn, options)
