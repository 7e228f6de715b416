"""Uses of a function that are no tail calls, and an independent judge of what is said about them.

The judge knows the rule only: where work remains after a call. It shares no code with the compiler.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import attrs


@attrs.frozen
class Fault:
    """``CALL`` stands for a call of the function; ``in_block`` faults are none with ``blocks="leave-first"``."""

    text: str
    in_block: bool = False

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")


FAULTS = (
    *map(
        Fault,
        (
            "l0 = await CALL",
            "l0: int = await CALL",
            "l0 += await CALL",
            "l0, l1 = await CALL",
            "l0 = l1 = await CALL",
            "(l0 := await CALL)",
            "return (l0 := await CALL)",
            "await CALL",
            "CALL.close()",
            "return 1 + await CALL",
            "return -await CALL",
            "return not await CALL",
            "return await CALL, 1",
            "return [await CALL]",
            "return {1: await CALL}",
            "return (await CALL)[0]",
            "return (await CALL).real",
            'return f"""{await CALL}"""',
            "return await CALL < 5",
            "return CALL",
            "return CALL if n else 5",
            "return await w(1, await CALL)",
            "return await other(CALL)",
            "return await asyncio.wait_for(CALL, 1)",
            "return await (CALL if n else CALL)",
            "return await (await CALL)",
            "return [await CALL for q in range(2)]",
            "return [q for q in await CALL]",
            "return {await CALL async for q in ticks([1])}",
            "return await CALL or 5",
            "return await CALL and 5",
            "return (n and await CALL) or 5",
            "return n or (await CALL or 5)",
            "return (await CALL if n else 5) or 7",
            "if await CALL:\n    return 1",
            "while await CALL:\n    return 1",
            "return 1 if await CALL else 2",
            "assert await CALL",
            "for l1 in await CALL:\n    pass",
            "async for l1 in CALL:\n    pass",
            "match await CALL:\n    case 1:\n        return 1",
            "match n:\n    case 1 if await CALL:\n        return 1",
            "raise ValueError(await CALL)",
            "def g(x=CALL):\n    return 1",
            "g = lambda x=CALL: 1",
            "del (await CALL)[0]",
            "with await CALL:\n    pass",
            "async with cm(1, await CALL):\n    pass",
            "try:\n    l0 = 1\nfinally:\n    return await CALL",
            "try:\n    l0 = await CALL\nexcept ValueError:\n    pass",
            "with cm(90, False):\n    l0 = await CALL",
            "try:\n    pass\nexcept* ValueError:\n    l0 = await CALL",
        ),
    ),
    Fault("try:\n    return await CALL\nfinally:\n    pass", in_block=True),
    Fault("try:\n    return await CALL\nexcept ValueError:\n    pass", in_block=True),
    Fault("try:\n    raise ValueError\nexcept ValueError:\n    return await CALL", in_block=True),
    Fault("try:\n    pass\nexcept ValueError:\n    pass\nelse:\n    return await CALL", in_block=True),
    Fault("with cm(91, False):\n    return await CALL", in_block=True),
    Fault("async with acm(92, True):\n    if n:\n        return await CALL", in_block=True),
    Fault(
        "while True:\n    try:\n        for i in range(2):\n            return await CALL\n    finally:\n        break",
        in_block=True,
    ),
)

_BLOCKS = (ast.Try, ast.TryStar, ast.With, ast.AsyncWith)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_Path = list[tuple[ast.AST, str]]  # from the function to the call's parent, with the field that leads on


def judge(
    function: ast.AST, line: int, column: int, reason: str, *, leave_first: bool = False, stream: bool = False
) -> str | None:
    """Return what is untrue about ``reason``, said of the call of a function at a place; None if it is true."""
    if excuse(function, reason):
        return None
    place = _call_at(function, line, column)
    if place is None:
        return "there is no call at this place"
    call, path = place
    if is_nested(path):
        return "a nested scope makes this call, when it is called"
    tails = is_stream_tail if stream else is_tail
    if tails(call, path, leave_first=leave_first):
        return "this is a tail call"
    claims = [(words, holds) for words, holds in [*CLAIMS, *STREAM_CLAIMS] if re.search(words, reason)]
    if not claims:
        return "the judge does not know this reason"
    for words, holds in claims:
        if not holds(call, path):
            return f"it is not true that {words!r}"
    return None


def excuse(function: ast.AST, reason: str) -> bool:
    """Return whether a function without a planted fault may be rejected for this reason, and the reason is true."""
    nodes = list(ast.walk(function))
    if "can see its variables by name" in reason:
        named = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        blocks = any(isinstance(node, _BLOCKS) for node in nodes)
        return blocks and not named.isdisjoint({"locals", "vars", "dir", "eval", "exec"})
    return False


def is_tail(call: ast.Call, path: _Path, *, leave_first: bool) -> bool:
    """Return whether nothing remains to be done after the call but returning its value."""
    rest = list(path)
    if not rest or not isinstance(rest.pop()[0], ast.Await):
        return False
    while rest and isinstance(rest[-1][0], ast.expr):
        parent, field = rest.pop()
        if isinstance(parent, ast.IfExp) and field in ("body", "orelse"):
            continue
        if isinstance(parent, ast.BoolOp) and field == "values[last]":
            continue
        return False
    if not rest or not isinstance(rest.pop()[0], ast.Return):
        return False
    blocks = [(one, field) for one, field in rest if isinstance(one, ast.Try | ast.TryStar | ast.With | ast.AsyncWith)]
    return all(leave_first for _ in blocks) and not _in_finally(rest)


def is_stream_tail(call: ast.Call, path: _Path, *, leave_first: bool) -> bool:
    """Return whether the call's items are all that the generator still yields."""
    loop, field = path[-1]
    if not isinstance(loop, ast.AsyncFor) or field != "iter" or not _passes_on(loop) or loop.orelse:
        return False
    blocked = any(isinstance(one, _BLOCKS) for one, _ in path)
    if _in_finally(path) or (blocked and not leave_first):
        return False
    below: ast.AST = loop
    leaving = False  # a `break` is on its way to the loop that it leaves
    for parent, field in reversed(path[:-1]):
        loops = isinstance(parent, ast.For | ast.AsyncFor | ast.While) and field == "body"
        if leaving:
            leaving = not loops
            below = parent
            continue
        siblings = getattr(parent, field)
        if isinstance(siblings, list) and isinstance(below, ast.stmt):
            behind = [one for one in siblings[siblings.index(below) + 1 :] if not isinstance(one, ast.Pass)]
            if behind and isinstance(behind[0], ast.Return):
                return True
            if behind and isinstance(behind[0], ast.Break) and not loops:
                leaving = True
            elif behind and isinstance(behind[0], ast.Break):
                leaving = False
            elif behind or loops or (isinstance(parent, ast.Try | ast.TryStar) and field == "body" and parent.orelse):
                return False
        below = parent
    return True


