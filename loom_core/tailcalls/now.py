"""What the explanation of a decorated function adds at the moment when it is asked for."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from types import FunctionType

import attrs

from loom_core.tailcalls.analysis import analyse
from loom_core.tailcalls.calls import Kept
from loom_core.tailcalls.examining import REPORT, is_compiled
from loom_core.tailcalls.ownness import BY_INSTANCE, OWN, Owner
from loom_core.tailcalls.report import TailCallReport, TailCallSite
from loom_core.tailcalls.sites import in_order, kept_site
from loom_core.tailcalls.source import definition_of
from loom_core.tailcalls.streams_analysis import analyse_stream
from loom_core.tailcalls.streams_calls import hint_stream

_ELSEWHERE = "its name refers to something else now (a decorator above, a patch): plain recursion runs"
_ANSWERED = "its class answers for attributes itself (`__getattribute__`), so nothing is proved: plain recursion runs"
_OVERRIDDEN = "its class has something else by its name now (a decorator above, a patch): plain recursion runs"


def explain_now(fn: object) -> TailCallReport | None:
    """Return the report of a decorated function with what can have changed since, None if it is not decorated."""
    report: TailCallReport | None = getattr(fn, REPORT, None)
    compiled = _compiled_below(fn)
    if report is None or compiled is None:
        return report
    notes = report.notes
    if OWN in compiled.__code__.co_freevars and not _name_is_own(compiled):
        notes = (*notes, _ELSEWHERE)
    elif (owner := _owner(compiled)) is not None and (cls := _class_of(compiled)) is not None:
        if owner.by_class(cls) is None:
            notes = (*notes, _OVERRIDDEN)
        elif BY_INSTANCE in compiled.__code__.co_freevars and not owner.is_asked_plainly(cls):
            notes = (*notes, _ANSWERED)
    known = {(site.line, site.column) for site in report.sites}
    sites = [site for site in _others(compiled) if (site.line, site.column) not in known]
    return attrs.evolve(report, notes=notes, sites=in_order([*report.sites, *sites]))


def _compiled_below(fn: object) -> FunctionType | None:
    seen: set[int] = set()
    while not is_compiled(fn):
        seen.add(id(fn))
        fn = getattr(fn, "__func__", None) or getattr(fn, "__wrapped__", None)
        if fn is None or id(fn) in seen:
            return None
    return fn if isinstance(fn, FunctionType) else None


def _name_is_own(fn: FunctionType) -> bool:
    """Return whether the compiled function's name refers to it, or to the recursion it was made of, right now."""
    found = _value(fn, fn.__code__.co_name)
    return found is fn or found is getattr(fn, "__wrapped__", None)


def _value(fn: FunctionType, name: str) -> object:
    """Return what a variable outside of ``fn`` refers to now, None if nothing."""
    for variable, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        # A private name of a class is spelled with the name of the class in front.
        if variable == name or (name.startswith("__") and variable.startswith("_") and variable.endswith(name)):
            try:
                return cell.cell_contents
            except ValueError:
                return None
    return fn.__globals__.get(name)


def _owner(fn: FunctionType) -> Owner | None:
    for cell in fn.__closure__ or ():
        found = getattr(cell.cell_contents if _is_filled(cell) else None, "__self__", None)
        if isinstance(found, Owner):
            return found
    return None


def _is_filled(cell: object) -> bool:
    try:
        return hasattr(cell, "cell_contents")
    except ValueError:
        return False


def _class_of(fn: FunctionType) -> type | None:
    """Return the class that the function was written in, None if it is not found."""
    found: type | None = None
    namespace: Mapping[str, object] = fn.__globals__
    for name in fn.__qualname__.split(".")[:-1]:
        inner = namespace.get(name)
        if not isinstance(inner, type):
            return None
        found, namespace = inner, vars(inner)
    return found


def _others(fn: FunctionType) -> Iterator[TailCallSite]:
    """Yield the tail calls of other decorated functions, which were defined later, perhaps."""
    # No further down: the function itself may say by `functools.wraps` that it stands for another one.
    plain = getattr(fn, "__wrapped__", None)
    if not isinstance(plain, FunctionType):
        return
    try:
        definition = definition_of(plain)
    except RecursionError:
        return
    if definition is None:
        return
    stream = inspect.isasyncgenfunction(plain)
    analysis = (analyse_stream if stream else analyse)(definition, plain.__code__)
    for call in analysis.calls.others:
        if not isinstance(call.func, ast.Name):
            continue
        other = _value(fn, call.func.id)
        if other is fn or other is plain:
            reason = f"`{call.func.id}` is an alias, which is not provably this function when it is called"
            instead = f"write `{hint_stream(analysis.callees) if stream else analysis.callees.hint_call()}`"
            yield kept_site(definition, Kept(node=call, reason=reason, instead=instead))
        elif stream and hasattr(other, REPORT):
            reason = f"`{call.func.id}` is another @tailstream function: an ordinary loop, which needs stack"
            yield kept_site(definition, Kept(node=call, reason=reason))
        elif hasattr(other, REPORT):
            reason = f"`{call.func.id}` is another @tailrec function: an ordinary await, which needs stack"
            instead = "put both in one group: `@tailrec(group=...)`"
            yield kept_site(definition, Kept(node=call, reason=reason, instead=instead))
