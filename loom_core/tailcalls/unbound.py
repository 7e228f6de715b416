"""Which local variables could still hold the value of an earlier iteration when they are read.

In the recursion every call starts with unbound locals. A variable that is assigned on every path before it is read
needs nothing; any other is unbound again before the jump. The analysis may err only in one direction: a variable that
it is unsure of is reset needlessly.
"""

from __future__ import annotations

import ast

from loom_core.tailcalls.walking import children, evaluated_here, statements, walk

_Bound = set[str]


def stale_locals(body: list[ast.stmt], names: frozenset[str]) -> frozenset[str]:
    """Return those of ``names`` that some path through ``body`` may read before it has assigned them."""
    flow = _Flow(names)
    flow.block(body, set())
    return frozenset(flow.unsure) & names


def removed_names(body: list[ast.stmt]) -> frozenset[str]:
    """Return the names that the function may unbind: by ``del``, or at the end of ``except … as``."""
    found: set[str] = set()
    for statement in statements(body):
        if isinstance(statement, ast.ExceptHandler) and statement.name is not None:
            found.add(statement.name)
        elif isinstance(statement, ast.Delete):
            found |= {node.id for node in walk(statement) if isinstance(node, ast.Name)}
    return frozenset(found)


class _Flow:
    """Definite assignment. A block returns what is bound after it, or None if it cannot be left at its end."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.unsure: set[str] = set()

    def block(self, statements: list[ast.stmt], bound: _Bound) -> _Bound | None:
        after: _Bound | None = bound
        for statement in statements:
            after = self._statement(statement, after if after is not None else set(self.names))
        return after

    def _statement(self, statement: ast.stmt, bound: _Bound) -> _Bound | None:
        match statement:
            case ast.Return() | ast.Raise():
                self._children(statement, bound)
                return None
            case ast.Break() | ast.Continue():
                return None
            case ast.Assign():
                self._expression(statement.value, bound)
                for target in statement.targets:
                    self._target(target, bound)
            case ast.AugAssign():
                self._read_names(statement.target, bound)
                self._expression(statement.value, bound)
                self._target(statement.target, bound)
            case ast.AnnAssign():
                if statement.value is not None:
                    self._expression(statement.value, bound)
                    self._target(statement.target, bound)
                else:
                    self._read_names(statement.target, bound, own=False)
            case ast.If():
                self._expression(statement.test, bound)
                return _join(self.block(statement.body, set(bound)), self.block(statement.orelse, set(bound)))
            case ast.While():
                self._expression(statement.test, bound)
                self.block(statement.body, set(bound))
                self.block(statement.orelse, set(bound))
            case ast.For() | ast.AsyncFor():
                self._expression(statement.iter, bound)
                inside = set(bound)
                self._target(statement.target, inside)
                self.block(statement.body, inside)
                self.block(statement.orelse, set(bound))
            case ast.With() | ast.AsyncWith():
                # A context manager may swallow an exception of all that comes after its own expression: of its
                # target, of the next item, of the body.
                self._expression(statement.items[0].context_expr, bound)
                inside = set(bound)
                for item in statement.items:
                    if item is not statement.items[0]:
                        self._expression(item.context_expr, inside)
                    if item.optional_vars is not None:
                        self._target(item.optional_vars, inside)
                self.block(statement.body, inside)
            case ast.Try() | ast.TryStar():
                return self._try(statement, bound)
            case ast.Match():
                return self._match(statement, bound)
            case ast.Import() | ast.ImportFrom():
                bound |= {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                for part in evaluated_here(statement):
                    self._expression(part, bound)
                self._read_names(statement, bound)
                bound.add(statement.name)
            case ast.Delete():
                for target in statement.targets:
                    self._read_names(target, bound)
                    self.unsure |= {node.id for node in walk(target) if isinstance(node, ast.Name)}
            case ast.Assert():
                # Compiled away under -O, so that it binds nothing.
                self._children(statement, set(bound))
            case _:
                self._children(statement, bound)
        return bound

    def _try(self, statement: ast.Try | ast.TryStar, bound: _Bound) -> _Bound | None:
        body = self.block(statement.body, set(bound))
        end = self.block(statement.orelse, set(body if body is not None else self.names))
        after = None if body is None else end
        for handler in statement.handlers:
            inside = set(bound)
            if handler.type is not None:
                self._expression(handler.type, inside)
            if handler.name is not None:
                self.unsure.add(handler.name)
                inside.add(handler.name)
            after = _join(after, self.block(handler.body, inside))
        final = self.block(statement.finalbody, set(bound))
        if after is None or final is None:
            return None
        return after | final

    def _match(self, statement: ast.Match, bound: _Bound) -> _Bound | None:
        self._expression(statement.subject, bound)
        after: _Bound | None = set(bound)
        for case in statement.cases:
            inside = set(bound)
            for node in walk(case.pattern):
                match node:
                    case ast.expr():
                        self._read_names(node, inside)
                    case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                        inside.add(name)
                    case _:
                        pass
            if case.guard is not None:
                self._expression(case.guard, inside)
            after = _join(after, self.block(case.body, inside))
        return after

    def _target(self, target: ast.expr, bound: _Bound) -> None:
        for node in walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self._read(node.id, bound)
        bound |= {node.id for node in walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}

    def _expression(self, node: ast.expr, bound: _Bound) -> None:
        if isinstance(node, ast.Name):
            self._read(node.id, bound)
        elif type(node) in _OUT_OF_LINE:
            self._out_of_line(node, bound)
        else:
            for child in children(node):
                if isinstance(child, ast.expr):
                    self._expression(child, bound)
                else:
                    self._children(child, bound)

    def _out_of_line(self, node: ast.expr, bound: _Bound) -> None:
        """Read an expression that binds, or of which a part may not be evaluated or is evaluated later."""
        match node:
            case ast.NamedExpr():
                self._expression(node.value, bound)
                bound.add(node.target.id)
            case ast.BoolOp():
                self._expression(node.values[0], bound)
                for value in node.values[1:]:
                    self._expression(value, set(bound))
            case ast.IfExp():
                self._expression(node.test, bound)
                self._expression(node.body, set(bound))
                self._expression(node.orelse, set(bound))
            case ast.Compare():
                self._expression(node.left, bound)
                self._expression(node.comparators[0], bound)
                for comparator in node.comparators[1:]:
                    self._expression(comparator, set(bound))
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._expression(node.generators[0].iter, bound)
                targets = {
                    name.id
                    for generator in node.generators
                    for name in walk(generator.target)
                    if isinstance(name, ast.Name)
                }
                self._read_names(node, bound | targets)
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if key is not None:
                        self._expression(key, bound)
                    self._expression(value, bound)
            case ast.Lambda():
                for default in evaluated_here(node):
                    self._expression(default, bound)
                self._read_names(node.body, bound)
            case _:
                self._children(node, bound)

    def _children(self, node: ast.AST, bound: _Bound) -> None:
        for child in children(node):
            if isinstance(child, ast.expr):
                self._expression(child, bound)
            else:
                self._children(child, bound)

    def _read_names(self, root: ast.AST, bound: _Bound, *, own: bool = True) -> None:
        for node in walk(root):
            if isinstance(node, ast.Name) and (own or node is not root):
                self._read(node.id, bound)

    def _read(self, name: str, bound: _Bound) -> None:
        if name in self.names and name not in bound:
            self.unsure.add(name)


_OUT_OF_LINE = {
    *(ast.NamedExpr, ast.BoolOp, ast.IfExp, ast.Compare, ast.Dict, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
}


def _join(one: _Bound | None, other: _Bound | None) -> _Bound | None:
    if one is None:
        return other
    return one if other is None else one & other
