"""From a rewritten definition to a function with the globals, cells, defaults and names of the original."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from types import CellType, CodeType, FunctionType

from loom_core.tailcalls.rewrite import OWN, PLAIN, UNREADABLE
from loom_core.tailcalls.source import FUTURE_FLAGS, Definition, Function, Scope, quiet
from loom_core.tailcalls.walking import statements

# What reading the function's name, and the defaults of what it refers to, may raise.
UNREADABLE_ERRORS = (NameError, AttributeError, LookupError, TypeError)
_PYTEST_NAME = "@pytest_ar"


class CannotCompile(Exception):
    """The source is not what runs, or the loop is too deeply nested for Python."""

    def __init__(self, reason: str, instead: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.instead = instead


def make_function(
    fn: FunctionType, definition: Definition, rewritten: Function, extra: Mapping[str, object] | None = None
) -> FunctionType:
    """Return ``rewritten`` as a function that differs from ``fn`` in its code and its private cells only.

    The private cells are OWN, PLAIN, UNREADABLE and those of ``extra``, of which the code may use any.
    Raises ``CannotCompile`` unless the definition compiles to exactly what ``fn`` runs: otherwise the source was edited
    since, or something rewrote it.
    """
    check_source(fn, definition)
    own = CellType()
    private = {OWN: own, PLAIN: CellType(fn), UNREADABLE: CellType(UNREADABLE_ERRORS)}
    private |= {name: CellType(value) for name, value in (extra or {}).items()}
    new = with_cells(fn, compile_in_scopes(fn.__code__, definition, rewritten, tuple(private)), private)
    new.__defaults__, new.__kwdefaults__ = fn.__defaults__, fn.__kwdefaults__
    functools.update_wrapper(new, fn)
    own.cell_contents = new
    return new


def check_source(fn: FunctionType, definition: Definition) -> None:
    """Raise ``CannotCompile`` unless the definition compiles to exactly what ``fn`` runs."""
    # pytest's rewritten assertions differ from the source in nothing but the text of their message.
    if not _same(definition.code, fn.__code__) and _PYTEST_NAME not in fn.__code__.co_names:
        raise CannotCompile(
            "the source is not what runs: the file was edited after its import, or an import hook rewrote it",
            "start again with the file as it is now, or keep the hook away from this file",
        )


def with_cells(fn: FunctionType, code: CodeType, private: Mapping[str, CellType]) -> FunctionType:
    """Return ``code`` as a function with the globals, the names and the cells of ``fn``, and private cells besides."""
    cells = {**dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)), **private}
    closure = tuple(cells[name] for name in code.co_freevars)
    new = FunctionType(code, fn.__globals__, fn.__name__, None, closure)
    new.__qualname__, new.__module__ = fn.__qualname__, fn.__module__
    return new


def compile_in_scopes(
    code: CodeType, definition: Definition, rewritten: Function, private: Collection[str] = ()
) -> CodeType:
    """Compile ``rewritten`` where the function stands: in scopes of the same names that bind its free variables.

    Only the code object is taken; nothing of the scopes is ever executed. Its free variables are those of ``code``, and
    the ``private`` names that it uses.
    """
    outermost, depth = _in_scopes(code, definition, rewritten, private)
    module = ast.Module(body=[outermost], type_ignores=[])
    try:
        # Filters are changed only where there is something to keep still about: all threads share them.
        with quiet() if definition.warned else nullcontext():
            flags = code.co_flags & FUTURE_FLAGS
            looping: CodeType = compile(module, definition.path, "exec", flags=flags, dont_inherit=True)
    except (SyntaxError, RecursionError, MemoryError) as error:
        reason = f"as a loop the function does not compile: {error}"
        raise CannotCompile(reason, "nest less: move inner blocks into a function of their own") from error
    for _ in range(depth):
        looping = next(one for one in looping.co_consts if isinstance(one, CodeType))
    if set(looping.co_freevars) - set(private) != set(code.co_freevars):
        reason = "as a loop the function would see other variables than it does now"
        raise CannotCompile(reason, "move the function to the top of its module")
    return looping


def _in_scopes(
    code: CodeType, definition: Definition, rewritten: Function, private: Collection[str]
) -> tuple[Function | ast.ClassDef, int]:
    """Return the outermost scope, and how deep in it the function is. Each scope holds nothing but the next one."""
    at, scopes = definition.node, definition.scopes
    # The innermost function binds what is free. A scope declares global what it does in the source, so that names are
    # looked up, and spelled in qualified names, alike.
    free = [*code.co_freevars, *private]
    innermost = max((index for index, scope in enumerate(scopes) if not isinstance(scope, ast.ClassDef)), default=-1)
    child: Function | ast.ClassDef = _bare(rewritten)
    for index, scope in reversed(list(enumerate(scopes))):
        declaration = _globals(child, at) if child.name in _declared_global(scope) else []
        inner: list[ast.stmt] = [*declaration, child]
        if isinstance(scope, ast.ClassDef):
            child = ast.ClassDef(name=scope.name, bases=[], keywords=[], body=inner, decorator_list=[])
        else:
            child = _function(scope.name, free if index == innermost else [], inner, at)
        ast.copy_location(child, at)
    if innermost >= 0:
        return child, len(scopes) + 1
    return _function("@module", free, [*_globals(child, at), child], at), len(scopes) + 2


def _declared_global(scope: Scope) -> frozenset[str]:
    return frozenset(name for one in statements(scope.body) if isinstance(one, ast.Global) for name in one.names)


def _globals(child: Function | ast.ClassDef, at: ast.AST) -> list[ast.stmt]:
    return [ast.copy_location(ast.Global(names=[child.name]), at)]


def _function(name: str, parameters: list[str], body: list[ast.stmt], at: ast.AST) -> Function:
    arguments = _arguments(parameters, at)
    new = ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=[], returns=None)
    return ast.copy_location(new, at)


def _bare(node: Function) -> Function:
    """Return the definition without what its own scope does not contain: defaults, annotations.

    Decorators are replaced by constants rather than dropped: the function's first line is that of its first decorator.
    """
    arguments = node.args
    bare = ast.arguments(
        posonlyargs=[_unannotated(one) for one in arguments.posonlyargs],
        args=[_unannotated(one) for one in arguments.args],
        vararg=_unannotated(arguments.vararg) if arguments.vararg is not None else None,
        kwonlyargs=[_unannotated(one) for one in arguments.kwonlyargs],
        kw_defaults=[None for _ in arguments.kwonlyargs],
        kwarg=_unannotated(arguments.kwarg) if arguments.kwarg is not None else None,
        defaults=[],
    )
    decorators: list[ast.expr] = [ast.copy_location(ast.Constant(value=None), one) for one in node.decorator_list]
    new = ast.AsyncFunctionDef(name=node.name, args=bare, body=node.body, decorator_list=decorators, returns=None)
    return ast.copy_location(new, node)


def _unannotated(argument: ast.arg) -> ast.arg:
    return ast.copy_location(ast.arg(arg=argument.arg, annotation=None), argument)


def _arguments(names: list[str], at: ast.AST) -> ast.arguments:
    arguments = [ast.copy_location(ast.arg(arg=name, annotation=None), at) for name in names]
    return ast.arguments(posonlyargs=[], args=arguments, kwonlyargs=[], kw_defaults=[], defaults=[])


def _same(one: CodeType, other: CodeType) -> bool:
    if len(one.co_consts) != len(other.co_consts):
        return False
    facts = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_exceptiontable", "co_firstlineno")
    return all(getattr(one, fact) == getattr(other, fact) for fact in facts) and all(
        _same_constant(left, right) for left, right in zip(one.co_consts, other.co_consts, strict=True)
    )


def _same_constant(one: object, other: object) -> bool:
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return _same(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same_constant, one, other))
    if isinstance(one, float | complex):  # where `==` takes 0.0 for -0.0, and no NaN for itself
        return type(one) is type(other) and repr(one) == repr(other)
    return type(one) is type(other) and one == other
