"""From a function back to its definition in the source."""

from __future__ import annotations
import __future__ as future

import ast
import linecache
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import CodeType, FunctionType

import attrs

FUTURE_FLAGS = sum(getattr(future, name).compiler_flag for name in future.all_feature_names)
_Key = tuple[int, str]
Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


@attrs.frozen(kw_only=True)
class Definition:
    """Where a function is written. The nodes are shared between callers and must not be changed.

    ``scopes`` are the enclosing functions and classes, the outermost first; ``code`` is what the definition compiles
    to where it stands.
    """

    node: Function
    scopes: tuple[Scope, ...]
    path: str
    lines: tuple[str, ...]
    code: CodeType

    def line(self, number: int) -> str:
        """Return the text of a line, counted from 1, without its end."""
        return self.lines[number - 1] if number <= len(self.lines) else ""


def definition_of(fn: FunctionType) -> Definition | None:
    """Return the definition of ``fn``, None if there is no source or nothing in it fits."""
    code = fn.__code__
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename, fn.__globals__))
    if not text:
        return None
    module = _parsed(text, code.co_flags & FUTURE_FLAGS)
    key = (code.co_firstlineno, code.co_name)
    if module is None or key not in module.functions or key not in module.codes:
        return None
    node, scopes = module.functions[key]
    return Definition(node=node, scopes=scopes, path=code.co_filename, lines=module.lines, code=module.codes[key])


@attrs.frozen(kw_only=True)
class _Module:
    lines: tuple[str, ...]
    functions: Mapping[_Key, tuple[Function, tuple[Scope, ...]]]
    codes: Mapping[_Key, CodeType]


# A module's functions are decorated one after the other while it is imported: a few parsed files are enough, and each
# decoration after the first costs no parsing.
@lru_cache(maxsize=4)
def _parsed(text: str, future_flags: int) -> _Module | None:
    flags = future_flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as notebooks do
    try:
        tree = compile(text, "<source>", "exec", flags=flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        code = compile(tree, "<source>", "exec", flags=flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _Module(
        lines=tuple(text.split("\n")),
        functions={_key(node): (node, scopes) for node, scopes in _functions(tree, ())},
        codes={(one.co_firstlineno, one.co_name): one for one in _codes(code)},
    )


def _key(node: Function) -> _Key:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first, node.name


def _functions(node: ast.AST, scopes: tuple[Scope, ...]) -> Iterator[tuple[Function, tuple[Scope, ...]]]:
    pending = [(node, scopes)]
    while pending:
        parent, around = pending.pop()
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.expr):
                continue
            if isinstance(child, Function):
                yield child, around
            pending.append((child, (*around, child) if isinstance(child, Scope) else around))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes(inner)
