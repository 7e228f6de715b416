"""The rewriting rule: a function's body becomes a loop whose tail calls are assignments and a jump.

::

    async def fn(a, b=1):                 async def fn(a, b=1):
        if a: return await fn(a - 1)          try:                                  # once per outer call
        return b                                  if fn is OWN or fn is PLAIN: (read b's default); LOOPS = True
                                                  else: LOOPS = False
                                              except UNREADABLE: LOOPS = False
                                              if LOOPS:
                                                  while True:
                                                      if a:
                                                          a = a - 1; b = DEFAULT_B
                                                          continue
                                                      return b
                                              if a: return await fn(a - 1)          # the body as it was written
                                              return b

Names of our own begin with ``@``, which no name of the user's can. Nodes of the source are shared, never changed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from copy import copy
from typing import TypeVar, cast

import attrs

from loom_core.tailcalls.bindings import Binding, defaulted, segments, waits
from loom_core.tailcalls.source import Function

OWN = "@own"
PLAIN = "@plain"
UNREADABLE = "@unreadable"
_LOOPS = "@loops"
_AGAIN = "@again"
_Node = TypeVar("_Node", bound=ast.AST)


@attrs.frozen(kw_only=True)
class Plan:
    """What the analysis decided.

    ``tails`` has the bindings of each tail call by the identity of its ``Await`` node; ``path`` the identities of the
    statements and expressions that lead to one; ``stale`` the locals to unbind before each jump.
    """

    tails: Mapping[int, list[Binding]]
    path: frozenset[int]
    stale: tuple[str, ...]
    removable: frozenset[str]


def rewrite(node: Function, plan: Plan) -> Function:
    """Return a copy of the definition with the rule applied; the name's check is at the line of ``def``."""
    docstring, body = _split_docstring(node.body)
    # `global` and `nonlocal` may stand only once and before all uses; the analysis admits them at this level only.
    declarations = [statement for statement in body if isinstance(statement, ast.Global | ast.Nonlocal)]
    body = [_at(ast.Pass(), one) if one in declarations else one for one in body] if declarations else body
    writer = _Writer(node, plan)
    loop = writer.loop(body)
    new = ast.AsyncFunctionDef(
        name=node.name,
        args=node.args,
        body=[*docstring, *declarations, *writer.check(), loop, *body],
        decorator_list=node.decorator_list,
        returns=None,
    )
    return ast.copy_location(new, node)


class _Writer:
    def __init__(self, node: Function, plan: Plan) -> None:
        self.node = node
        self.plan = plan
        self.uses_flag = False

    def check(self) -> list[ast.stmt]:
        """Return the statements that decide, once per outer call, whether the name still is this function."""
        at = self.node
        own = _compare(_load(self.node.name, at), OWN, at)
        plain = _compare(_load(self.node.name, at), PLAIN, at)
        same = _at(ast.BoolOp(op=ast.Or(), values=[own, plain]), at)
        yes: list[ast.stmt] = [*self._read_defaults(), _assign(_LOOPS, _constant(True, at), at)]
        no: list[ast.stmt] = [_assign(_LOOPS, _constant(False, at), at)]
        handler = _at(ast.ExceptHandler(type=_load(UNREADABLE, at), name=None, body=no), at)
        decide = _at(ast.If(test=same, body=yes, orelse=no), at)
        return [_at(ast.Try(body=[decide], handlers=[handler], orelse=[], finalbody=[]), at)]

    def loop(self, body: list[ast.stmt]) -> ast.stmt:
        at = self.node
        inner = self._block(body, depth=0)
        inner.append(_at(ast.Return(value=None), body[-1] if body else at))
        if self.uses_flag:
            inner.insert(0, _assign(_AGAIN, _constant(False, at), at))
        forever = _at(ast.While(test=_constant(True, at), body=inner, orelse=[]), at)
        return _at(ast.If(test=_load(_LOOPS, at), body=[forever], orelse=[]), at)

    def _read_defaults(self) -> list[ast.stmt]:
        at = self.node
        positions = defaulted(at.args)
        omitted = {one.parameter for tail in self.plan.tails.values() for one in tail if one.expression is None}
        read: list[ast.stmt] = []
        for name in sorted(omitted):
            position = positions[name]
            where = "__kwdefaults__" if position is None else "__defaults__"
            holder = _at(ast.Attribute(value=_load(at.name, at), attr=where, ctx=ast.Load()), at)
            key = _constant(name if position is None else position, at)
            value = _at(ast.Subscript(value=holder, slice=key, ctx=ast.Load()), at)
            read.append(_assign(_default(name), value, at))
        return read

    def _block(self, statements: list[ast.stmt], depth: int) -> list[ast.stmt]:
        return [new for statement in statements for new in self._statement(statement, depth)]

    def _statement(self, statement: ast.stmt, depth: int) -> list[ast.stmt]:
        """Rewrite a statement; ``depth`` counts the user's own loops around it."""
        if id(statement) not in self.plan.path:
            return [statement]
        match statement:
            case ast.Return(value=ast.expr() as value):
                return self._tail(value, statement, depth)
            case ast.If():
                body, orelse = self._block(statement.body, depth), self._block(statement.orelse, depth)
                return [_changed(statement, body=body, orelse=orelse)]
            case ast.Match():
                cases = [
                    ast.match_case(pattern=case.pattern, guard=case.guard, body=self._block(case.body, depth))
                    for case in statement.cases
                ]
                return [_changed(statement, cases=cases)]
            case ast.For() | ast.AsyncFor() | ast.While():
                return self._users_loop(statement, depth)
            case _:
                raise AssertionError(f"no tail call is accepted inside {type(statement).__name__}")

    def _users_loop(self, statement: ast.For | ast.AsyncFor | ast.While, depth: int) -> list[ast.stmt]:
        """Leave the user's loop with ``break``, which skips its ``else`` as a return does, then jump on."""
        body, orelse = self._block(statement.body, depth + 1), self._block(statement.orelse, depth)
        loop = _changed(statement, body=body, orelse=orelse)
        if not any(id(one) in self.plan.path for one in statement.body):
            return [loop]
        jump = _at(ast.Continue() if depth == 0 else ast.Break(), statement)
        return [loop, _at(ast.If(test=_load(_AGAIN, statement), body=[jump], orelse=[]), statement)]

    def _tail(self, value: ast.expr, statement: ast.Return, depth: int) -> list[ast.stmt]:
        if id(value) in self.plan.tails:
            return self._jump(self.plan.tails[id(value)], value, depth)
        if isinstance(value, ast.IfExp) and id(value) in self.plan.path:
            body, orelse = self._tail(value.body, statement, depth), self._tail(value.orelse, statement, depth)
            return [_at(ast.If(test=value.test, body=body, orelse=orelse), statement)]
        return [_at(ast.Return(value=value), statement)]

    def _jump(self, bindings: list[Binding], at: ast.expr, depth: int) -> list[ast.stmt]:
        given = [one for one in bindings if one.expression is not None]
        new = [assignment for run in segments(given, self.plan.removable) for assignment in _assignments(run, at)]
        new += [
            _assign(one.parameter, _load(_default(one.parameter), at), at) for one in bindings if one.expression is None
        ]
        for name in self.plan.stale:
            # Assigned first, because `del` of a variable that is unbound already would raise.
            new += [_assign(name, _constant(None, at), at), _at(ast.Delete(targets=[_name(name, ast.Del(), at)]), at)]
        if depth == 0:
            return [*new, _at(ast.Continue(), at)]
        self.uses_flag = True
        return [*new, _assign(_AGAIN, _constant(True, at), at), _at(ast.Break(), at)]


