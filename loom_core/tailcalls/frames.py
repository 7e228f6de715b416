"""Transitions as real frames: a body that returns what comes next, and a driver that runs one body after the other.

::

    async def fn(a, b=1):                 async def fn(a, b=1):                  # BODY; as fn(a, b): all by position
        if a: return await fn(a - 1)          if a: return NEXT(a - 1)           # the binder: fn's own signature
        return b                              return b

                                          async def fn(a, b=1):                  # the driver: what the user gets
                                              (LOOPS = is the name still fn?)    # once per outer call
                                              if LOOPS:
                                                  next = (a, b); del a, b
                                                  while True:
                                                      next = BODY(*next)
                                                      next = await next
                                                      if type(next) is not Next: return next
                                              if a: return await fn(a - 1)       # the body as it was written
                                              return b

A transition is a return, so that cells, unbound locals, ``locals()`` and the user's blocks behave as they do in the
recursion, without a proof of our own. The body sees no variable of ours: the binder is a constant of its code.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from copy import copy
from inspect import CO_VARARGS, CO_VARKEYWORDS
from textwrap import indent
from types import CodeType, FunctionType
from typing import cast

from loom_core.tailcalls.binder import call_of_binder, make_binder, parameter_names
from loom_core.tailcalls.compiling import check_source, compile_in_scopes, make_function, with_cells
from loom_core.tailcalls.ownness import BINDER, own_check, private_values
from loom_core.tailcalls.rewrite import Plan
from loom_core.tailcalls.source import Definition, Function

_New = ast.expr | list[ast.stmt]
_LOOP = """
if loops:
    next = (parameters)
    del (parameters)
    while True:
        next = body(*next)
        next = await next
        if type(next) is not Next:
            return next
"""
_PLAIN = "return await plain(arguments)"


class Next(tuple[object, ...]):
    """The parameters of the next transition; of a type that no code of the user's can get hold of."""

    __slots__ = ()


def make_frames(fn: FunctionType, definition: Definition, plan: Plan, *, by_name: bool) -> FunctionType:
    """Return the driver of ``fn``: a function like it whose tail calls run in constant stack, each in its own frame.

    ``by_name``: the function may see its variables by name, so that the body as it was written must not stand beside
    variables of ours. Raises ``CannotCompile`` where the source is not what runs, or nests too deeply.
    """
    check_source(fn, definition)
    node, binder = definition.node, make_binder(fn, Next)
    tails = {key: _given_to_binder(call, plan.callees.receiver(plan.forms[key])) for key, call in plan.calls.items()}
    body = make_body(fn, definition, replaced(node.body, plan.path, tails), {"next": binder})
    private, owner = private_values(fn, plan.callees, spreads=True)
    private |= {BINDER: binder, "@body": body, "@type": type, "@Next": Next}
    # That some call's arguments are spread makes the check bring the binder up to date; here all are.
    check = own_check(node, plan.callees, plan.forms.values(), [None])
    plainly = from_template(_PLAIN, fn, definition) if by_name else node.body
    statements = [*check, *from_template(_LOOP, fn, definition), *plainly]
    new = make_function(fn, definition, driver(fn, definition, statements), private)
    owner.own = new
    return new


def make_body(
    fn: FunctionType, definition: Definition, body: list[ast.stmt], constants: Mapping[str, object]
) -> FunctionType:
    """Return ``body`` as a function where ``fn`` stands, that takes all parameters of ``fn`` by position.

    Their order is that of ``parameter_names``. ``constants`` are the values of the ``constant`` expressions in it: they
    are no variables, so that neither ``locals()`` nor a nested function can tell that they are there.
    """
    node = definition.node
    arguments = node.args
    stars = [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    flat = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *stars]
    new = ast.AsyncFunctionDef(
        name=node.name,
        args=ast.arguments(posonlyargs=flat, args=[], kwonlyargs=[], kw_defaults=[], defaults=[]),
        body=body,
        decorator_list=node.decorator_list,
        returns=None,
    )
    code = compile_in_scopes(fn.__code__, definition, ast.copy_location(new, node))
    return with_cells(fn, filled(code, constants), {})


def constant(name: str, instead_of: ast.expr) -> ast.expr:
    """Return an expression for the constant ``name`` of ``make_body``, in the place of ``instead_of``.

    What it replaces stays mentioned where it never runs, so that the body has the free variables that it would have.
    """
    # The value only marks the place: no literal of a program compiles to a tuple with a frozen set in it.
    marker = ast.Constant(value=(name, frozenset()))  # type: ignore[arg-type]
    # The compiler warns about the call of a literal, but not about this, of which it leaves the literal.
    chosen = ast.IfExp(test=ast.Constant(value=True), body=marker, orelse=instead_of)
    for node in (marker, chosen.test, chosen):
        ast.copy_location(node, instead_of)
    return chosen


