"""Decide whether a function may become a loop: every reason against it, and the plan if there is none."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType

import attrs

from loom_core.tailcalls.bindings import Binding, DoesNotFit, bind
from loom_core.tailcalls.calls import Calls, Fault, find_calls, statements
from loom_core.tailcalls.rewrite import Plan
from loom_core.tailcalls.source import Definition, Function
from loom_core.tailcalls.unbound import removed_names, stale_locals

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.GeneratorExp)
_BY_NAME = frozenset({"locals", "eval", "exec"})
_BY_NAME_WITHOUT_ARGUMENTS = frozenset({"vars", "dir"})


@attrs.frozen(kw_only=True)
class Analysis:
    """``plan`` is None if and only if there are ``faults``."""

    calls: Calls
    faults: tuple[Fault, ...]
    plan: Plan | None


def analyse(fn: FunctionType, definition: Definition, decorators_above: int) -> Analysis:
    """Analyse ``fn``; its first ``decorators_above`` decorators are applied to what the compiler returns."""
    node, code = definition.node, fn.__code__
    # A name that is a parameter or a variable here is not the function's.
    is_local = node.name in code.co_varnames or node.name in code.co_cellvars
    calls = Calls() if is_local else find_calls(node)
    faults = [
        *_kind_faults(fn, definition),
        *_decorator_faults(definition, decorators_above),
        *_scope_faults(definition, code),
        *_by_name_faults(node, code),
        *_declaration_faults(node),
        *calls.faults,
    ]
    tails, misfits = _bind_all(node, calls)
    faults += misfits
    if not faults and not tails:
        faults.append(_nothing_to_do(node, is_local=is_local))
    if faults:
        return Analysis(calls=calls, faults=tuple(sorted(faults, key=_position)), plan=None)
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    locals_ = frozenset((*code.co_varnames, *code.co_cellvars)) - frozenset(parameters)
    plan = Plan(
        tails=tails,
        path=frozenset(calls.path),
        stale=tuple(sorted(stale_locals(node.body, locals_))),
        removable=removed_names(node.body),
    )
    return Analysis(calls=calls, faults=(), plan=plan)


def _position(fault: Fault) -> tuple[int, int]:
    return getattr(fault.node, "lineno", 0), getattr(fault.node, "col_offset", 0)


def _kind_faults(fn: FunctionType, definition: Definition) -> Iterator[Fault]:
    node = definition.node
    if inspect.isasyncgenfunction(fn):
        yield Fault(node=node, reason="an async generator is not a tail-recursive function", instead=_REMOVE)
    elif not isinstance(node, ast.AsyncFunctionDef):
        yield Fault(node=node, reason="the function is not async", instead=f"write `async def {node.name}`")
    if definition.scopes and isinstance(definition.scopes[-1], ast.ClassDef):
        yield Fault(
            node=node,
            reason="a method is not accepted by the simple form",
            instead="write a function outside the class, give it what it needs of `self`, and call it from the method",
        )
    for spread, star in ((node.args.vararg, "*"), (node.args.kwarg, "**")):
        if spread is not None:
            reason = f"`{star}{spread.arg}` is not accepted by the simple form"
            yield Fault(node=spread, reason=reason, instead="name every parameter")


def _decorator_faults(definition: Definition, above: int) -> Iterator[Fault]:
    for decorator in definition.node.decorator_list[above:]:
        yield Fault(
            node=decorator,
            reason="a decorator below @tailrec would see the plain recursion and be left out of the loop",
            instead="put @tailrec directly above `async def`, and this decorator above @tailrec",
        )


def _scope_faults(definition: Definition, code: CodeType) -> Iterator[Fault]:
    """Names that mean something else in another scope or that another scope keeps."""
    node = definition.node
    for name in {"__class__", "super"} & {*code.co_names, *code.co_freevars}:
        use = _first_name(node, name)
        if isinstance(use, ast.Name):
            yield Fault(
                node=use,
                reason=f"`{name}` is not accepted by the simple form",
                instead="take what you need of the class as a parameter",
            )
    if any(isinstance(scope, ast.ClassDef) for scope in definition.scopes):
        for private in sorted(_private_names(node)):
            yield Fault(
                node=_first_name(node, private),
                reason=f"`{private}` is a private name of the class around it, which the simple form does not accept",
                instead="use a name with one underscore",
            )
    captured = sorted(_captured(code, frozenset(code.co_cellvars)))
    if captured:
        names = ", ".join(f"`{name}`" for name in captured)
        yield Fault(
            node=_capturing_scope(node, captured),
            reason=f"a nested function, class or generator keeps {names}; in a loop it would see later values",
            instead="give it the value instead of the variable, for instance by functools.partial",
        )


def _by_name_faults(node: Function, code: CodeType) -> Iterator[Fault]:
    if not _all_names(code) & (_BY_NAME | _BY_NAME_WITHOUT_ARGUMENTS):
        return
    for call in (inner for statement in node.body for inner in ast.walk(statement)):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            continue
        name = call.func.id
        bare = not call.args and not call.keywords
        if name in _BY_NAME or (name in _BY_NAME_WITHOUT_ARGUMENTS and bare):
            yield Fault(
                node=call,
                reason=f"`{name}` can read local variables by name, so that a loop cannot be proved to behave alike",
                instead="read the variables themselves",
            )


def _declaration_faults(node: Function) -> Iterator[Fault]:
    for one in statements(node.body, nested=True):
        if isinstance(one, ast.Global | ast.Nonlocal) and node.name in one.names:
            reason = f"the function rebinds its own name, so that `{node.name}` may be something else at the next call"
            yield Fault(node=one, reason=reason, instead="use another name")
    for one in statements(node.body):
        if isinstance(one, ast.Global | ast.Nonlocal) and one not in node.body:
            yield Fault(
                node=one,
                reason="a `global` or `nonlocal` inside a block is not accepted by the simple form",
                instead="move it to the top of the function",
            )


def _bind_all(node: Function, calls: Calls) -> tuple[dict[int, list[Binding]], list[Fault]]:
    tails: dict[int, list[Binding]] = {}
    faults: list[Fault] = []
    for key, call in calls.tails.items():
        try:
            tails[key] = bind(node.args, call)
        except DoesNotFit as misfit:
            faults.append(Fault(node=misfit.node, reason=misfit.reason, instead=misfit.instead))
    return tails, faults


def _nothing_to_do(node: Function, *, is_local: bool) -> Fault:
    why = "its name is a local variable here" if is_local else "there is no tail call of it"
    return Fault(
        node=node,
        reason=f"`{node.name}` does not call itself by its name: {why}, so there is nothing to make a loop of",
        instead=f"write `return await {node.name}(...)`, or remove @tailrec",
    )


_REMOVE = "remove @tailrec"


def _captured(code: CodeType, cells: frozenset[str]) -> set[str]:
    """Return the variables that nested code may keep.

    List, set and dict comprehensions run to their end on the spot, so sharing their cells between iterations cannot
    be seen; what is nested in them can keep a cell like anything else.
    """
    found: set[str] = set()
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_name not in ("<listcomp>", "<setcomp>", "<dictcomp>"):
                found |= cells & frozenset(inner.co_freevars)
            else:
                found |= _captured(inner, cells)
    return found


def _capturing_scope(node: ast.AST, captured: list[str]) -> ast.AST:
    for scope in ast.walk(node):
        if scope is not node and isinstance(scope, _SCOPES):
            for name in ast.walk(scope):
                if isinstance(name, ast.Name) and name.id in captured:
                    return scope
    return node


def _first_name(node: ast.AST, name: str) -> ast.AST:
    places = ast.walk(node)
    found = (one for one in places if name in (getattr(one, "id", None), getattr(one, "attr", None)))
    return next(found, node)


def _private_names(node: ast.AST) -> set[str]:
    names: set[str] = set()
    for one in ast.walk(node):
        for field in ("id", "attr", "arg", "name"):
            value = getattr(one, field, None)
            if isinstance(value, str) and value.startswith("__") and not value.endswith("__"):
                names.add(value)
    return names


def _all_names(code: CodeType) -> frozenset[str]:
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return frozenset(code.co_names).union(*(_all_names(one) for one in inner))