def _passes_on(loop: ast.AsyncFor) -> bool:
    match loop.target, loop.body:
        case ast.Name(id=target), [ast.Expr(value=ast.Yield(value=ast.Name(id=item)))]:
            return target == item
    return False


def _in_finally(path: _Path) -> bool:
    return any(field == "finalbody" for _, field in path)


def calls_of(function: ast.AST, callee: str) -> Iterator[tuple[ast.Call, _Path]]:
    """Yield every call of ``callee`` below ``function`` with the way to it."""
    for node, path in _below(function, []):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == callee:
            yield node, path


def _below(node: ast.AST, path: _Path) -> Iterator[tuple[ast.AST, _Path]]:
    for name, value in ast.iter_fields(node):
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                last = isinstance(value, list) and index == len(value) - 1
                way = [*path, (node, f"{name}[last]" if last and isinstance(node, ast.BoolOp) else name)]
                yield child, way
                yield from _below(child, way)


def _call_at(function: ast.AST, line: int, column: int) -> tuple[ast.Call, _Path] | None:
    for node, path in _below(function, []):
        if isinstance(node, ast.Call) and (node.lineno, node.col_offset + 1) == (line, column):
            return node, path[1:]
    return None


def is_nested(path: _Path) -> bool:
    return any(isinstance(one, _SCOPES) and field == "body" for one, field in path)


def _under(*fields: tuple[type | tuple[type, ...], str]) -> Callable[[ast.Call, _Path], bool]:
    def holds(call: ast.Call, path: _Path) -> bool:
        return any(isinstance(one, kinds) and field == name for one, field in path for kinds, name in fields)

    return holds


def _any(*kinds: type) -> Callable[[ast.Call, _Path], bool]:
    return lambda _, path: any(isinstance(one, kinds) for one, _ in path)


