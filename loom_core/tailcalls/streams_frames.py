"""Streams as real frames: the consumer's own frame drives those of the later transitions, one after the other.

::

    async def fn(a, b=1):                 async def fn(a, b=1):                  # FIRST: the consumer holds this frame
        yield a                               yield a
        async for x in fn(a - 1):             (LOOPS = is the name still fn?)    # once per outer call
            yield x                           if LOOPS:
                                                  item = BIND(a - 1)             # the binder: fn's own signature
                                                  while type(item) is Next:
                                                      async for item in BODY(*item):
                                                          if type(item) is not Next: yield item
                                              else:
                                                  async for x in fn(a - 1):      # as it was written
                                                      yield x

                                          async def fn(a, b):                    # BODY: all by position
                                              yield a
                                              yield BIND(a - 1)
                                              return

What the recursion shows to a consumer is kept: whatever is sent or thrown reaches the first frame only; the others are
asked for one item after the other, and the one that is dropped is closed by the event loop.

A tail that leaves a block first is a ``return``, so that Python itself leaves it. A ``finally`` around the whole body
goes on from there; whatever else ends the frame unsets ``item`` on its way::

    try:
        with block:
            item = BIND(a - 1)
            return
        item = None
    except: item = None; raise
    finally: (FIRST: drive as above; BODY: yield item, unless it is None)
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType

from loom_core.tailcalls.binder import call_of_binder, make_binder
from loom_core.tailcalls.compiling import UNREADABLE_ERRORS, check_source, make_function
from loom_core.tailcalls.frames import Next, constant, driver, from_template, make_body, replaced
from loom_core.tailcalls.nodes import assign, load, place, variable
from loom_core.tailcalls.nodes import constant as literal
from loom_core.tailcalls.ownness import BINDER, LOOPS, PLAIN, UNREADABLE, own_check, private_values
from loom_core.tailcalls.rewrite import Plan
from loom_core.tailcalls.source import Definition
from loom_core.tailcalls.streams_hidden import make_hidden
from loom_core.tailcalls.walking import statements

_ITEM = "@item"
_DRIVE = """
while type(item) is Next:
    async for item in body(*(item, item := None)[0]):
        if type(item) is not Next:
            yield item
"""
_LEAVING = """
try:
    item = None
except:
    item = None
    raise
finally:
    pass
"""
_HAND_OVER = """
if item is not None:
    yield item
