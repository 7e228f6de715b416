"""Decide whether a function may become a loop: every reason against it, how it runs, and the plan if there is none.

Everything is decided from the definition and the code object that it compiles to; the function itself need not exist.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import CodeType

import attrs

from loom_core.tailcalls.bindings import Binding, DoesNotFit, bind
from loom_core.tailcalls.calls import Calls, Fault, Kept, find_calls
from loom_core.tailcalls.names import Callees, Kind, callees_of
from loom_core.tailcalls.report import Mode
from loom_core.tailcalls.rewrite import Plan
from loom_core.tailcalls.sharing import sees_by_name, stale_variables, why_not_shared
from loom_core.tailcalls.source import Definition, Function
from loom_core.tailcalls.unbound import removed_names
from loom_core.tailcalls.walking import statements


@attrs.frozen(kw_only=True)
class Analysis:
    """``plan`` is None if and only if there are ``faults``.

    ``mode`` says how transitions run: ``direct`` as a jump in one frame, ``frames`` each in a frame of its own, and
    then ``why_frames`` says why. ``bound`` has the tails that fit the signature. ``by_name`` is True where the function
    can see its variables by name.
    """

    callees: Callees
    calls: Calls
    kept: tuple[Kept, ...]
    faults: tuple[Fault, ...]
    bound: frozenset[int]
    mode: Mode
    why_frames: str | None
    by_name: bool
    plan: Plan | None


def analyse(
    definition: Definition, code: CodeType, *, kind: Kind | None = None, leave_first: bool = False, group: bool = False
) -> Analysis:
    """Analyse a function by its definition and its code object.

    ``kind`` is what stands in its class, None: what the decorators in the source say. ``leave_first`` accepts tail
    calls inside blocks, ``group`` every callee in tail position.
    """
    try:
        return _analyse(definition, code, kind, leave_first=leave_first, group=group)
    except RecursionError:
        return too_deep(definition.node)


def too_deep(node: Function) -> Analysis:
    """Return the analysis of a function that nests more deeply than Python lets us follow."""
    return Analysis(
        callees=Callees(function=node.name, attribute=node.name),
        calls=Calls(),
        kept=(),
        faults=(Fault(node=node, reason=TOO_DEEP, instead=NEST_LESS),),
        bound=frozenset(),
        mode="direct",
        why_frames=None,
        by_name=False,
        plan=None,
    )


TOO_DEEP = "the function nests too deeply to be followed, in an expression or in a chain of `elif`"
NEST_LESS = "nest less: move inner parts into a function of their own, or write `match`, which does not nest"


def _analyse(definition: Definition, code: CodeType, kind: Kind | None, *, leave_first: bool, group: bool) -> Analysis:
    node = definition.node
    callees = callees_of(definition, code, kind, group=group)
    calls = find_calls(definition, callees, leave_first=leave_first)
    faults = [*_kind_faults(node, code), *declaration_faults(definition, callees), *calls.faults]
    tails, misfits = bind_all(node, callees, calls)
    kept = (*calls.kept, *misfits, *_aliases(node, callees, calls))
    if not faults and not tails:
        faults.append(_nothing_to_do(definition, callees, calls, kept))
    by_name = sees_by_name(node, code)
    why = "it is a member of a group" if group else why_not_shared(definition, code, calls, tails, by_name=by_name)
    plan = None
    if not faults:
        plan = Plan(
            callees=callees,
            forms={key: calls.forms[key] for key in tails},
            calls={key: calls.tails[key] for key in tails},
            tails=tails,
            path=frozenset(one for key in tails for one in calls.paths[key]),
            stale=() if why is not None else stale_variables(definition, code),
            removable=removed_names(node.body) if definition.mentions("del", "except") else frozenset(),
            declares=definition.mentions("global", "nonlocal"),
        )
    return Analysis(
        callees=callees,
        calls=calls,
        kept=kept,
        faults=tuple(sorted(faults, key=position)),
        bound=frozenset(tails),
        mode="direct" if why is None else "frames",
        why_frames=why,
        by_name=by_name,
        plan=plan,
    )


def position(fault: Fault) -> tuple[int, int]:
    """Return where a fault stands, to sort by."""
    return getattr(fault.node, "lineno", 0), getattr(fault.node, "col_offset", 0)


def _kind_faults(node: Function, code: CodeType) -> Iterator[Fault]:
    if code.co_flags & inspect.CO_ASYNC_GENERATOR:
        reason = "an async generator is not a tail-recursive function"
        yield Fault(node=node, reason=reason, instead="write @tailstream, which is for async generators")
    elif not isinstance(node, ast.AsyncFunctionDef):
        yield Fault(node=node, reason="the function is not async", instead=f"write `async def {node.name}`")


def declaration_faults(definition: Definition, callees: Callees) -> Iterator[Fault]:
    """Yield the declarations by which a function may give the name that it calls itself by another meaning."""
    if not definition.mentions("global", "nonlocal"):
        return
    own = {callees.name, callees.enclosing} - {None}
    for one in statements(definition.node.body, nested=True):
        if isinstance(one, ast.Global | ast.Nonlocal):
            for name in sorted(own & {*one.names}, key=str):
                reason = f"the function rebinds its own name, so that `{name}` may be something else at the next call"
                yield Fault(node=one, reason=reason, instead="use another name")


def bind_all(node: Function, callees: Callees, calls: Calls) -> tuple[dict[int, list[Binding] | None], list[Kept]]:
    """Return the bindings of each tail call that fits the signature, and what stays a call because it does not."""
    tails: dict[int, list[Binding] | None] = {}
    misfits: list[Kept] = []
    for key, call in calls.tails.items():
        form = calls.forms[key]
        if form == "any":
            tails[key] = None
            continue
        if form == "class" and "first" in calls.forms.values() and not _same_first(call, callees):
            reason = f"it may go on with another object than `{callees.first}`, whose method may be another function"
            misfits.append(Kept(node=call, reason=reason, instead=f"write `{callees.hint_call()}`"))
            continue
        try:
            tails[key] = bind(node.args, call, callees.receiver(form))
        except DoesNotFit as misfit:
            reason = f"{misfit.reason}: the call raises TypeError when it is reached, as it does in the recursion"
            misfits.append(Kept(node=misfit.node, reason=reason, instead="give the arguments that the function takes"))
    return tails, misfits


def _same_first(call: ast.Call, callees: Callees) -> bool:
    """Return whether a call by the class's name goes on with what was checked: the first parameter, or a class."""
    match call.args:
        case [ast.Name(id=name), *_] if name == callees.first:
            return True
        case _:
            return callees.kind != "function"


