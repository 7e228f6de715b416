"""Decide whether an async generator may become a loop, and whether its transitions may share one frame."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import CodeType

from loom_core.tailcalls.analysis import Analysis, bind_all, declaration_faults, position, too_deep
from loom_core.tailcalls.calls import Fault, Kept
from loom_core.tailcalls.names import Callees, Kind, callees_of, mangled
from loom_core.tailcalls.rewrite import Plan
from loom_core.tailcalls.sharing import kept_cells, sees_by_name, stale_variables, why_not_shared
from loom_core.tailcalls.source import Definition, Function
from loom_core.tailcalls.streams_calls import StreamCalls, find_streams, hint_stream
from loom_core.tailcalls.streams_yields import Yields
from loom_core.tailcalls.unbound import removed_names
from loom_core.tailcalls.walking import statements


def analyse_stream(
    definition: Definition, code: CodeType, *, kind: Kind | None = None, leave_first: bool = False
) -> Analysis:
    """Analyse an async generator by its definition and its code object, as ``analyse`` does a function.

    ``mode`` is ``direct`` only where nobody can see which frame a ``yield`` stands in.
    """
    try:
        return _analyse_stream(definition, code, kind, leave_first=leave_first)
    except RecursionError:
        return too_deep(definition.node)


def _analyse_stream(definition: Definition, code: CodeType, kind: Kind | None, *, leave_first: bool) -> Analysis:
    node = definition.node
    callees = callees_of(definition, code, kind)
    found = find_streams(definition, code, callees, leave_first=leave_first)
    calls = found.calls
    faults = [*_kind_faults(node, code), *declaration_faults(definition, callees)]
    by_name = sees_by_name(node, code)
    if not faults:
        faults = [*calls.faults, *_target_faults(definition, code, found)]
    if by_name:
        faults += [_seen_while_left(calls.tails[key]) for key in calls.blocks]
    tails, misfits = bind_all(node, callees, calls)
    kept = (*calls.kept, *misfits)
    if not faults and not tails:
        faults.append(_nothing_to_do(node, callees, kept))
    why = _why_yields(found.yields) or why_not_shared(definition, code, calls, tails, by_name=by_name)
    plan = None
    if not faults:
        plan = Plan(
            callees=callees,
            forms={key: calls.forms[key] for key in tails},
            calls={key: calls.tails[key] for key in tails},
            tails=tails,
            path=frozenset(one for key in tails for one in calls.paths[key]),
            stale=() if why is not None else stale_variables(definition, code),
            removable=removed_names(node.body),
        )
    return Analysis(
        callees=callees,
        calls=calls,
        kept=kept,
        faults=tuple(sorted(faults, key=position)),
        mode="direct" if why is None else "frames",
        why_frames=why,
        by_name=by_name,
        plan=plan,
        bound=frozenset(tails),
    )


def _kind_faults(node: Function, code: CodeType) -> Iterator[Fault]:
    if code.co_flags & inspect.CO_ASYNC_GENERATOR:
        return
    if code.co_flags & inspect.CO_GENERATOR:
        reason = "the generator is not async"
        yield Fault(node=node, reason=reason, instead=f"write `async def {node.name}`, and `async for` around its call")
    elif code.co_flags & inspect.CO_COROUTINE:
        reason = "an async function without `yield` is not a stream"
        yield Fault(node=node, reason=reason, instead="write @tailrec, which is for async functions")
    else:
        yield Fault(node=node, reason="the function is not an async generator", instead="remove @tailstream")


def _target_faults(definition: Definition, code: CodeType, found: StreamCalls) -> Iterator[Fault]:
    """The items must not be seen on their way through the frame."""
    declared: set[str] = set()
    for one in statements(definition.node.body):
        if isinstance(one, ast.Global | ast.Nonlocal):
            declared.update(one.names)
    captured = kept_cells(code, frozenset(code.co_cellvars))
    for target in found.targets:
        if target.id in declared:
            reason = f"the loop's variable `{target.id}` is not a local one, so that every item can be seen in it"
        elif mangled(target.id, definition) in captured:
            reason = f"a nested function, class or generator keeps `{target.id}` and so sees every item in it"
        else:
            continue
        yield Fault(node=target, reason=reason, instead="use a variable that nothing else uses")


def _seen_while_left(call: ast.Call) -> Fault:
    return Fault(
        node=call,
        reason="the function can see its variables by name, and ours among them while the block is left",
        instead="leave the block first, or read the variables themselves instead of `locals()` and its like",
    )


def _why_yields(yields: Yields) -> str | None:
    """Return what the yields show of the frame that they stand in, None if nothing."""
    if yields.in_block is not None:
        return f"the `yield` in line {_line(yields.in_block)} stands in a block, which sees what is thrown there"
    if yields.in_loop is not None:
        return (
            f"the loop in line {_line(yields.in_loop)} yields items of something that only it holds, "
            "which is closed when the loop is left"
        )
    if yields.used is not None:
        return f"what is sent to the `yield` in line {_line(yields.used)} is used"
    return None


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def _nothing_to_do(node: Function, callees: Callees, kept: tuple[Kept, ...]) -> Fault:
    doubts = [one for one in kept if one.instead is not None]
    if doubts:
        return Fault(node=doubts[0].node, reason=f"nothing to loop: {doubts[0].reason}", instead=str(doubts[0].instead))
    why = callees.why_not_name or "there is no tail of it"
    return Fault(
        node=node,
        reason=f"`{node.name}` does not go on with itself: {why}, so there is nothing to make a loop of",
        instead=f"write `{hint_stream(callees)}` at the end, or remove @tailstream",
    )