"""


def make_stream_frames(
    fn: FunctionType, definition: Definition, plan: Plan, *, in_blocks: frozenset[int], by_name: bool
) -> FunctionType:
    """Return a function like ``fn`` whose transitions run in constant stack, each in a frame of its own.

    ``in_blocks`` are the tails that stand in a block, which is left before the next transition. ``by_name``: the
    function may see its variables by name, so that none of ours may be there while its own code runs. Raises
    ``CannotCompile`` where the source is not what runs, or nests too deeply.
    """
    check_source(fn, definition)
    binder = make_binder(fn, Next)
    writer = _Writer(fn, definition, plan, in_blocks, by_name=by_name)
    driven = _Driven()
    body = make_body(fn, definition, writer.later(), {"bind": binder, "driven": driven})
    private, owner = private_values(fn, plan.callees, spreads=True)
    private |= {BINDER: binder, "@body": body, "@type": type, "@Next": Next}
    first = driver(fn, definition, writer.first())
    if by_name:
        private |= {PLAIN: fn, UNREADABLE: UNREADABLE_ERRORS}
        new = make_hidden(fn, definition, first, private)
    else:
        new = make_function(fn, definition, first, private)
    owner.own, driven.by = new, new.__code__
    return new


class _Driven:
    """Tells a later frame whether the first one still drives it.

    If it does not, the frame is being closed: one that goes on after GeneratorExit and comes to its tail must go on as
    it was written.
    """

    by: CodeType | None = None

    def __call__(self) -> bool:
        caller = sys._getframe(1).f_back
        return caller is not None and caller.f_code is self.by


class _Writer:
    def __init__(
        self, fn: FunctionType, definition: Definition, plan: Plan, in_blocks: frozenset[int], *, by_name: bool
    ) -> None:
        self.fn = fn
        self.definition = definition
        self.plan = plan
        self.in_blocks = in_blocks
        self.by_name = by_name

    def first(self) -> list[ast.stmt]:
        """Return the body of the frame that the consumer holds."""
        new: dict[int, list[ast.stmt]] = {}
        for tail in self._tails():
            key, call = id(tail), self.plan.calls[id(tail)]
            check = own_check(self.definition.node, self.plan.callees, self.plan.forms.values(), [None])
            bound = assign(_ITEM, self._bound(key, load(BINDER, call.func)), tail)
            leaves = key in self.in_blocks
            then = [place(ast.Return(value=None), tail)] if leaves else self._drive(tail)
            # The arguments may be the last thing to see variables by name.
            gone = _deleted(_bound_in(check), tail) if self.by_name else []
            choice = ast.If(test=load(LOOPS, tail), body=[*gone, bound, *then], orelse=[*gone, tail])
            new[key] = [*_moved(check, tail), place(choice, tail)]
        return self._body(new, _DRIVE)

    def later(self) -> list[ast.stmt]:
        """Return the body of the frames after the first."""
        new: dict[int, list[ast.stmt]] = {}
        for tail in self._tails():
            key = id(tail)
            bound = self._bound(key, constant("bind", self.plan.calls[key].func))
            if self.in_blocks:
                hands_over = assign(_ITEM, bound, tail)
            else:
                hands_over = place(ast.Expr(value=place(ast.Yield(value=bound), tail)), tail)
            leaves = [hands_over, place(ast.Return(value=None), tail)]
            if self._may_outlive_its_end:
                driven = place(ast.Call(func=constant("driven", literal(None, tail)), args=[], keywords=[]), tail)
                leaves = [place(ast.If(test=driven, body=leaves, orelse=[]), tail)]
            # Where the tail itself never runs, it keeps its variables what they are.
            new[key] = [*leaves, tail]
        return self._body(new, _HAND_OVER)

    @property
    def _may_outlive_its_end(self) -> bool:
        """Return whether the function can catch the GeneratorExit that is to end it."""
        blocks = (ast.Try, ast.TryStar, ast.With, ast.AsyncWith)
        return not self.in_blocks and any(isinstance(one, blocks) for one in statements(self.definition.node.body))

    def _body(self, new: Mapping[int, list[ast.stmt]], then: str) -> list[ast.stmt]:
        body = self.definition.node.body
        if not self.in_blocks:
            return replaced(body, self.plan.path, new)
        returns = {id(found): above for above, found in _returns(body)}
        path = self.plan.path.union(*returns.values())
        others = {id(found): [assign(_ITEM, literal(None, found), found), found] for _, found in _returns(body)}
        (leaving,) = _moved(self._template(_LEAVING), self.definition.node)
        assert isinstance(leaving, ast.Try)
        leaving.body = [*replaced(body, path, {**others, **new}), *leaving.body]
        leaving.finalbody = self._template(then)
        return [leaving]

    def _drive(self, tail: ast.AsyncFor) -> list[ast.stmt]:
        """Return the loop over the later frames; what is thrown is raised at the line of the user's ``yield``."""
        loop = _moved(self._template(_DRIVE), tail)
        for one in (inner for statement in loop for inner in ast.walk(statement)):
            if isinstance(one, ast.Yield):
                _move(one, tail.body[0])
        return loop

    def _tails(self) -> Iterator[ast.AsyncFor]:
        for one in statements(self.definition.node.body):
            if id(one) in self.plan.tails:
                assert isinstance(one, ast.AsyncFor)
                yield one

    def _bound(self, key: int, binder: ast.expr) -> ast.expr:
        call = self.plan.calls[key]
        return call_of_binder(binder, call, self.plan.callees.receiver(self.plan.forms[key]))

    def _template(self, text: str) -> list[ast.stmt]:
        return from_template(text, self.fn, self.definition)


def _deleted(names: set[str], at: ast.AST) -> list[ast.stmt]:
    """Return the statements that unbind ``names``, bound or not."""
    return [
        statement
        for name in sorted(names)
        for statement in (
            assign(name, literal(None, at), at),
            place(ast.Delete(targets=[variable(name, ast.Del(), at)]), at),
        )
    ]


def _bound_in(statements: list[ast.stmt]) -> set[str]:
    names = (one for part in statements for one in ast.walk(part) if isinstance(one, ast.Name))
    return {one.id for one in names if isinstance(one.ctx, ast.Store)}


def _moved(statements: list[ast.stmt], at: ast.AST) -> list[ast.stmt]:
    for statement in statements:
        _move(statement, at)
    return statements


def _move(node: ast.AST, at: ast.AST) -> None:
    for one in ast.walk(node):
        if isinstance(one, ast.stmt | ast.expr | ast.excepthandler | ast.keyword):
            place(one, at)


def _returns(body: list[ast.stmt]) -> Iterator[tuple[tuple[int, ...], ast.Return]]:
    """Yield every ``return`` of the function, with the identities of the statements around it."""
    pending: list[tuple[ast.AST, tuple[int, ...]]] = [(one, ()) for one in body]
    while pending:
        one, above = pending.pop()
        if isinstance(one, ast.Return):
            yield above, one
        elif not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            pending += [(child, (*above, id(one))) for child in ast.iter_child_nodes(one)]
