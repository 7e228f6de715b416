"""Find every call that a function makes of itself by name, and whether it is in tail position."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import attrs

from loom_core.tailcalls.names import Callees, Form
from loom_core.tailcalls.source import Definition
from loom_core.tailcalls.walking import NESTED, children, evaluated_here

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
BLOCKS = {
    ast.Try: "`try`",
    ast.TryStar: "`try`",
    ast.With: "`with`",
    ast.AsyncWith: "`async with`",
}


@attrs.frozen(kw_only=True)
class Fault:
    """Something that stops the function from becoming a loop, where it is, and what to write instead."""

    node: ast.AST
    reason: str
    instead: str


@attrs.frozen(kw_only=True)
class Kept:
    """A call that stays what it is, although it may look like one that becomes a jump."""

    node: ast.AST
    reason: str
    instead: str | None = None


@attrs.define
class Calls:
    """The function's calls of itself.

    ``tails`` are those in tail position, by the identity of the awaited call's ``Await`` node, and ``forms`` says how
    each names its function; ``blocks`` has the tails that stand in a block, with the kind of the innermost one.
    ``paths`` has, per tail, the identities of the statements and expressions that lead to it. ``kept`` are calls that
    are left alone, ``others`` the tail calls of what does not even look like this function.
    """

    tails: dict[int, ast.Call] = attrs.field(factory=dict)
    forms: dict[int, Form] = attrs.field(factory=dict)
    blocks: dict[int, str] = attrs.field(factory=dict)
    kept: list[Kept] = attrs.field(factory=list)
    others: list[ast.Call] = attrs.field(factory=list)
    faults: list[Fault] = attrs.field(factory=list)
    paths: dict[int, tuple[int, ...]] = attrs.field(factory=dict)


def find_calls(definition: Definition, callees: Callees, *, leave_first: bool = False) -> Calls:
    """Return what a function calls of itself, in source order; ``leave_first`` accepts tails inside blocks."""
    finder = _Finder(definition, callees, leave_first=leave_first)
    finder.block(definition.node.body, blocked=None)
    return finder.calls


class _Finder:
    def __init__(self, definition: Definition, callees: Callees, *, leave_first: bool) -> None:
        self.definition = definition
        self.callees = callees
        self.leave_first = leave_first
        self.calls = Calls()
        self._above: list[ast.AST] = []

    def block(self, statements: list[ast.stmt], *, blocked: str | None) -> None:
        for statement in statements:
            self._above.append(statement)
            self._statement(statement, blocked)
            self._above.pop()

    def _statement(self, statement: ast.stmt, blocked: str | None) -> None:
        match statement:
            case ast.Return(value=ast.expr() as value):
                self._tail(value, blocked)
            case ast.If(test=test) | ast.While(test=test):
                self._work(test, "its result is a condition, which is tested after it")
                self.block(statement.body, blocked=blocked)
                self.block(statement.orelse, blocked=blocked)
            case ast.For() | ast.AsyncFor():
                self._work(statement.iter, "its result is looped over, so that work remains after it")
                self._work(statement.target, GENERIC)
                self.block(statement.body, blocked=blocked)
                self.block(statement.orelse, blocked=blocked)
            case ast.Match():
                self._work(statement.subject, "its result is matched, so that work remains after it")
                for case in statement.cases:
                    self._work(case.pattern, GENERIC)
                    if case.guard is not None:
                        self._work(case.guard, "its result is a condition, which is tested after it")
                    self.block(case.body, blocked=blocked)
            case ast.Try() | ast.TryStar():
                around = blocked if blocked == FINALLY else BLOCKS[type(statement)]
                for handler in statement.handlers:
                    if handler.type is not None:
                        self._work(handler.type, GENERIC)
                    self._above.append(handler)
                    self.block(handler.body, blocked=around)
                    self._above.pop()
                self.block(statement.body, blocked=around)
                self.block(statement.orelse, blocked=around)
                self.block(statement.finalbody, blocked=FINALLY)
            case ast.With() | ast.AsyncWith():
                for item in statement.items:
                    self._work(item, "the block that it opens is left after it")
                self.block(statement.body, blocked=blocked if blocked == FINALLY else BLOCKS[type(statement)])
            case _:
                dropped = isinstance(statement, ast.Expr)
                instead = f"if nothing is left to do after it, write `{self.callees.hint_call()}`" if dropped else None
                self._work(statement, statement_reason(statement), instead)

    def _tail(self, value: ast.expr, blocked: str | None) -> None:
        match value:
            case ast.IfExp():
                self._work(value.test, "its result is a condition, which is tested after it")
                self._above.append(value)
                self._tail(value.body, blocked)
                self._tail(value.orelse, blocked)
                self._above.pop()
            case ast.BoolOp():
                word = "and" if isinstance(value.op, ast.And) else "or"
                for operand in value.values[:-1]:
                    self._work(operand, f"its result is tested by `{word}` after it")
                self._above.append(value)
                self._tail(value.values[-1], blocked)
                self._above.pop()
            case ast.Await(value=ast.Call() as call):
                self._awaited(value, call, blocked)
            case ast.Call() if self.callees.form_of(value) is not None:
                reason = "without `await` it returns a coroutine that nobody has awaited"
                self._work(value, reason, f"write `{self.callees.hint_call()}`")
            case _:
                self._work(value, "its result is used after it")

    def _awaited(self, value: ast.Await, call: ast.Call, blocked: str | None) -> None:
        own = self.callees.form_of(call)
        if own is None and not self.callees.any:
            if why := self.callees.doubt(call.func):
                self.calls.kept.append(Kept(node=call, reason=why, instead=self.callees.hint()))
            elif blocked is None:
                self.calls.others.append(call)
            self._work(call, "its result is used after it")
            return
        if blocked is not None and (blocked == FINALLY or not self.leave_first):
            self._blocked(call, blocked, is_own=own is not None)
        else:
            self.calls.tails[id(value)] = call
            self.calls.forms[id(value)] = "any" if own is None or self.callees.any else own
            self.calls.paths[id(value)] = tuple(id(node) for node in self._above)
            if blocked is not None:
                self.calls.blocks[id(value)] = blocked
        if own is None:
            self._work(call.func, "its result is used after it")
        for argument in (*call.args, *call.keywords):
            self._work(argument, "its result is an argument of another call")

    def _blocked(self, call: ast.Call, blocked: str, *, is_own: bool) -> None:
        if not is_own:
            reason = f"inside {blocked}, which leaves work for after it: an ordinary await"
            self.calls.kept.append(Kept(node=call, reason=reason))
        elif blocked == FINALLY:
            self._fault(
                call,
                "the call is inside `finally`, which may have an exception or a result to pass on after it",
                f"leave the block first: write `{self.callees.hint_call()}` below it",
            )
        else:
            self._fault(
                call,
                f"the call is inside {blocked}, which leaves work for after it",
                f"leave the block first: keep what it computes in a variable and write "
                f"`{self.callees.hint_call()}` below it{_BY_OPTION}",
            )

    def _work(self, root: ast.AST, reason: str, instead: str | None = None) -> None:
        """Every own call below ``root`` has work after it; ``instead`` is for the one at the top."""
        if not self.definition.may_mention(root, self.callees.function):
            return
        for call, inside in _own_scope_calls(root):
            if self.callees.form_of(call) is None:
                continue
            if inside == "nested":
                text = "made by a nested function; it starts a recursion of its own"
                self.calls.kept.append(Kept(node=call, reason=text))
            elif inside == "comprehension":
                self._fault(call, "it is inside a comprehension, which goes on after it", self._accumulate())
            else:
                at_top = call is root or (isinstance(root, ast.Await | ast.Expr) and call is _awaited_by(root))
                self._fault(call, reason, instead if instead is not None and at_top else self._accumulate())

    def _accumulate(self) -> str:
        return (
            f"pass on what is left to do as a parameter, so that the last thing is `{self.callees.hint_call()}`; "
            f"or remove @tailrec"
        )

    def _fault(self, node: ast.AST, reason: str, instead: str) -> None:
        self.calls.faults.append(Fault(node=node, reason=f"this call is not a tail call: {reason}", instead=instead))


def _awaited_by(node: ast.Await | ast.Expr) -> ast.expr:
    """Return what a statement or an ``await`` awaits, without the ``await``."""
    value = node.value
    return value.value if isinstance(value, ast.Await) else value


FINALLY = "`finally`"
_BY_OPTION = """; or write `@tailrec(blocks="leave-first")`, which leaves the block before the call is made"""
GENERIC = "the function goes on after it"


def statement_reason(statement: ast.stmt) -> str:
    """Return why a call somewhere in a simple statement is no tail call."""
    match statement:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            return "its result is assigned, and the function goes on after it"
        case ast.Expr():
            return "its result is dropped, and the function goes on after it"
        case _:
            return GENERIC


def _own_scope_calls(root: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Yield calls below ``root`` with where they are: ``here``, in a ``comprehension``, or in a ``nested`` scope."""
    pending: list[tuple[ast.AST, str]] = [(root, "here")]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.Call):
            yield node, inside
        if isinstance(node, NESTED):
            pending += [(child, inside) for child in evaluated_here(node)]
            pending += [(child, "nested") for child in _body(node)]
            continue
        if isinstance(node, ast.Name | ast.Constant):
            continue
        below = "comprehension" if isinstance(node, _COMPREHENSIONS) and inside == "here" else inside
        pending += [(child, below) for child in children(node)]


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef) -> list[ast.AST]:
    return [node.body] if isinstance(node, ast.Lambda) else list(node.body)
