"""From a rewritten definition to a function with the globals, cells, defaults and names of the original."""

from __future__ import annotations

import ast
import functools
from types import CellType, CodeType, FunctionType

from loom_core.tailcalls.rewrite import OWN, PLAIN, UNREADABLE
from loom_core.tailcalls.source import FUTURE_FLAGS, Definition, Function, Scope

# What reading the function's name, and the defaults of what it refers to, may raise.
_UNREADABLE_ERRORS = (NameError, AttributeError, LookupError, TypeError)
_PYTEST_NAME = "@pytest_ar"


class CannotCompile(Exception):
    """The source is not what runs, or the loop is too deeply nested for Python."""

    def __init__(self, reason: str, instead: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.instead = instead


def make_function(fn: FunctionType, definition: Definition, rewritten: Function) -> FunctionType:
    """Return ``rewritten`` as a function that differs from ``fn`` in its code and three private cells only.

    Raises ``CannotCompile`` unless the definition compiles to exactly what ``fn`` runs: otherwise the source was edited
    since, or something rewrote it.
    """
    # pytest's rewritten assertions differ from the source in nothing but the text of their message.
    if not _same(definition.code, fn.__code__) and _PYTEST_NAME not in fn.__code__.co_names:
        raise CannotCompile(
            "the source is not what runs: the file was edited after its import, or an import hook rewrote it",
            "start again with the file as it is now, or keep the hook away from this file",
        )
    looping = _compile(fn.__code__, definition, rewritten)
    own = CellType()
    cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
    cells |= {OWN: own, PLAIN: CellType(fn), UNREADABLE: CellType(_UNREADABLE_ERRORS)}
    closure = tuple(cells[name] for name in looping.co_freevars)
    new = FunctionType(looping, fn.__globals__, fn.__name__, fn.__defaults__, closure)
    new.__kwdefaults__ = fn.__kwdefaults__
    functools.update_wrapper(new, fn)
    own.cell_contents = new
    return new


def _compile(code: CodeType, definition: Definition, rewritten: Function) -> CodeType:
    """Compile the loop where the function stands: in scopes of the same names that bind its free variables.

    Only the code object is taken; nothing of the scopes is ever executed.
    """
    module = ast.Module(body=[_in_scopes(code, definition, rewritten)], type_ignores=[])
    try:
        looping: CodeType = compile(
            module, definition.path, "exec", flags=code.co_flags & FUTURE_FLAGS, dont_inherit=True
        )
    except (SyntaxError, RecursionError, MemoryError) as error:
        reason = f"as a loop the function does not compile: {error}"
        raise CannotCompile(reason, "nest less: move inner blocks into a function of their own") from error
    for _ in range(max(1, len(definition.scopes)) + 1):
        looping = next(one for one in looping.co_consts if isinstance(one, CodeType))
    if set(looping.co_freevars) - {OWN, PLAIN, UNREADABLE} != set(code.co_freevars):
        reason = "as a loop the function would see other variables than it does now"
        raise CannotCompile(reason, "move the function to the top of its module")
    return looping


def _in_scopes(code: CodeType, definition: Definition, rewritten: Function) -> ast.stmt:
    node = definition.node
    inner: list[ast.stmt] = [_bare(rewritten)]
    # What is no free variable of the function is a global to it, although the scopes below bind names.
    bound = sorted({node.name, *(scope.name for scope in definition.scopes)} - set(code.co_freevars))
    if bound:
        inner.insert(0, ast.copy_location(ast.Global(names=bound), node))
    names = [scope.name for scope in definition.scopes] or ["@module"]
    kinds: list[type[Scope]] = [type(scope) for scope in definition.scopes] or [ast.FunctionDef]
    free = [*code.co_freevars, OWN, PLAIN, UNREADABLE]
    for name, kind in reversed(list(zip(names, kinds, strict=True))):
        if kind is ast.ClassDef:
            around: ast.stmt = ast.ClassDef(name=name, bases=[], keywords=[], body=inner, decorator_list=[])
        else:
            arguments = _arguments(free, node)
            around = ast.FunctionDef(name=name, args=arguments, body=inner, decorator_list=[], returns=None)
        nested: list[ast.stmt] = [ast.copy_location(around, node)]
        inner, free = nested, []
    return inner[0]


def _bare(node: Function) -> Function:
    """Return the definition without what its own scope does not contain: defaults, annotations.

    Decorators are replaced by constants rather than dropped: the function's first line is that of its first decorator.
    """
    arguments = node.args
    bare = ast.arguments(
        posonlyargs=[_unannotated(one) for one in arguments.posonlyargs],
        args=[_unannotated(one) for one in arguments.args],
        kwonlyargs=[_unannotated(one) for one in arguments.kwonlyargs],
        kw_defaults=[None for _ in arguments.kwonlyargs],
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
    return type(one) is type(other) and one == other