def filled(code: CodeType, constants: Mapping[str, object]) -> CodeType:
    """Return ``code`` with the values of its ``constant`` expressions."""
    values: dict[object, object] = {(name, frozenset()): value for name, value in constants.items()}
    return code.replace(co_consts=tuple(values.get(one, one) for one in code.co_consts))


def replaced(body: Sequence[ast.stmt], path: frozenset[int], new: Mapping[int, _New]) -> list[ast.stmt]:
    """Return ``body`` with other nodes, by identity, at the ends of ``path``; only what is on the path is copied."""
    return [cast("ast.stmt", one) for statement in body for one in _flat(_replaced(statement, path, new))]


def _replaced(node: ast.AST, path: frozenset[int], new: Mapping[int, _New]) -> ast.AST | list[ast.stmt]:
    if id(node) in new:
        return new[id(node)]
    if id(node) not in path and not isinstance(node, ast.match_case):
        return node
    changed = copy(node)
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            setattr(changed, name, [one for part in value for one in _flat(_replaced(part, path, new))])
        elif isinstance(value, ast.AST):
            setattr(changed, name, _replaced(value, path, new))
    return changed


def _flat(found: ast.AST | list[ast.stmt]) -> Sequence[ast.AST]:
    return found if isinstance(found, list) else [found]


def _given_to_binder(call: ast.Call, receiver: str | None) -> ast.expr:
    return call_of_binder(constant("next", call.func), call, receiver)


def driver(fn: FunctionType, definition: Definition, body: Sequence[ast.stmt]) -> Function:
    """Return ``body`` as a definition with the signature of ``fn`` and, used or not, its free variables."""
    node = definition.node
    names: list[ast.expr] = [_load(name) for name in fn.__code__.co_freevars]
    mentioned = ast.Expr(value=ast.Tuple(elts=names, ctx=ast.Load()))
    never = ast.If(test=ast.Constant(value=False), body=[mentioned], orelse=[])
    new = ast.AsyncFunctionDef(
        name=node.name,
        args=node.args,
        # Last: a `nonlocal` in the body must stand before every use.
        body=[*body, _placed(never, definition)],
        decorator_list=node.decorator_list,
        returns=None,
    )
    return ast.copy_location(new, node)


def from_template(text: str, fn: FunctionType, definition: Definition) -> list[ast.stmt]:
    """Return the statements of ``text`` with names of our own, at the line of the ``def``.

    ``parameters`` becomes the tuple of all parameters of ``fn``, and the argument ``arguments`` what hands them all on;
    any other name gets an ``@`` in front.
    """
    (function,) = ast.parse(f"async def template():\n{indent(text, ' ')}").body
    filler = _Filler(fn.__code__)
    return [_placed(filler.visit(one), definition) for one in cast("ast.AsyncFunctionDef", function).body]


class _Filler(ast.NodeTransformer):
    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.names = parameter_names(code)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == "parameters":
            return ast.Tuple(elts=[ast.Name(id=name, ctx=node.ctx) for name in self.names], ctx=node.ctx)
        return ast.Name(id=f"@{node.id}", ctx=node.ctx)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        match node.args:
            case [ast.Name(id="arguments")]:
                node.func = self.visit(node.func)
                node.args, node.keywords = self._arguments()
                return node
            case _:
                self.generic_visit(node)
                return node

    def _arguments(self) -> tuple[list[ast.expr], list[ast.keyword]]:
        code, names = self.code, list(self.names)
        keywords = [ast.keyword(arg=None, value=_load(names.pop()))] if code.co_flags & CO_VARKEYWORDS else []
        spread = [ast.Starred(value=_load(names.pop()), ctx=ast.Load())] if code.co_flags & CO_VARARGS else []
        by_keyword = [ast.keyword(arg=name, value=_load(name)) for name in names[code.co_argcount :]]
        return [*map(_load, names[: code.co_argcount]), *spread], [*by_keyword, *keywords]


def _load(name: str) -> ast.expr:
    return ast.Name(id=name, ctx=ast.Load())


def _placed(statement: ast.stmt, definition: Definition) -> ast.stmt:
    """Put all of ``statement`` at the line of the ``def``, and at that line only: a traceback shows no more of it."""
    node = definition.node
    end = len(definition.line(node.lineno).rstrip().encode())
    for one in ast.walk(statement):
        if isinstance(one, ast.stmt | ast.expr | ast.keyword):
            one.lineno = one.end_lineno = node.lineno
            one.col_offset, one.end_col_offset = node.col_offset, end
    return statement
