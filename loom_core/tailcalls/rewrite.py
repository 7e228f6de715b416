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

A method asks whether ``self.fn`` or ``C.fn`` is OWN or PLAIN (``ownness``). A call that spreads its arguments gives
them to a binder and takes the parameters from it. ``return a and await fn(x)`` keeps the expression, with a mark in the
place of the call, and jumps if the mark comes out.

Names of our own begin with ``@``, which no name of the user's can. Nodes of the source are shared, never changed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Mapping
from typing import TypeVar, cast

import attrs

from loom_core.tailcalls.binder import call_of_binder
from loom_core.tailcalls.bindings import Binding, all_parameters_of, segments, waiting
from loom_core.tailcalls.names import Callees, Form
from loom_core.tailcalls.nodes import assign, changed, compare, constant, load, place, variable
from loom_core.tailcalls.ownness import BINDER, LOOPS, OWN, PLAIN, UNREADABLE, default_name, own_check
from loom_core.tailcalls.source import Function
from loom_core.tailcalls.walking import statements

__all__ = ["OWN", "PLAIN", "UNREADABLE", "Plan", "rewrite"]
_AGAIN = "@again"
_VALUE = "@value"
_Node = TypeVar("_Node", bound=ast.AST)


@attrs.frozen(kw_only=True)
class Plan:
    """What the analysis decided.

    ``tails`` has the bindings of each tail call by the identity of its ``Await`` node, None where they are known only
    when the call is made; ``calls`` the calls and ``forms`` how they name the function. ``path`` holds the identities
    of the statements and expressions that lead to a tail; ``stale`` the locals to unbind before each jump. ``declares``
    is False if there certainly is no ``global`` or ``nonlocal``.
    """

    callees: Callees
    calls: Mapping[int, ast.Call]
    forms: Mapping[int, Form]
    tails: Mapping[int, list[Binding] | None]
    path: frozenset[int]
    stale: tuple[str, ...]
    removable: frozenset[str]
    declares: bool = True


def rewrite(node: Function, plan: Plan) -> tuple[Function, tuple[str, ...]]:
    """Return a copy of the definition with the rule applied, and the names of the marks that it needs.

    A mark is a private value, whichever, that stands for a jump in the value of ``and`` or ``or``. The name's check is
    at the line of ``def``.
    """
    docstring, body = _split_docstring(node.body)
    declarations = (
        [one for one in statements(body) if isinstance(one, ast.Global | ast.Nonlocal)] if plan.declares else []
    )
    if declarations:
        # They may stand only once and before all uses, and the body stands in the function twice.
        copies: set[int] = set()
        body = _without_declarations(body, plan.path, copies)
        plan = attrs.evolve(plan, path=plan.path | copies)
    writer = _Writer(node, plan)
    loop = writer.loop(body)
    check = own_check(node, plan.callees, plan.forms.values(), plan.tails.values())
    new = ast.AsyncFunctionDef(
        name=node.name,
        args=node.args,
        body=[*docstring, *declarations, *check, loop, *body],
        decorator_list=node.decorator_list,
        returns=None,
    )
    return ast.copy_location(new, node), tuple(_mark(index) for index in range(writer.marks))


def _without_declarations(body: list[ast.stmt], path: Collection[int], copies: set[int]) -> list[ast.stmt]:
    """Return the statements without ``global`` and ``nonlocal``; ``copies`` gets the copies of those on the path."""
    return [_without_declaration(one, path, copies) for one in body]


def _without_declaration(node: _Node, path: Collection[int], copies: set[int]) -> _Node:
    below = list(statements([node]))
    if isinstance(node, ast.Global | ast.Nonlocal):
        return cast("_Node", place(ast.Pass(), node))
    if not any(isinstance(one, ast.Global | ast.Nonlocal) for one in below):
        return node
    fields = {
        name: _without_declarations(getattr(node, name), path, copies)
        for name in ("body", "orelse", "finalbody", "handlers", "cases")
        if hasattr(node, name)
    }
    new = changed(node, **fields)
    if id(node) in path:
        copies.add(id(new))
    return new


