"""Find every call that an async generator makes of itself, and which of them are the tail of the stream.

The tail is ``async for x in fn(...): yield x`` where the function ends after it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from types import CodeType

import attrs

from loom_core.tailcalls.calls import BLOCKS, FINALLY, GENERIC, Calls, Fault, Kept, statement_reason
from loom_core.tailcalls.names import Callees
from loom_core.tailcalls.source import Definition
from loom_core.tailcalls.streams_yields import Yields, is_held
from loom_core.tailcalls.walking import NESTED, children, evaluated_here

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@attrs.frozen(kw_only=True)
class StreamCalls:
    """The calls, their tails keyed by the identity of the ``async for``, and the yields of the function."""

    calls: Calls
    yields: Yields
    targets: tuple[ast.Name, ...]


def find_streams(definition: Definition, code: CodeType, callees: Callees, *, leave_first: bool = False) -> StreamCalls:
    """Return what a function calls of itself, in source order; ``leave_first`` accepts tails inside blocks."""
    variables = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
    finder = _Finder(definition, callees, variables, leave_first=leave_first)
    finder.block(definition.node.body, _Place(ends=True))
    return StreamCalls(calls=finder.calls, yields=finder.yields, targets=tuple(finder.targets))


def hint_stream(callees: Callees) -> str:
    """Return the tail that would be accepted, for hints."""
    call = callees.hint_call().removeprefix("return await ")
    return f"async for item in {call}: yield item"


@attrs.frozen(kw_only=True)
class _Place:
    """Where a statement stands.

    ``ends``: the function ends when the statement is done. ``leaves``: it ends after a ``break``. ``blocked``: the
    innermost block around it. ``loop``: the loop around it over something that only the loop holds.
    """

    ends: bool
    leaves: bool = False
    blocked: str | None = None
    loop: ast.AST | None = None


class _Finder:
    def __init__(
        self, definition: Definition, callees: Callees, variables: Collection[str], *, leave_first: bool
    ) -> None:
        self.definition = definition
        self.callees = callees
        self.variables = variables
        self.leave_first = leave_first
        self.calls = Calls()
        self.yields = Yields()
        self.targets: list[ast.Name] = []
        self._above: list[ast.AST] = []

    def block(self, statements: list[ast.stmt], place: _Place) -> None:
        for index, statement in enumerate(statements):
            self._above.append(statement)
            ends = _ends_after((statements[later] for later in range(index + 1, len(statements))), place)
            self._statement(statement, place if ends == place.ends else attrs.evolve(place, ends=ends))
            self._above.pop()

    def _statement(self, statement: ast.stmt, place: _Place) -> None:
        match statement:
            case ast.AsyncFor(iter=ast.Call() as call) if self._is_own(call):
                self._stream(statement, call, place)
            case ast.For() | ast.AsyncFor():
                self._users_loop(statement, place)
            case ast.If() | ast.While():
                self._expression(statement.test, place, "its result is a condition, which is tested after it")
                inside = place
                if isinstance(statement, ast.While):
                    inside = attrs.evolve(place, ends=False, leaves=place.ends)
                self.block(statement.body, inside)
                self.block(statement.orelse, place)
            case ast.Match():
                self._expression(statement.subject, place, "its result is matched, so that work remains after it")
                for case in statement.cases:
                    self._expression(case.pattern, place, GENERIC)
                    if case.guard is not None:
                        self._expression(case.guard, place, "its result is a condition, which is tested after it")
                    self.block(case.body, place)
            case ast.Try() | ast.TryStar():
                self._try(statement, place)
            case ast.With() | ast.AsyncWith():
                around = place.blocked if place.blocked == FINALLY else BLOCKS[type(statement)]
                inside = attrs.evolve(place, blocked=around)
                for index, item in enumerate(statement.items):
                    opened = place if index == 0 else inside
                    self._expression(item.context_expr, opened, "the block that it opens is left after it")
                    if item.optional_vars is not None:
                        self._expression(item.optional_vars, inside, GENERIC)
                self.block(statement.body, inside)
            case ast.Expr(value=ast.Yield() as value):
                self._see_yield(value, place)
                if value.value is not None and not self._is_all(statement):
                    self._expression(value.value, place, _YIELDED)
            case _:
                self._expression(statement, place, statement_reason(statement))

    def _users_loop(self, statement: ast.For | ast.AsyncFor, place: _Place) -> None:
        reason = "its result is looped over, so that work remains after it"
        if isinstance(statement, ast.For) and isinstance(statement.iter, ast.Call) and self._is_own(statement.iter):
            reason = "`for` cannot loop over an async generator"
        if isinstance(statement, ast.AsyncFor) and isinstance(statement.iter, ast.Call):
            self._doubt(statement, statement.iter, place)
        self._expression(statement.iter, place, reason)
        loop = place.loop if is_held(statement.iter, self.variables) else (place.loop or statement)
        inside = attrs.evolve(place, ends=False, leaves=place.ends, loop=loop)
        self._expression(statement.target, inside, GENERIC)
        self.block(statement.body, inside)
        self.block(statement.orelse, place)

    def _try(self, statement: ast.Try | ast.TryStar, place: _Place) -> None:
        around = place.blocked if place.blocked == FINALLY else BLOCKS[type(statement)]
        inside = attrs.evolve(place, blocked=around)
        self.block(statement.body, attrs.evolve(inside, ends=place.ends and not statement.orelse))
        for handler in statement.handlers:
            if handler.type is not None:
                self._expression(handler.type, inside, GENERIC)
            self._above.append(handler)
            self.block(handler.body, inside)
            self._above.pop()
        self.block(statement.orelse, inside)
        self.block(statement.finalbody, attrs.evolve(inside, blocked=FINALLY))

    def _stream(self, statement: ast.AsyncFor, call: ast.Call, place: _Place) -> None:
        """Classify ``async for ... in fn(...)``."""
        why = self._why_no_tail(statement, place)
        if why is None:
            key, form = id(statement), self.callees.form_of(call)
            assert form is not None
            self.calls.tails[key] = call
            self.calls.forms[key] = form
            self.calls.paths[key] = tuple(id(one) for one in self._above)
            if place.blocked is not None:
                self.calls.blocks[key] = place.blocked
            assert isinstance(statement.target, ast.Name)
            self.targets.append(statement.target)
        else:
            self._fault(call, *why)
            inside = attrs.evolve(place, ends=False, leaves=place.ends)
            self.block(statement.body, inside)
            self.block(statement.orelse, place)
        self._arguments(call, place)

    def _why_no_tail(self, statement: ast.AsyncFor, place: _Place) -> tuple[str, str] | None:
        """Return reason and hint if the loop over itself is not a tail."""
        accepted = f"write `{hint_stream(self.callees)}`"
        if not isinstance(statement.target, ast.Name):
            return "the target of its loop is not a plain variable", accepted
        item = statement.target.id
        match statement.body:
            case [ast.Expr(value=ast.Yield(value=ast.Name(id=name)))] if name == item:
                pass
            case [ast.Expr(value=ast.Yield())]:
                reason = f"its loop yields something else than the item `{item}`, which is work for every item"
                return reason, "pass what is to be done with the items as a parameter, and yield them as they are"
            case _:
                reason = f"the body of its loop is not just `yield {item}`, which is work for every item"
                return reason, f"{accepted}, and do the work where the item is first yielded"
        if statement.orelse:
            return "its loop has an `else`, which runs after it", "do that work before the loop"
        if place.blocked == FINALLY:
            return (
                "it is inside `finally`, which may have an exception to pass on after it",
                f"leave the block first: {accepted} below it",
            )
        if place.blocked is not None and not self.leave_first:
            return (
                f"it is inside {place.blocked}, which leaves work for after it",
                f"leave the block first: keep what it computes in a variable and {accepted} below it{_BY_OPTION}",
            )
        if not place.ends:
            return GENERIC, "do that work before the loop, or write `return` below the loop if there is none"
        return None

    def _arguments(self, call: ast.Call, place: _Place) -> None:
        for argument in (*call.args, *call.keywords):
            self._expression(argument, place, "its result is an argument of another call")

    def _doubt(self, statement: ast.AsyncFor, call: ast.Call, place: _Place) -> None:
        if self._why_no_tail(statement, place) is not None:
            return
        why = self.callees.doubt(call.func)
        if why is None:
            self.calls.others.append(call)
        else:
            self.calls.kept.append(Kept(node=call, reason=why, instead=f"write `{hint_stream(self.callees)}`"))

    def _expression(self, root: ast.AST, place: _Place, reason: str) -> None:
        """See the yields below ``root``, whose values are used, and the calls: each has work after it."""
        may_mention = self.definition.may_mention
        if not (may_mention(root, self.callees.function) or may_mention(root, "yield")):
            return
        for node, inside in _own_scope(root):
            if isinstance(node, ast.Yield) and inside != "nested":
                self.yields.used = self.yields.used or node
                self._see_yield(node, place)
            elif isinstance(node, ast.Call) and self._is_own(node):
                self._work(node, inside, reason, root)

    def _is_all(self, statement: ast.Expr) -> bool:
        """Return whether a ``yield`` is surely all that counts in its statement; most of a stream are such."""
        definition = self.definition
        lines = definition.lines[statement.lineno - 1 : statement.end_lineno]
        once = definition.plain and sum(line.count("yield") for line in lines) == 1
        return once and not definition.may_mention(statement, self.callees.function)

    def _see_yield(self, node: ast.Yield, place: _Place) -> None:
        if place.blocked is not None and self.yields.in_block is None:
            self.yields.in_block = node
        if place.loop is not None and self.yields.in_loop is None:
            self.yields.in_loop = place.loop

    def _work(self, call: ast.Call, inside: str, reason: str, root: ast.AST) -> None:
        instead = f"{_ACCUMULATE} `{hint_stream(self.callees)}`; or remove @tailstream"
        if inside == "nested":
            text = "made by a nested function; it starts a recursion of its own"
            self.calls.kept.append(Kept(node=call, reason=text))
        elif inside == "comprehension":
            self._fault(call, "it is inside a comprehension, which goes on after it", instead)
        elif any(isinstance(one, ast.Await) and one.value is call for one in ast.walk(root)):
            self._fault(call, "an async generator cannot be awaited", f"write `{hint_stream(self.callees)}`")
        else:
            self._fault(call, reason, instead)

    def _fault(self, node: ast.AST, reason: str, instead: str) -> None:
        self.calls.faults.append(
            Fault(node=node, reason=f"this call is not the tail of the stream: {reason}", instead=instead)
        )

    def _is_own(self, call: ast.Call) -> bool:
        return self.callees.form_of(call) is not None


_YIELDED = "the generator itself is yielded, not its items"
_ACCUMULATE = "pass on what is left to do as a parameter, so that the last thing is"
_BY_OPTION = """; or write `@tailstream(blocks="leave-first")`, which leaves the block before the next call begins"""


def _ends_after(rest: Iterable[ast.stmt], place: _Place) -> bool:
    """Return whether the function ends when ``rest`` of a block at ``place`` is all that follows in it."""
    for statement in rest:
        match statement:
            case ast.Pass():
                continue
            case ast.Return():
                return True
            case ast.Break():
                return place.leaves
            case _:
                return False
    return place.ends


def _own_scope(root: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield nodes below ``root`` with where they are: ``here``, in a ``comprehension``, or in a ``nested`` scope."""
    pending: list[tuple[ast.AST, str]] = [(root, "here")]
    while pending:
        node, inside = pending.pop()
        yield node, inside
        if isinstance(node, NESTED):
            here = evaluated_here(node)
            pending += [(child, inside) for child in here]
            body = [node.body] if isinstance(node, ast.Lambda) else node.body
            pending += [(child, "nested") for child in body]
            continue
        below = "comprehension" if isinstance(node, _COMPREHENSIONS) and inside == "here" else inside
        pending += [(child, below) for child in children(node)]