def _assignments(run: list[Binding], at: ast.expr) -> list[ast.stmt]:
    values = [cast("ast.expr", one.expression) for one in run]
    if len(run) == 1:
        return [_assign(run[0].parameter, values[0], at)]
    if len(run) <= 3:
        # CPython swaps up to three values on its stack, without a tuple.
        targets: list[ast.expr] = [_name(one.parameter, ast.Store(), at) for one in run]
        left = _at(ast.Tuple(elts=targets, ctx=ast.Store()), at)
        right = _at(ast.Tuple(elts=values, ctx=ast.Load()), at)
        return [_at(ast.Assign(targets=[left], value=right), at)]
    new: list[ast.stmt] = []
    late: list[ast.stmt] = []
    for index, (binding, value) in enumerate(zip(run, values, strict=True)):
        if waits(run, index):
            temporary = f"@next.{binding.parameter}"
            new.append(_assign(temporary, value, at))
            late.append(_assign(binding.parameter, _load(temporary, at), at))
        else:
            new.append(_assign(binding.parameter, value, at))
    return new + late


def _split_docstring(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())) as docstring, *rest]:
            return [docstring], rest
        case _:
            return [], body


def _changed(statement: ast.stmt, **fields: object) -> ast.stmt:
    """Return a copy of a statement with other fields, at the same place."""
    changed = copy(statement)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _at(node: _Node, where: ast.AST) -> _Node:
    # What ast.copy_location does, four times as fast; it is most of what rewriting costs.
    place, source = node.__dict__, where.__dict__
    place["lineno"], place["col_offset"] = source["lineno"], source["col_offset"]
    place["end_lineno"], place["end_col_offset"] = source["end_lineno"], source["end_col_offset"]
    return node


def _name(name: str, context: ast.expr_context, at: ast.AST) -> ast.Name:
    return _at(ast.Name(id=name, ctx=context), at)


def _load(name: str, at: ast.AST) -> ast.Name:
    return _name(name, ast.Load(), at)


def _assign(name: str, value: ast.expr, at: ast.AST) -> ast.stmt:
    return _at(ast.Assign(targets=[_name(name, ast.Store(), at)], value=value), at)


def _constant(value: object, at: ast.AST) -> ast.expr:
    return _at(ast.Constant(value=value), at)  # type: ignore[arg-type]


def _compare(left: ast.expr, right: str, at: ast.AST) -> ast.expr:
    return _at(ast.Compare(left=left, ops=[ast.Is()], comparators=[_load(right, at)]), at)


def _default(parameter: str) -> str:
    return f"@default.{parameter}"
