"""What a decorator's expression refers to, read from imports and assignments without executing anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from loom_core.tailcalls.source import Function, Scope

Transform = Literal["tailrec", "tailstream"]
_PACKAGE = "loom_core"
# Of a name that is given a value under ever new conditions, so many are followed: the time is bounded.
_ALTERNATIVES = 64


@attrs.frozen
class Reference:
    """A dotted name such as ``loom_core.tailrec``; ``call`` is the call of it, as in ``tailrec(blocks=...)``."""

    dotted: str
    call: ast.Call | None = None

    @property
    def transform(self) -> Transform | None:
        """Return which of the two decorators this is, None if neither."""
        package, _, rest = self.dotted.partition(".")
        if package != _PACKAGE:
            return None
        match rest.rpartition(".")[2]:
            case "tailrec" | "tailstream" as name:
                return name
            case _:
                return None


@attrs.frozen
class _Binding:
    """A name given a value: a dotted name, an expression, or (both None) something that is not followed."""

    line: int
    always: bool
    dotted: str | None = None
    value: ast.expr | None = None


class Module:
    """The names of a parsed module; what every scope binds is read once."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._bindings: dict[int, dict[str, list[_Binding]]] = {}
        self._values: dict[int, list[Reference]] = {}

    def transform_of(self, node: Function, scopes: Sequence[Scope]) -> tuple[int, Reference] | None:
        """Return the position of the first decorator that is ``tailrec`` or ``tailstream``, and what it is."""
        for index, decorator in enumerate(node.decorator_list):
            for reference in self.refers_to(decorator, scopes):
                if reference.transform is not None:
                    return index, reference
        return None

    def unfollowed(self, node: Function) -> ast.expr | None:
        """Return a decorator that is spelled ``tailrec`` or ``tailstream``, of a function that has none of Loom's."""
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = getattr(called, "attr", getattr(called, "id", None))
            if name in ("tailrec", "tailstream"):
                return decorator
        return None

    def refers_to(self, expression: ast.expr, scopes: Sequence[Scope]) -> list[Reference]:
        """Return what an expression of the innermost scope may refer to; more than one after ``if`` or ``try``."""
        try:
            return self._resolve(expression, [self._tree, *scopes], expression.lineno)
        except RecursionError:  # a chain of assignments or attributes that nobody writes by hand
            return []

    def _resolve(self, expression: ast.expr, around: list[ast.AST], line: float) -> list[Reference]:
        match expression:
            case ast.Name(id=name):
                return self._look_up(name, around, line)
            case ast.Attribute(value=value, attr=attribute):
                holders = self._resolve(value, around, line)
                return [Reference(f"{one.dotted}.{attribute}") for one in holders if one.call is None]
            case ast.Call(func=func):
                made = self._resolve(func, around, line)
                return [Reference(one.dotted, expression) for one in made if one.transform and one.call is None]
            case _:
                return []

    def _look_up(self, name: str, around: list[ast.AST], line: float) -> list[Reference]:
        for depth in range(len(around) - 1, -1, -1):
            scope, innermost = around[depth], depth == len(around) - 1
            if isinstance(scope, ast.ClassDef) and not innermost:
                continue
            bindings = self._bound_in(scope).get(name, [])
            # What stands further out has run to its end before the function is called.
            visible = [one for one in bindings if not innermost or one.line < line]
            if not bindings or (not visible and not isinstance(scope, Function)):
                continue
            last = max((index for index, one in enumerate(visible) if one.always), default=0)
            likely = visible[last:][-_ALTERNATIVES:]
            found = [reference for one in likely for reference in self._value(one, around[: depth + 1])]
            return list(dict.fromkeys(found))
        return []

    def _value(self, binding: _Binding, around: list[ast.AST]) -> list[Reference]:
        if binding.dotted is not None:
            return [Reference(binding.dotted)]
        if binding.value is None:
            return []
        if id(binding) not in self._values:
            # Within a scope only lines above are looked at, so that this ends.
            self._values[id(binding)] = self._resolve(binding.value, around, binding.line)
        return self._values[id(binding)]

    def _bound_in(self, scope: ast.AST) -> dict[str, list[_Binding]]:
        if id(scope) not in self._bindings:
            found: dict[str, list[_Binding]] = {}
            if isinstance(scope, Function):
                for one in ast.walk(scope.args):
                    if isinstance(one, ast.arg):
                        found.setdefault(one.arg, []).append(_Binding(0, always=True))
            for name, binding in _bindings(getattr(scope, "body", []), always=True):
                found.setdefault(name, []).append(binding)
            self._bindings[id(scope)] = found
        return self._bindings[id(scope)]


def _bindings(body: Sequence[ast.AST], *, always: bool) -> Iterator[tuple[str, _Binding]]:
    """Yield what statements bind, in source order; ``always`` is False inside what may not run or run in part."""
    for one in body:
        match one:
            case ast.Import():
                for alias in one.names:
                    name, dotted = (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
                    yield name, _Binding(one.lineno, always, dotted)
            case ast.ImportFrom():
                yield from _imported(one, always=always)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, _Binding(one.lineno, always, value=value)
            case ast.AnnAssign(target=ast.Name(id=name)):
                if one.value is not None:
                    yield name, _Binding(one.lineno, always, value=one.value)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield one.name, _Binding(one.lineno, always)
            case _:
                for child in _heads(one):
                    yield from ((name, _Binding(child.lineno, always)) for name in _targets(child))
                for block in ("body", "handlers", "cases", "orelse", "finalbody"):
                    yield from _bindings(getattr(one, block, []), always=False)


def _imported(statement: ast.ImportFrom, *, always: bool) -> Iterator[tuple[str, _Binding]]:
    module = "." * statement.level + (statement.module or "")
    for alias in statement.names:
        if alias.name != "*":
            yield alias.asname or alias.name, _Binding(statement.lineno, always, f"{module}.{alias.name}")
        elif module.partition(".")[0] == _PACKAGE:
            for name in ("tailrec", "tailstream"):
                yield name, _Binding(statement.lineno, always, f"{module}.{name}")


def _heads(statement: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions of a statement itself, without those of the statements inside it."""
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.expr):
            yield child
        elif isinstance(child, ast.withitem):
            yield from (part for part in (child.context_expr, child.optional_vars) if part is not None)


def _targets(expression: ast.expr) -> Iterator[str]:
    for one in ast.walk(expression):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store | ast.Del):
            yield one.id