def _nothing_to_do(definition: Definition, callees: Callees, calls: Calls, kept: tuple[Kept, ...]) -> Fault:
    node = definition.node
    doubts = [one for one in kept if one.instead is not None]
    if doubts:
        return Fault(node=doubts[0].node, reason=f"nothing to loop: {doubts[0].reason}", instead=str(doubts[0].instead))
    why = callees.why_not_name or "there is no tail call of it"
    instead = f"write `{callees.hint_call()}`, or remove @tailrec"
    if others := [call.func.id for call in calls.others if isinstance(call.func, ast.Name)]:
        instead += f"; if `{others[0]}` calls it back, put both in one group: `@tailrec(group=...)`"
    if definition.scopes and isinstance(definition.scopes[-1], ast.FunctionDef):
        instead += "; if a decorator below @tailrec made this function of yours, let it use `functools.wraps`"
    reason = f"`{node.name}` does not call itself in tail position: {why}, so there is nothing to make a loop of"
    return Fault(node=node, reason=reason, instead=instead)


def _aliases(node: Function, callees: Callees, calls: Calls) -> Iterator[Kept]:
    """Yield the tail calls of variables that are given this function."""
    called = {call.func.id: call for call in calls.others if isinstance(call.func, ast.Name)}
    for one in statements(node.body) if called else ():
        match one:
            case ast.Assign(targets=[ast.Name(id=alias)], value=value) if alias in called and callees.is_own(value):
                reason = f"`{alias}` is an alias, which is not provably this function when it is called"
                yield Kept(node=called[alias], reason=reason, instead=callees.hint())
            case _:
                pass
