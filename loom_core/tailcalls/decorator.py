"""``tailrec`` and ``explain_tailcalls``: the two ways into the compiler."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any, Literal, TypeVar, overload

import attrs

from loom_core.tailcalls.analysis import analyse
from loom_core.tailcalls.calls import Calls, Fault
from loom_core.tailcalls.compiling import CannotCompile, make_function
from loom_core.tailcalls.errors import TailCallError
from loom_core.tailcalls.report import Action, TailCallReport, TailCallSite
from loom_core.tailcalls.rewrite import OWN, rewrite
from loom_core.tailcalls.source import Definition, definition_of

AsyncFunction = TypeVar("AsyncFunction", bound=Callable[..., Coroutine[Any, Any, Any]])
_REPORT = "__tailcalls__"


def tailrec(fn: AsyncFunction) -> AsyncFunction:
    """Return ``fn`` with every ``return await fn(...)`` in tail position turned into a jump.

    What is returned behaves exactly like the recursion, in constant stack and memory: same result, exceptions, order
    of effects, signature, name, documentation and source lines. ``__wrapped__`` is the recursion as it was written.
    Once per outer call it is checked that the function's own name still refers to it; otherwise plain recursion runs.

    Raises ``TailCallError`` where that cannot be proved, and where there is no tail call at all.
    """
    report, new = _examine(fn, sys._getframe(1))
    if new is None:
        raise TailCallError(report)
    return new  # type: ignore[return-value]


@overload
def explain_tailcalls(fn: Callable[..., object], as_json: Literal[False] = False) -> TailCallReport: ...
@overload
def explain_tailcalls(fn: Callable[..., object], as_json: Literal[True]) -> str: ...
def explain_tailcalls(fn: Callable[..., object], as_json: bool = False) -> TailCallReport | str:
    """Say for every recursive call of ``fn`` what is done with it, or why not, and what to write instead.

    ``fn`` may be decorated by ``tailrec`` (and by others above it) or plain; of a plain function it says what
    ``tailrec`` would do. Never raises for a function. With ``as_json`` the report is a JSON text.
    """
    report: TailCallReport | None = getattr(fn, _REPORT, None)
    if report is None:
        report, _ = _examine(fn, sys._getframe(1))
    elif not _name_is_own(fn):
        note = "its name refers to something else now (a decorator above, a patch): plain recursion runs"
        report = attrs.evolve(report, notes=(*report.notes, note))
    return report.to_json() if as_json else report


def _examine(fn: object, frame: FrameType) -> tuple[TailCallReport, FunctionType | None]:
    """Return the report, and the compiled function if it is accepted."""
    if not isinstance(fn, FunctionType):
        return _refused(fn, f"{_describe(fn)} is not a function", "decorate an `async def`"), None
    if hasattr(fn, "__wrapped__"):
        reason = "a decorator below @tailrec would be left out of the loop"
        return _refused(fn, reason, "put @tailrec directly above `async def`, and the other decorator above it"), None
    if fn.__name__ == "<lambda>" or fn.__code__.co_name == "<lambda>":
        return _refused(fn, "a lambda cannot be async, so there is no tail call in it", "write an `async def`"), None
    definition = definition_of(fn)
    if definition is None:
        reason = f"the source of `{fn.__qualname__}` is not to be had, so nothing can be proved of it"
        return _refused(fn, reason, "keep the function in a file, unchanged while it is imported"), None
    analysis = analyse(fn, definition, _decorators_above(fn, definition, frame))
    faults, new = analysis.faults, None
    if analysis.plan is not None:
        try:
            new = make_function(fn, definition, rewrite(definition.node, analysis.plan))
        except CannotCompile as error:
            faults = (Fault(node=definition.node, reason=error.reason, instead=error.instead),)
    sites = [_site(definition, *place) for place in _places(analysis.calls, faults)]
    report = TailCallReport(
        function=f"{fn.__module__}.{fn.__qualname__}",
        path=definition.path,
        line=definition.node.lineno,
        accepted=new is not None,
        sites=tuple(sorted(sites, key=lambda site: (site.line or 0, site.column or 0))),
    )
    if new is not None:
        setattr(new, _REPORT, report)
    return report, new


def _places(calls: Calls, faults: tuple[Fault, ...]) -> Iterator[tuple[Action, ast.AST, str, str | None]]:
    """Yield what is to be said of each fault and of each call that is none."""
    for fault in faults:
        yield "rejected", fault.node, fault.reason, fault.instead
    at_fault = {id(fault.node) for fault in faults}
    for call in calls.tails.values():
        if not faults:
            yield "loop", call, "becomes a jump", None
        elif id(call) not in at_fault:
            yield "kept", call, "a tail call that stays recursion because the function is rejected", None
    for call in calls.kept:
        yield "kept", call, "made by a nested function; it starts a recursion of its own", None


def _site(definition: Definition, action: Action, node: ast.AST, reason: str, instead: str | None) -> TailCallSite:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        # The caret stands under the name, whatever the length of the definition.
        text = definition.line(node.lineno)
        start = text.find(node.name, len(text) - len(text.lstrip()) + len("def"))
        end = start + len(node.name)
    else:
        text = definition.line(getattr(node, "lineno", 1))
        start = _characters(text, getattr(node, "col_offset", 0))
        one_line = getattr(node, "end_lineno", None) == getattr(node, "lineno", None)
        end = _characters(text, getattr(node, "end_col_offset", 0)) if one_line else len(text)
    return TailCallSite(
        action=action,
        reason=reason,
        instead=instead,
        line=getattr(node, "lineno", None),
        column=start + 1,
        end_column=end + 1,
        source_line=text,
    )


def _characters(text: str, offset: int) -> int:
    """The syntax tree counts bytes of UTF-8; people count characters."""
    return len(text.encode()[:offset].decode(errors="ignore"))


def _refused(fn: object, reason: str, instead: str) -> TailCallReport:
    code = getattr(fn, "__code__", None)
    name = getattr(fn, "__qualname__", None) or _describe(fn)
    return TailCallReport(
        function=f"{getattr(fn, '__module__', '?')}.{name}",
        path=getattr(code, "co_filename", None),
        line=getattr(code, "co_firstlineno", None),
        accepted=False,
        sites=(
            TailCallSite(action="rejected", reason=reason, instead=instead, line=getattr(code, "co_firstlineno", None)),
        ),
    )


def _describe(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _decorators_above(fn: FunctionType, definition: Definition, frame: FrameType) -> int:
    """Return how many decorators of the source, ``tailrec`` included, do not stand below it.

    Decorators are resolved where the decorator is being applied, so that an alias or a local import is seen.
    """
    for index, decorator in enumerate(definition.node.decorator_list):
        for names in (frame.f_locals, frame.f_globals, fn.__globals__, vars(builtins)):
            if _resolve(decorator, names) is tailrec:
                return index + 1
    return 0


def _resolve(expression: ast.expr, names: Mapping[str, object]) -> object:
    match expression:
        case ast.Name():
            return names.get(expression.id)
        case ast.Attribute():
            holder = _resolve(expression.value, names)
            # Only of modules: reading an attribute of anything else might run the user's code.
            return getattr(holder, expression.attr, None) if isinstance(holder, ModuleType) else None
        case _:
            return None


def _name_is_own(fn: object) -> bool:
    """Return whether the compiled function's name refers to it, or to the recursion it was made of, right now."""
    while not isinstance(fn, FunctionType) or OWN not in fn.__code__.co_freevars:
        fn = getattr(fn, "__wrapped__", None)
        if fn is None:
            return False
    code, name = fn.__code__, fn.__code__.co_name
    if name in code.co_freevars:
        cell = (fn.__closure__ or ())[code.co_freevars.index(name)]
        try:
            found = cell.cell_contents
        except ValueError:
            return False
    else:
        found = fn.__globals__.get(name)
    return found is fn or found is getattr(fn, "__wrapped__", None)