class _Writer:
    def __init__(self, node: Function, plan: Plan) -> None:
        self.node = node
        self.plan = plan
        self.uses_flag = False
        self.marks = 0

    def loop(self, body: list[ast.stmt]) -> ast.stmt:
        at = self.node
        inner = self._block(body, depth=0)
        inner.append(place(ast.Return(value=None), body[-1] if body else at))
        if self.uses_flag:
            inner.insert(0, assign(_AGAIN, constant(False, at), at))
        # Up to 3.13 the head of the loop costs an instruction at each turn unless it stands at the line of what follows
        # it; from 3.14 on it is the other way round (measured by benchmarks/tailcalls.py).
        head = inner[0] if sys.version_info < (3, 14) else at
        forever = place(ast.While(test=constant(True, head), body=inner, orelse=[]), head)
        return place(ast.If(test=load(LOOPS, at), body=[forever], orelse=[]), at)

    def _block(self, statements: list[ast.stmt], depth: int) -> list[ast.stmt]:
        return [new for statement in statements for new in self._statement(statement, depth)]

    def _statement(self, statement: ast.stmt, depth: int) -> list[ast.stmt]:
        """Rewrite a statement; ``depth`` counts the user's own loops around it."""
        if id(statement) not in self.plan.path:
            return [statement]
        if id(statement) in self.plan.tails:  # the `async for` of a stream
            return self._jump(statement, depth)
        match statement:
            case ast.Return(value=ast.expr() as value):
                return self._tail(value, statement, depth)
            case ast.If():
                body, orelse = self._block(statement.body, depth), self._block(statement.orelse, depth)
                return [changed(statement, body=body, orelse=orelse)]
            case ast.Match():
                cases = [
                    ast.match_case(pattern=case.pattern, guard=case.guard, body=self._block(case.body, depth))
                    for case in statement.cases
                ]
                return [changed(statement, cases=cases)]
            case ast.For() | ast.AsyncFor() | ast.While():
                return self._users_loop(statement, depth)
            case _:
                raise AssertionError(f"no tail call is accepted inside {type(statement).__name__}")

    def _users_loop(self, statement: ast.For | ast.AsyncFor | ast.While, depth: int) -> list[ast.stmt]:
        """Leave the user's loop with ``break``, which skips its ``else`` as a return does, then jump on."""
        body, orelse = self._block(statement.body, depth + 1), self._block(statement.orelse, depth)
        loop = changed(statement, body=body, orelse=orelse)
        if not any(id(one) in self.plan.path for one in statement.body):
            return [loop]
        jump = place(ast.Continue() if depth == 0 else ast.Break(), statement)
        return [loop, place(ast.If(test=load(_AGAIN, statement), body=[jump], orelse=[]), statement)]

    def _tail(self, value: ast.expr, statement: ast.Return, depth: int) -> list[ast.stmt]:
        if id(value) in self.plan.tails:
            return self._jump(value, depth)
        if isinstance(value, ast.IfExp) and id(value) in self.plan.path:
            body, orelse = self._tail(value.body, statement, depth), self._tail(value.orelse, statement, depth)
            return [place(ast.If(test=value.test, body=body, orelse=orelse), statement)]
        if isinstance(value, ast.BoolOp) and id(value) in self.plan.path:
            return self._marked_tails(value, statement, depth)
        return [place(ast.Return(value=value), statement)]

    def _marked_tails(self, value: ast.BoolOp, statement: ast.Return, depth: int) -> list[ast.stmt]:
        """Evaluate the expression as it stands, with a mark where a tail call is, then jump if a mark came out.

        Taken apart into tests, nested operands could be asked for their truth more often than Python does.
        """
        tails: list[ast.expr] = []
        new = [assign(_VALUE, self._marked(value, tails), statement)]
        for index, tail in enumerate(tails):
            same = compare(load(_VALUE, tail), ast.Is(), load(_mark(index), tail), tail)
            new.append(place(ast.If(test=same, body=self._jump(tail, depth), orelse=[]), tail))
        self.marks = max(self.marks, len(tails))
        return [*new, place(ast.Return(value=load(_VALUE, statement)), statement)]

    def _marked(self, value: ast.expr, tails: list[ast.expr]) -> ast.expr:
        if id(value) in self.plan.tails:
            tails.append(value)
            return load(_mark(len(tails) - 1), value)
        match value:
            case ast.BoolOp() if id(value) in self.plan.path:
                return changed(value, values=[*value.values[:-1], self._marked(value.values[-1], tails)])
            case ast.IfExp() if id(value) in self.plan.path:
                body, orelse = self._marked(value.body, tails), self._marked(value.orelse, tails)
                return changed(value, body=body, orelse=orelse)
            case _:
                return value

    def _jump(self, at: ast.expr | ast.stmt, depth: int) -> list[ast.stmt]:
        bindings = self.plan.tails[id(at)]
        if bindings is None:
            new = [self._spread(at)]
        else:
            given = [one for one in bindings if one.expression is not None]
            new = [assignment for run in segments(given, self.plan.removable) for assignment in _assignments(run, at)]
            omitted = [one.parameter for one in bindings if one.expression is None]
            new += [assign(name, load(default_name(name), at), at) for name in omitted]
        for name in self.plan.stale:
            # Assigned first, because `del` of a variable that is unbound already would raise.
            unbind = ast.Delete(targets=[variable(name, ast.Del(), at)])
            new += [assign(name, constant(None, at), at), place(unbind, at)]
        if depth == 0:
            return [*new, place(ast.Continue(), at)]
        self.uses_flag = True
        return [*new, assign(_AGAIN, constant(True, at), at), place(ast.Break(), at)]

    def _spread(self, at: ast.expr | ast.stmt) -> ast.stmt:
        """Let a function of the same signature bind what ``*`` and ``**`` spread."""
        call = self.plan.calls[id(at)]
        receiver = self.plan.callees.receiver(self.plan.forms[id(at)])
        bound = call_of_binder(load(BINDER, at), call, receiver)
        targets: list[ast.expr] = [variable(name, ast.Store(), at) for name in all_parameters_of(self.node.args)]
        return place(ast.Assign(targets=[place(ast.Tuple(elts=targets, ctx=ast.Store()), at)], value=bound), at)


