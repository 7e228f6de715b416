"""Bind the arguments of a tail call to parameters, and order the assignments that replace the call."""

from __future__ import annotations

import ast
from collections.abc import Collection

import attrs


class DoesNotFit(Exception):
    """A call's arguments do not fit the signature, or are spread; ``node`` is the offending place."""

    def __init__(self, node: ast.AST, reason: str, instead: str) -> None:
        super().__init__(reason)
        self.node = node
        self.reason = reason
        self.instead = instead


@attrs.frozen
class Binding:
    """A parameter's next value. ``expression`` None means the parameter's own default."""

    parameter: str
    expression: ast.expr | None


def parameters_of(arguments: ast.arguments) -> tuple[str, ...]:
    """Return the names of all parameters but ``*args`` and ``**kwargs``."""
    return tuple(one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


def bind(arguments: ast.arguments, call: ast.Call) -> list[Binding]:
    """Return the bindings of ``call`` in the order in which Python evaluates them, defaults last.

    Raises ``DoesNotFit`` where Python would raise ``TypeError`` when the call is made.
    """
    positional = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    by_keyword = {one.arg for one in (*arguments.args, *arguments.kwonlyargs)}
    bound: dict[str, ast.expr] = {}
    for index, argument in enumerate(call.args):
        if isinstance(argument, ast.Starred):
            raise DoesNotFit(argument, "`*` spreads arguments that are known only when the call is made", _SPREAD)
        if index >= len(positional):
            reason = f"the call gives {len(call.args)} positional arguments, the function takes {len(positional)}"
            raise DoesNotFit(argument, reason, "give the arguments that the function takes")
        bound[positional[index]] = argument
    for keyword in call.keywords:
        if keyword.arg is None:
            raise DoesNotFit(keyword.value, "`**` spreads arguments that are known only when the call is made", _SPREAD)
        if keyword.arg not in by_keyword:
            reason = f"the function takes no keyword argument `{keyword.arg}`"
            raise DoesNotFit(keyword, reason, "give the arguments that the function takes")
        if keyword.arg in bound:
            reason = f"the call gives `{keyword.arg}` twice, by position and by keyword"
            raise DoesNotFit(keyword, reason, "give it once")
        bound[keyword.arg] = keyword.value
    omitted = [name for name in parameters_of(arguments) if name not in bound]
    for name in omitted:
        if name not in defaulted(arguments):
            raise DoesNotFit(call, f"the call gives no argument for `{name}`, which has no default", f"give `{name}`")
    given = [Binding(name, expression) for name, expression in bound.items()]
    return given + [Binding(name, None) for name in omitted]


_SPREAD = "name every argument in the call"


def defaulted(arguments: ast.arguments) -> dict[str, int | None]:
    """Return the parameters that have a default: its index from the end of ``__defaults__``, None if keyword-only."""
    positional = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    count = len(arguments.defaults)
    found: dict[str, int | None] = {
        name: index - count for index, name in enumerate(positional[-count:] if count else ())
    }
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            found[one.arg] = None
    return found


def segments(bindings: list[Binding], removable: Collection[str]) -> list[list[Binding]]:
    """Split given bindings into the shortest runs that can be assigned one after the other.

    A parameter may be assigned before a later argument is evaluated only if that argument does not mention it;
    bindings that must wait for each other stay in one run. A parameter that is passed on unchanged needs no
    assignment, unless it is mentioned later or is in ``removable``: then reading it may raise ``UnboundLocalError``.
    """
    mentioned = [_names(binding.expression) for binding in bindings]
    last = [
        max(
            (later for later in range(index + 1, len(bindings)) if binding.parameter in mentioned[later]), default=index
        )
        for index, binding in enumerate(bindings)
    ]
    runs: list[list[Binding]] = []
    run: list[Binding] = []
    end = 0
    for index, binding in enumerate(bindings):
        end = max(end, last[index])
        unchanged = isinstance(binding.expression, ast.Name) and binding.expression.id == binding.parameter
        if not (unchanged and last[index] == index and binding.parameter not in removable):
            run.append(binding)
        if index == end:
            runs += [run] if run else []
            run, end = [], index + 1
    return runs


def waits(run: list[Binding], index: int) -> bool:
    """Return whether a later argument of the run mentions the parameter, so that it needs a temporary."""
    name = run[index].parameter
    return any(name in _names(later.expression) for later in run[index + 1 :])


def _names(expression: ast.expr | None) -> frozenset[str]:
    if expression is None:
        return frozenset()
    return frozenset(node.id for node in ast.walk(expression) if isinstance(node, ast.Name))
