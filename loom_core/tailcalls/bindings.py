"""Bind the arguments of a tail call to parameters, and order the assignments that replace the call."""

from __future__ import annotations

import ast
from collections.abc import Collection

import attrs

from loom_core.tailcalls.walking import walk


class DoesNotFit(Exception):
    """A call's arguments do not fit the signature; ``node`` is the offending place."""

    def __init__(self, node: ast.AST, reason: str) -> None:
        super().__init__(reason)
        self.node = node
        self.reason = reason


@attrs.frozen
class Binding:
    """A parameter's next value. ``expression`` None means the parameter's own default."""

    parameter: str
    expression: ast.expr | None


def parameters_of(arguments: ast.arguments) -> tuple[str, ...]:
    """Return the names of all parameters but ``*args`` and ``**kwargs``."""
    return tuple(one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


def all_parameters_of(arguments: ast.arguments) -> tuple[str, ...]:
    """Return the names of all parameters, ``*args`` and ``**kwargs`` last."""
    stars = [one.arg for one in (arguments.vararg, arguments.kwarg) if one is not None]
    return (*parameters_of(arguments), *stars)


def bind(arguments: ast.arguments, call: ast.Call, receiver: str | None = None) -> list[Binding] | None:
    """Return the bindings of ``call`` in the order in which Python evaluates them, defaults last.

    ``receiver`` is the variable that Python passes first, as it does to a method. None where the binding is known only
    when the call is made: for arguments that are spread by ``*`` and ``**``. Raises ``DoesNotFit`` where Python would
    raise ``TypeError`` when the call is made.
    """
    if any(isinstance(one, ast.Starred) for one in call.args) or any(one.arg is None for one in call.keywords):
        return None
    positional = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    by_keyword = {one.arg for one in (*arguments.args, *arguments.kwonlyargs)}
    spelled = {name for name in by_keyword if name.startswith("__") and not name.endswith("__")}
    if spelled and (call.keywords or not spelled.isdisjoint(one.arg for one in arguments.kwonlyargs)):
        return None  # In a class, Python spells the parameter with the class's name in front, but not the keyword.
    given: list[ast.expr] = [*call.args]
    if receiver is not None:
        given.insert(0, ast.copy_location(ast.Name(id=receiver, ctx=ast.Load()), call.func))
    bound: dict[str, ast.expr] = dict(zip(positional, given, strict=False))
    excess = given[len(positional) :]
    if arguments.vararg is not None:
        bound[arguments.vararg.arg] = ast.copy_location(ast.Tuple(elts=excess, ctx=ast.Load()), call)
    elif excess:
        reason = f"the call gives {len(given)} positional arguments, the function takes {len(positional)}"
        raise DoesNotFit(excess[0], reason)
    others: list[tuple[int, ast.keyword]] = []
    for index, keyword in enumerate(call.keywords):
        name = str(keyword.arg)
        if name not in by_keyword:
            if arguments.kwarg is None:
                raise DoesNotFit(keyword, f"the function takes no keyword argument `{name}`")
            others.append((index, keyword))
            bound.setdefault(arguments.kwarg.arg, _EMPTY)
        elif name in bound:
            raise DoesNotFit(keyword, f"the call gives `{name}` twice, by position and by keyword")
        else:
            bound[name] = keyword.value
    omitted = [name for name in parameters_of(arguments) if name not in bound]
    with_default = defaulted(arguments) if omitted else {}
    for name in omitted:
        if name not in with_default:
            raise DoesNotFit(call, f"the call gives no argument for `{name}`, which has no default")
    if arguments.kwarg is not None:
        indexes = [index for index, _ in others]
        private = any(str(keyword.arg).startswith("__") for _, keyword in others)
        if private or (indexes and indexes != list(range(indexes[0], indexes[-1] + 1))):
            return None  # What becomes one dict is not evaluated in one go, or spelled otherwise inside a class.
        keys: list[ast.expr | None] = [ast.copy_location(ast.Constant(value=one.arg), one) for _, one in others]
        values = [keyword.value for _, keyword in others]
        bound[arguments.kwarg.arg] = ast.copy_location(ast.Dict(keys=keys, values=values), call)
    return [Binding(name, value) for name, value in bound.items()] + [Binding(name, None) for name in omitted]


# Holds the place of `**kwargs` in the order of evaluation until all that it takes are known.
_EMPTY = ast.Dict(keys=[], values=[])


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


def passed_on(binding: Binding) -> bool:
    """Return whether the parameter's next value is its present one."""
    return isinstance(binding.expression, ast.Name) and binding.expression.id == binding.parameter


def segments(bindings: list[Binding], removable: Collection[str]) -> list[list[Binding]]:
    """Split given bindings into the shortest runs that can be assigned one after the other.

    A parameter may be assigned before a later argument is evaluated only if that argument does not mention it;
    bindings that must wait for each other stay in one run. A parameter that is passed on unchanged needs no
    assignment, unless a later argument may assign it or it is in ``removable``: then reading it may raise
    ``UnboundLocalError``.
    """
    stored = _last([_names(binding.expression, stored=True) for binding in bindings])
    needed = [
        binding
        for index, binding in enumerate(bindings)
        if not passed_on(binding) or binding.parameter in removable or stored.get(binding.parameter, index) > index
    ]
    mentioned = _last([_names(binding.expression) for binding in needed])
    runs: list[list[Binding]] = []
    run: list[Binding] = []
    end = 0
    for index, binding in enumerate(needed):
        end = max(end, index, mentioned.get(binding.parameter, index))
        run.append(binding)
        if index == end:
            runs.append(run)
            run, end = [], index + 1
    return runs


def waiting(run: list[Binding]) -> list[bool]:
    """Return which parameters of a run a later argument mentions, so that they need a temporary."""
    mentioned = _last([_names(binding.expression) for binding in run])
    return [mentioned.get(binding.parameter, index) > index for index, binding in enumerate(run)]


def _last(names: list[frozenset[str]]) -> dict[str, int]:
    """Return the last place of each name."""
    return {name: index for index, found in enumerate(names) for name in found}


def _names(expression: ast.expr | None, *, stored: bool = False) -> frozenset[str]:
    if expression is None or isinstance(expression, ast.Constant):
        return frozenset()
    if isinstance(expression, ast.Name):
        return frozenset() if stored else frozenset((expression.id,))
    return frozenset(
        node.id
        for node in walk(expression)
        if isinstance(node, ast.Name) and not (stored and isinstance(node.ctx, ast.Load))
    )
