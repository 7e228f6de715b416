"""Walks over the syntax tree; they are most of what an analysis costs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def children(node: ast.AST) -> list[ast.AST]:
    """Return the child nodes in source order; a fifth of the cost of ``ast.iter_child_nodes``, which dominates else."""
    found: list[ast.AST] = []
    for name in _CHILD_FIELDS[type(node)]:
        value = getattr(node, name)
        if type(value) is list:
            found += [one for one in value if one is not None]
        elif value is not None:
            found.append(value)
    return found


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield ``node`` and all nodes below it but operators and contexts, in no particular order."""
    pending = [node]
    while pending:
        one = pending.pop()
        yield one
        pending += children(one)


_LEAVES = {"id", "attr", "arg", "name", "names", "asname", "module", "rest", "kwd_attrs", "ctx", "op", "ops", "kind"}
_LEAVES |= {"level", "simple", "is_async", "conversion", "type_comment", "type_ignores", "tag", "str"}


def _fields_with_nodes(kind: type[ast.AST]) -> tuple[str, ...]:
    if kind in (ast.Constant, ast.MatchSingleton):
        return ()
    # The name that a `type` statement assigns is a node, where all others are texts.
    named = ("name",) if kind.__name__ == "TypeAlias" else ()
    return (*named, *(name for name in kind._fields if name not in _LEAVES))


_CHILD_FIELDS: dict[type, tuple[str, ...]] = {
    kind: _fields_with_nodes(kind)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}


def statements(body: Sequence[ast.AST], *, nested: bool = False) -> Iterator[ast.AST]:
    """Yield every statement below ``body``, handlers and cases too, but no expression.

    The bodies of nested functions and classes are left out unless ``nested``.
    """
    pending: list[ast.AST] = list(body)
    while pending:
        one = pending.pop()
        yield one
        if nested or not isinstance(one, NESTED):
            for name in ("body", "orelse", "finalbody", "handlers", "cases"):
                pending += getattr(one, name, ())


def spelled(node: ast.expr) -> str:
    """Return an expression as text; an ellipsis for one that nests too deeply to be spelled."""
    try:
        return ast.unparse(node)
    except RecursionError:
        return "…"


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
