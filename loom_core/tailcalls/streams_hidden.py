"""A function whose private values are no variables, for one that can see its variables by name."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from types import CellType, FunctionType
from typing import Any
from weakref import ref

from loom_core.tailcalls.compiling import compile_in_scopes, with_cells
from loom_core.tailcalls.frames import constant, filled
from loom_core.tailcalls.nodes import constant as literal
from loom_core.tailcalls.nodes import place
from loom_core.tailcalls.ownness import OWN
from loom_core.tailcalls.source import Definition, Function

_HOME = "@home"


class _Home:
    """Holds the private values; the function holds it, and its code only refers to it.

    The collector does not traverse the constants of a code object: a value there that leads back to the function would
    keep both for ever.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        vars(self).update(values)


def make_hidden(
    fn: FunctionType, definition: Definition, rewritten: Function, private: Mapping[str, object]
) -> FunctionType:
    """Return ``rewritten`` as a function like ``fn``, as ``make_function`` does, that finds ``private`` in a constant.

    OWN becomes the function itself. Nothing but its own variables is in its ``locals()``.
    """
    home = _Home(private)
    hidden = _Hider(frozenset((*private, OWN))).visit(rewritten)
    # An empty cell is in no ``locals()``; it is what tells a compiled function from others.
    mark = place(ast.Expr(value=place(ast.Name(id=OWN, ctx=ast.Load()), rewritten)), rewritten)
    never = place(ast.If(test=literal(False, rewritten), body=[mark], orelse=[]), rewritten)
    hidden.body = [never, *hidden.body]
    code = filled(compile_in_scopes(fn.__code__, definition, hidden, (OWN,)), {_HOME: ref(home)})
    new = with_cells(fn, code, {OWN: CellType()})
    new.__defaults__, new.__kwdefaults__ = fn.__defaults__, fn.__kwdefaults__
    functools.update_wrapper(new, fn)
    vars(home)[OWN] = new
    vars(new)[_HOME] = home
    return new


class _Hider(ast.NodeTransformer):
    """Reads our names from the home. Nothing of the source is changed: no name in it is one of ours."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> Any:
        if node.id not in self.names or not isinstance(node.ctx, ast.Load):
            return node
        home = place(ast.Call(func=constant(_HOME, literal(None, node)), args=[], keywords=[]), node)
        return place(ast.Attribute(value=home, attr=node.id, ctx=ast.Load()), node)
