"""``tool``: a typed function becomes a tool and stays a function."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, get_args, overload

import attrs

from loom_core.contracts.people import Approval
from loom_core.contracts.stores import Effect
from loom_core.contracts.tools import Reconcile, ToolContext
from loom_core.tools.docstrings import read_docstring
from loom_core.tools.errors import ToolDefinitionError
from loom_core.tools.signatures import ToolSignature, signature_of

P = ParamSpec("P")
R = TypeVar("R")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@attrs.frozen(kw_only=True, slots=False, eq=False, repr=False)
class FunctionTool(Generic[P, R]):
    """A tool made from a function; satisfies ``Tool``, and called directly it is the function itself.

    A direct call is neither validated nor recorded. Made by ``tool`` or ``ToolRegistry.register``.
    """

    name: str
    description: str
    effect: Effect
    timeout_s: float | None
    reconcile: Reconcile | None
    blocking: bool
    function: Callable[P, R]
    signature: ToolSignature
    approval: Approval | None = None

    def __attrs_post_init__(self) -> None:
        # What inspect.signature, inspect.getsource and help() look at.
        for fact in functools.WRAPPER_ASSIGNMENTS:
            if hasattr(self.function, fact):
                object.__setattr__(self, fact, getattr(self.function, fact))
        object.__setattr__(self, "__wrapped__", self.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function as it was written."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name} ({self.effect})>"

    @property
    def parameters(self) -> Mapping[str, object]:
        """The JSON Schema (draft 2020-12) of the arguments; made when it is first asked for."""
        return self._schema

    @functools.cached_property
    def _schema(self) -> Mapping[str, object]:
        return self.signature.schema(read_docstring(inspect.getdoc(self.function)).parameters)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, object]:
        """Return the arguments by parameter name, validated and structured; raises ``ToolArgumentsInvalid``."""
        return self.signature.bind(args, kwargs)

    def encode_arguments(self, arguments: Mapping[str, object]) -> object:
        """Return bound arguments as plain JSON data."""
        return self.signature.encode(arguments)

    def encode_result(self, result: object) -> object:
        """Return a result as plain JSON data; raises ``ValueNotEncodable``."""
        from loom_core.values import codec_for

        return codec_for(self.signature.returns, what=f"result of tool `{self.name}`").to_data(result)

    def decode_result(self, data: object) -> object:
        """Return a recorded result as the value that the first call returned."""
        from loom_core.values import codec_for

        return codec_for(self.signature.returns, what=f"result of tool `{self.name}`").from_data(data)

    def call(self, arguments: Mapping[str, object], context: ToolContext) -> object:
        """Execute: the result, or an awaitable of it if the tool is not ``blocking``."""
        return self.signature.call(self.function, arguments, context)


@overload
def tool(fn: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    effect: Effect = "once",
    timeout_s: float | None = None,
    reconcile: Reconcile | None = None,
    description: str | None = None,
    approval: Approval | bool | None = None,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    effect: Effect = "once",
    timeout_s: float | None = None,
    reconcile: Reconcile | None = None,
    description: str | None = None,
    approval: Approval | bool | None = None,
) -> Any:
    """Make a tool from a typed function, sync or async: ``@tool`` or ``@tool(effect="read", …)``.

    Name and description default to the function's own; descriptions of parameters are taken from ``Annotated`` or from
    the docstring (``Args:`` section, ``:param x:`` lines). A parameter with the hint ``ToolContext`` is filled in by
    the runtime and is not part of the schema. A sync function may block: it is given a thread of its own. With
    ``approval`` (an ``Approval``, or True for anybody's) a person is asked before each call that a run makes of it.

    Raises ``ToolDefinitionError`` for a parameter without a hint or with one that JSON cannot hold.
    """
    local_names = sys._getframe(1).f_locals

    def decorate(function: Callable[..., Any]) -> FunctionTool[..., Any]:
        return make_tool(
            function,
            local_names,
            name=name,
            effect=effect,
            timeout_s=timeout_s,
            reconcile=reconcile,
            description=description,
            approval=approval,
        )

    return decorate if fn is None else decorate(fn)


def make_tool(
    fn: Callable[P, R],
    local_names: Mapping[str, object],
    *,
    name: str | None,
    effect: Effect,
    timeout_s: float | None,
    reconcile: Reconcile | None,
    description: str | None,
    approval: Approval | bool | None = None,
    untyped: bool = False,
) -> FunctionTool[P, R]:
    """Make the tool; with ``untyped``, parameters without a hint take any JSON value."""
    shown = name if name is not None else getattr(fn, "__name__", type(fn).__name__)
    if not callable(fn):
        raise ToolDefinitionError(shown, f"{fn!r:.60} is not a function", hint="write `@tool` above a `def`")
    if isinstance(fn, FunctionTool):
        raise ToolDefinitionError(shown, "it is a tool already", hint="remove one of the two decorators")
    _check_options(shown, effect, timeout_s)
    policy = (Approval() if approval else None) if isinstance(approval, bool) else approval
    if not isinstance(policy, Approval | None):
        raise ToolDefinitionError(shown, f"approval is {approval!r:.60}", hint="give an Approval(…), True, or None")
    blocking = not _is_async(shown, fn)
    text = read_docstring(inspect.getdoc(fn)).description if inspect.isroutine(fn) else ""
    return FunctionTool(
        name=shown,
        description=description if description is not None else text,
        effect=effect,
        timeout_s=timeout_s,
        reconcile=reconcile,
        blocking=blocking,
        function=fn,
        signature=signature_of(shown, fn, local_names, untyped=untyped),
        approval=policy,
    )


def _check_options(name: str, effect: str, timeout_s: float | None) -> None:
    if _NAME.fullmatch(name) is None:
        reason = "a name is 1 to 64 letters, digits, `_` and `-`"
        raise ToolDefinitionError(name, reason, hint="give one: @tool(name=…)")
    if effect not in get_args(Effect):
        reason = f"there is no effect `{effect}`"
        raise ToolDefinitionError(name, reason, hint=f"it is one of {', '.join(get_args(Effect))}")
    if timeout_s is not None and not timeout_s > 0:
        raise ToolDefinitionError(name, f"a timeout of {timeout_s} s is none", hint="give seconds above 0, or None")


def _is_async(name: str, fn: Callable[..., Any]) -> bool:
    called = fn if inspect.isroutine(fn) or isinstance(fn, functools.partial) else type(fn).__call__
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise ToolDefinitionError(name, "a generator returns no result", hint="return a list")
    return inspect.iscoroutinefunction(called)
