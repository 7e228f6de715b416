"""What the ``yield``s of a generator let others see of the frame that they stand in."""

from __future__ import annotations

import ast
from collections.abc import Collection

import attrs

_USED_UP = frozenset({"range", "list", "tuple", "set", "frozenset", "dict", "sorted", "str", "bytes"})
_PASSED_ON = frozenset({"enumerate", "zip", "reversed", "iter", "map", "filter"})


@attrs.define
class Yields:
    """What the function's own ``yield``s let others see of its frame.

    ``in_block`` is the first that stands in a ``try`` or ``with``, ``in_loop`` the first loop around one over something
    that only the loop holds: the frame sees who throws or closes there. ``used`` is the first whose value is used: what
    is sent is seen by the first frame only. Each is None if there is none.
    """

    in_block: ast.AST | None = None
    in_loop: ast.AST | None = None
    used: ast.AST | None = None


def is_held(iterable: ast.expr, variables: Collection[str] = ()) -> bool:
    """Return whether leaving a loop over ``iterable`` early can run no code: something else holds it, or it has none.

    The result of a call is held by the loop only. If it is a generator, it is closed when the loop is left, and so its
    ``finally`` would run at another time than in the recursion. ``variables`` are the function's own: none of them is
    the builtin of its name.
    """
    match iterable:
        case ast.Call(func=ast.Name(id=name), args=arguments) if name not in variables:
            return name in _USED_UP or (name in _PASSED_ON and all(is_held(one, variables) for one in arguments))
        case ast.Call() | ast.Await() | ast.Yield():
            return False
        case ast.GeneratorExp(generators=generators):
            return all(is_held(one.iter, variables) for one in generators)
        case ast.IfExp():
            return is_held(iterable.body, variables) and is_held(iterable.orelse, variables)
        case ast.BoolOp(values=values):
            return all(is_held(one, variables) for one in values)
        case ast.Starred(value=value):
            return is_held(value, variables)
        case _:
            return True
