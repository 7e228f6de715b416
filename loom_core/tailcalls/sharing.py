"""Whether the transitions of a function can share one frame without anybody seeing it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import CodeType

from loom_core.tailcalls.bindings import Binding, all_parameters_of, passed_on
from loom_core.tailcalls.calls import Calls
from loom_core.tailcalls.names import comprehensions_own, is_rebound, mangled
from loom_core.tailcalls.source import Definition, Function
from loom_core.tailcalls.unbound import stale_locals
from loom_core.tailcalls.walking import walk

_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>")
_BY_NAME = frozenset({"locals", "eval", "exec"})
_BY_NAME_WITHOUT_ARGUMENTS = frozenset({"vars", "dir"})


def why_not_shared(
    definition: Definition, code: CodeType, calls: Calls, tails: Mapping[int, list[Binding] | None], *, by_name: bool
) -> str | None:
    """Return why transitions cannot share one frame, None if they can."""
    blocks = sorted({calls.blocks[key] for key in tails if key in calls.blocks})
    if blocks:
        return f"a tail call leaves {' and '.join(blocks)} first"
    if by_name:
        return "it can see its variables by name"
    captured = sorted(_captured(definition, code, tails))
    if captured:
        names = ", ".join(f"`{name}`" for name in captured)
        return f"a nested function, class or generator keeps {names}, so that each transition needs its own"
    return None


def stale_variables(definition: Definition, code: CodeType) -> tuple[str, ...]:
    """Return the variables, in a fixed order, that have to be unbound before a frame is used again."""
    node = definition.node
    parameters = {mangled(name, definition) for name in all_parameters_of(node.args)}
    names = {*code.co_varnames, *code.co_cellvars} - parameters
    in_class = any(isinstance(scope, ast.ClassDef) for scope in definition.scopes)
    private = {name for name in _private_names(node) if mangled(name, definition) in names} if in_class else set()
    unsure = stale_locals(node.body, frozenset(names | private))
    return tuple(sorted(name for name in unsure if not comprehensions_own(name, node)))


def _private_names(node: Function) -> set[str]:
    found = (inner for statement in node.body for inner in walk(statement))
    return {one.id for one in found if isinstance(one, ast.Name) and one.id.startswith("__")}


def sees_by_name(node: Function, code: CodeType) -> bool:
    """Return whether the function may read its variables by their names: with ``locals()`` and the like."""
    if not _names_of(code) & (_BY_NAME | _BY_NAME_WITHOUT_ARGUMENTS):
        return False
    harmless: set[int] = set()
    for one in (inner for statement in node.body for inner in walk(statement)):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and (one.args or one.keywords):
            harmless |= {id(one.func)} if one.func.id in _BY_NAME_WITHOUT_ARGUMENTS else set()
        elif isinstance(one, ast.Name) and one.id in _BY_NAME | _BY_NAME_WITHOUT_ARGUMENTS and id(one) not in harmless:
            return True
    return False


def _captured(definition: Definition, code: CodeType, tails: Mapping[int, list[Binding] | None]) -> set[str]:
    """Return the variables that nested code may keep and that differ between transitions.

    A parameter that is never assigned and that every tail call passes on is the same in all.
    """
    captured = kept_cells(code, frozenset(code.co_cellvars))
    if not captured:
        return captured
    node = definition.node
    return {name for name in captured if not _same_in_all(name, node, tails) and not comprehensions_own(name, node)}


def _same_in_all(name: str, node: Function, tails: Mapping[int, list[Binding] | None]) -> bool:
    if name not in all_parameters_of(node.args) or is_rebound(node, name):
        return False
    return all(
        bindings is not None and any(one.parameter == name and passed_on(one) for one in bindings)
        for bindings in tails.values()
    )


def kept_cells(code: CodeType, cells: frozenset[str]) -> set[str]:
    """Return those of ``cells`` that nested code may keep.

    List, set and dict comprehensions run to their end on the spot, so sharing their cells between iterations cannot
    be seen; what is nested in them can keep a cell like anything else.
    """
    found: set[str] = set()
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_name in _COMPREHENSIONS:
                found |= kept_cells(inner, cells)
            else:
                found |= cells & frozenset(inner.co_freevars)
    return found


def _names_of(code: CodeType) -> frozenset[str]:
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return frozenset(code.co_names).union(*(_names_of(one) for one in inner))
