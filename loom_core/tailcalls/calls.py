"""Find every call that a function makes of itself by name, and whether it is in tail position."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import attrs

from loom_core.tailcalls.source import Function

_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BLOCKS = {
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


@attrs.define
class Calls:
    """The function's calls of itself.

    ``tails`` are those in tail position, by the identity of the awaited call's ``Await`` node; ``kept`` those of nested
    functions; ``path`` the identities of the statements and expressions that lead to a tail.
    """

    tails: dict[int, ast.Call] = attrs.field(factory=dict)
    kept: list[ast.Call] = attrs.field(factory=list)
    faults: list[Fault] = attrs.field(factory=list)
    path: set[int] = attrs.field(factory=set)


def find_calls(node: Function) -> Calls:
    """Return what ``node`` calls of itself, in source order."""
    finder = _Finder(node.name)
    finder.block(node.body, blocked=None)
    return finder.calls


class _Finder:
    def __init__(self, name: str) -> None:
        self.name = name
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
                self._work(statement.target, _GENERIC)
                self.block(statement.body, blocked=blocked)
                self.block(statement.orelse, blocked=blocked)
            case ast.Match():
                self._work(statement.subject, "its result is matched, so that work remains after it")
                for case in statement.cases:
                    self._work(case.pattern, _GENERIC)
                    if case.guard is not None:
                        self._work(case.guard, "its result is a condition, which is tested after it")
                    self.block(case.body, blocked=blocked)
            case ast.Try() | ast.TryStar():
                around = _BLOCKS[type(statement)]
                for handler in statement.handlers:
                    if handler.type is not None:
                        self._work(handler.type, _GENERIC)
                    self.block(handler.body, blocked=around)
                for part in (statement.body, statement.orelse, statement.finalbody):
                    self.block(part, blocked=around)
            case ast.With() | ast.AsyncWith():
                for item in statement.items:
                    self._work(item, "the block that it opens is left after it")
                self.block(statement.body, blocked=_BLOCKS[type(statement)])
            case _:
                self._work(statement, _statement_reason(statement))

    def _tail(self, value: ast.expr, blocked: str | None) -> None:
        match value:
            case ast.IfExp():
                self._work(value.test, "its result is a condition, which is tested after it")
                self._above.append(value)
                self._tail(value.body, blocked)
                self._tail(value.orelse, blocked)
                self._above.pop()
            case ast.Await(value=ast.Call() as call) if self._is_own(call):
                if blocked is not None:
                    self._fault(
                        call,
                        f"the call is inside {blocked}, which leaves work for after it",
                        f"leave the block first: keep what it computes in a variable and write "
                        f"`return await {self.name}(...)` below it",
                    )
                else:
                    self.calls.tails[id(value)] = call
                    self.calls.path.update(id(node) for node in self._above)
                for argument in (*call.args, *call.keywords):
                    self._work(argument, "its result is an argument of another call")
            case ast.BoolOp():
                self._work(value, "it is an operand of `and` or `or`, which is not a tail position of the simple form")
            case ast.Call() if self._is_own(value):
                self._work(value, "without `await` it returns a coroutine that nobody has awaited")
            case _:
                self._work(value, "its result is used after it")

    def _work(self, root: ast.AST, reason: str) -> None:
        """Every own call below ``root`` has work after it."""
        for call, inside in _own_scope_calls(root):
            if not self._is_own(call):
                continue
            if inside == "nested":
                self.calls.kept.append(call)
            elif inside == "comprehension":
                self._fault(call, "it is inside a comprehension, which goes on after it", self._accumulate())
            else:
                self._fault(call, reason, self._accumulate())

    def _accumulate(self) -> str:
        return (
            f"pass on what is left to do as a parameter, so that the last thing is `return await {self.name}(...)`; "
            f"or remove @tailrec"
        )

    def _fault(self, node: ast.AST, reason: str, instead: str) -> None:
        self.calls.faults.append(Fault(node=node, reason=f"this call is not a tail call: {reason}", instead=instead))

    def _is_own(self, call: ast.Call) -> bool:
        return isinstance(call.func, ast.Name) and call.func.id == self.name


_GENERIC = "the function goes on after it"


def _statement_reason(statement: ast.stmt) -> str:
    match statement:
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            return "its result is assigned, and the function goes on after it"
        case ast.Expr():
            return "its result is dropped, and the function goes on after it"
        case _:
            return _GENERIC


def _own_scope_calls(root: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Yield calls below ``root`` with where they are: ``here``, in a ``comprehension``, or in a ``nested`` scope."""
    pending: list[tuple[ast.AST, str]] = [(root, "here")]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.Call):
            yield node, inside
        if isinstance(node, _NESTED):
            pending += [(child, inside) for child in evaluated_here(node)]
            pending += [(child, "nested") for child in _body(node)]
            continue
        if isinstance(node, ast.Name | ast.Constant):
            continue
        below = "comprehension" if isinstance(node, _COMPREHENSIONS) and inside == "here" else inside
        pending += [(child, below) for child in children(node)]


def children(node: ast.AST) -> list[ast.AST]:
    """Return the child nodes in source order; half the cost of ``ast.iter_child_nodes``, which dominates otherwise."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [one for one in value if isinstance(one, ast.AST)]
        elif isinstance(value, ast.AST) and name != "ctx":
            found.append(value)
    return found


def statements(body: list[ast.stmt], *, nested: bool = False) -> Iterator[ast.AST]:
    """Yield every statement below ``body``, handlers and cases too, but no expression.

    The bodies of nested functions and classes are left out unless ``nested``.
    """
    pending: list[ast.AST] = list(body)
    while pending:
        one = pending.pop()
        yield one
        if nested or not isinstance(one, _NESTED):
            for name in ("body", "orelse", "finalbody", "handlers", "cases"):
                pending += getattr(one, name, ())


def evaluated_here(node: ast.AST) -> list[ast.expr]:
    """Return the parts of a nested function or class that the scope around it evaluates."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return [*node.decorator_list, *_defaults(node.args)]
        case ast.Lambda():
            return _defaults(node.args)
        case ast.ClassDef():
            return [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
        case _:
            return []


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef) -> list[ast.AST]:
    return [node.body] if isinstance(node, ast.Lambda) else list(node.body)