def _assignments(run: list[Binding], at: ast.expr | ast.stmt) -> list[ast.stmt]:
    values = [cast("ast.expr", one.expression) for one in run]
    if len(run) == 1:
        return [assign(run[0].parameter, values[0], at)]
    if len(run) <= 3:
        # CPython swaps up to three values on its stack, without a tuple.
        targets: list[ast.expr] = [variable(one.parameter, ast.Store(), at) for one in run]
        left = place(ast.Tuple(elts=targets, ctx=ast.Store()), at)
        right = place(ast.Tuple(elts=values, ctx=ast.Load()), at)
        return [place(ast.Assign(targets=[left], value=right), at)]
    new: list[ast.stmt] = []
    late: list[ast.stmt] = []
    temporaries: list[ast.expr] = []
    for binding, value, waits in zip(run, values, waiting(run), strict=True):
        if waits:
            temporary = f"@next.{binding.parameter}"
            new.append(assign(temporary, value, at))
            late.append(assign(binding.parameter, load(temporary, at), at))
            temporaries.append(variable(temporary, ast.Del(), at))
        else:
            new.append(assign(binding.parameter, value, at))
    # Unbound again, so that only the parameter holds its value: the function may let it go.
    return [*new, *late, place(ast.Delete(targets=temporaries), at)]


def _mark(index: int) -> str:
    return f"@jump.{index}"


def _split_docstring(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())) as docstring, *rest]:
            return [docstring], rest
        case _:
            return [], body