CLAIMS: list[tuple[str, Callable[[ast.Call, _Path], bool]]] = [
    ("result is assigned", _any(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr)),
    ("result is dropped", _any(ast.Expr)),
    (
        "result is a condition",
        _under(
            (ast.If, "test"),
            (ast.While, "test"),
            (ast.IfExp, "test"),
            (ast.Assert, "test"),
            (ast.match_case, "guard"),
            (ast.comprehension, "ifs"),
        ),
    ),
    ("result is looped over", _under((ast.For, "iter"), (ast.AsyncFor, "iter"), (ast.comprehension, "iter"))),
    ("result is matched", _under((ast.Match, "subject"))),
    ("argument of another call", _under((ast.Call, "args"), (ast.Call, "keywords"), (ast.keyword, "value"))),
    ("tested by `(and|or)` after it", _any(ast.BoolOp)),
    ("without `await`", lambda _, path: not isinstance(path[-1][0], ast.Await)),
    ("inside a comprehension", _any(*_COMPREHENSIONS)),
    ("default", _under((ast.arguments, "defaults"), (ast.arguments, "kw_defaults"))),
    ("inside `try`", _any(ast.Try, ast.TryStar)),
    ("inside `with`", _any(ast.With)),
    ("inside `async with`", _any(ast.AsyncWith)),
    ("`finally`", _under((ast.Try, "finalbody"), (ast.TryStar, "finalbody"))),
    ("the block that it opens", _under((ast.With, "items"), (ast.AsyncWith, "items"))),
    # True of whatever is no tail call, which has been established.
    ("used after it|goes on after it|work remains after it|leaves work", lambda call, path: True),
]


def _over_itself(call: ast.Call, path: _Path) -> ast.AsyncFor | None:
    loop, field = path[-1]
    return loop if isinstance(loop, ast.AsyncFor) and field == "iter" else None


def _loop(holds: Callable[[ast.AsyncFor], bool]) -> Callable[[ast.Call, _Path], bool]:
    return lambda call, path: (loop := _over_itself(call, path)) is not None and holds(loop)


STREAM_CLAIMS: list[tuple[str, Callable[[ast.Call, _Path], bool]]] = [
    ("cannot be awaited", lambda _, path: isinstance(path[-1][0], ast.Await)),
    ("`for` cannot loop", lambda _, path: isinstance(path[-1][0], ast.For)),
    ("target of its loop is not a plain variable", _loop(lambda loop: not isinstance(loop.target, ast.Name))),
    ("its loop yields something else", _loop(lambda loop: not _passes_on(loop) and len(loop.body) == 1)),
    ("its loop is not just `yield", _loop(lambda loop: not _passes_on(loop))),
    ("its loop has an `else`", _loop(lambda loop: bool(loop.orelse))),
    ("generator itself is yielded", _any(ast.Yield)),
]

STREAM_FAULTS = (
    *map(
        Fault,
        (
            "l0 = CALL",
            "CALL",
            "yield CALL",
            "yield await anext(CALL)",
            "async for x in CALL:\n    yield x + 1\nreturn",
            "async for x in CALL:\n    yield x, 1\nreturn",
            "async for x in CALL:\n    yield x\n    l0 = 1\nreturn",
            "async for x in CALL:\n    l0 = 1\n    yield x\nreturn",
            "async for x in CALL:\n    l0 = yield x\nreturn",
            "async for x in CALL:\n    yield n\nreturn",
            "async for x in CALL:\n    if x:\n        yield x\nreturn",
            "async for x in CALL:\n    yield x\n    break\nreturn",
            "async for x in CALL:\n    yield x\nelse:\n    l0 = 1\nreturn",
            "async for x in CALL:\n    yield x\ne(1, 2)\nreturn",
            "async for x in CALL:\n    yield x\nyield 3",
            "async for x in CALL:\n    yield x\nwhile n > 0:\n    break",
            "for i in range(2):\n    async for x in CALL:\n        yield x\nreturn",
            "while n:\n    async for x in CALL:\n        yield x\n    break\ne(1, 2)\nreturn",
            "async for x, l0 in CALL:\n    yield x\nreturn",
            "async for x in other(CALL):\n    yield x\nreturn",
            "for x in [q async for q in CALL]:\n    yield x\nreturn",
            "async for x in (q async for q in CALL):\n    yield x\nreturn",
            "async for x in await CALL:\n    yield x\nreturn",
            "try:\n    l0 = 1\nfinally:\n    async for x in CALL:\n        yield x",
            "def g(x=CALL):\n    return 1",
            "if CALL:\n    yield 1",
        ),
    ),
    Fault("try:\n    async for x in CALL:\n        yield x\n    return\nfinally:\n    pass", in_block=True),
    Fault("with cm(91, False):\n    async for x in CALL:\n        yield x\n    return", in_block=True),
    Fault(
        "try:\n    raise ValueError\nexcept ValueError:\n    async for x in CALL:\n        yield x\n    return",
        in_block=True,
    ),
)
