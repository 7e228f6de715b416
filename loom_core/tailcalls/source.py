"""From a function back to its definition in the source."""

from __future__ import annotations
import __future__ as future

import ast
import inspect
import linecache
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    to where it stands. ``plain`` text is the same to Python as it is to us: lines end where we end them, and a name has
    one spelling. ``warned`` is True if Python warns of something in the file, as it did at its import.
    """

    node: Function
    scopes: tuple[Scope, ...]
    path: str
    lines: tuple[str, ...]
    plain: bool
    warned: bool
    code: CodeType

    def may_mention(self, root: ast.AST, word: str) -> bool:
        """Return whether ``word`` may occur in the text of ``root``; False is certain."""
        first, last = getattr(root, "lineno", None), getattr(root, "end_lineno", None)
        if first is None or last is None or not self.plain:
            return True
        return any(word in line for line in self.lines[first - 1 : last])

    def mentions(self, *words: str) -> bool:
        """Return whether one of ``words`` may occur in the text of the definition; False is certain."""
        return any(self.may_mention(self.node, word) for word in words)

    def line(self, number: int) -> str:
        """Return the text of a line, counted from 1, without its end."""
        return self.lines[number - 1] if number <= len(self.lines) else ""


def definition_of(fn: FunctionType) -> Definition | None:
    """Return the definition of ``fn``, None if there is no source or nothing in it fits.

    Raises ``RecursionError`` where the file nests too deeply to be read.
    """
    code = fn.__code__
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, fn.__globals__) or _typed_in(fn)
    if not lines:
        return None
    module = _parsed(_Text(lines), code.co_flags & FUTURE_FLAGS)
    key = (code.co_firstlineno, code.co_name)
    return None if module is None else module.definition(key, code.co_filename)


def _typed_in(fn: FunctionType) -> list[str]:
    """Return the source of what was typed at a prompt or given by ``-c``; Python keeps it from 3.13 on."""
    try:
        return inspect.findsource(fn)[0]
    except (OSError, TypeError):
        return []


def definitions_in(text: str, path: str) -> list[Definition]:
    """Return every function that is written in ``text``, in source order, without executing anything.

    Raises ``SyntaxError`` or ``ValueError`` where the text is not Python.
    """
    module = _read(text, 0)
    found = (module.definition(key, path) for key in module.functions)
    return sorted((one for one in found if one is not None), key=lambda one: one.node.lineno)


@attrs.frozen(kw_only=True)
class _Module:
    lines: tuple[str, ...]
    plain: bool
    warned: bool
    functions: Mapping[_Key, tuple[Function, tuple[Scope, ...]]]
    codes: Mapping[_Key, CodeType]

    def definition(self, key: _Key, path: str) -> Definition | None:
        if key not in self.functions or key not in self.codes:
            return None
        node, scopes = self.functions[key]
        return Definition(
            node=node,
            scopes=scopes,
            path=path,
            lines=self.lines,
            plain=self.plain,
            warned=self.warned,
            code=self.codes[key],
        )


@attrs.frozen(eq=False)
class _Text:
    """The lines of a file, as ``linecache`` keeps them: the same list for as long as the file is the same."""

    lines: list[str]

    def __hash__(self) -> int:
        return id(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Text) and self.lines is other.lines


# A module's functions are decorated one after the other while it is imported: a few parsed files are enough, and each
# decoration after the first costs no parsing.
@lru_cache(maxsize=4)
def _parsed(source: _Text, future_flags: int) -> _Module | None:
    try:
        return _read("".join(source.lines), future_flags)
    except (SyntaxError, ValueError):
        return None


def _read(text: str, future_flags: int) -> _Module:
    flags = future_flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as notebooks do
    with quiet() as warned:
        tree = compile(text, "<source>", "exec", flags=flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        # The text again: from a tree, Python 3.11 compiles less deep nesting than it imports.
        code = compile(text, "<source>", "exec", flags=flags, dont_inherit=True)
    return _Module(
        lines=tuple(text.split("\n")),
        plain=text.isascii() and "\r" not in text,
        warned=bool(warned),
        functions={_key(node): (node, scopes) for node, scopes in _functions(tree, ())},
        codes={(one.co_firstlineno, one.co_name): one for one in _codes(code)},
    )


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Keep still about what Python's compiler warned of already when it compiled the module; give it as a list."""
    # One at a time: what all threads share is put back in the order in which it was changed, or it stays changed.
    with _ONE_AT_A_TIME, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield warned


_ONE_AT_A_TIME = threading.RLock()  # the collector may run code of the user's while we compile


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
