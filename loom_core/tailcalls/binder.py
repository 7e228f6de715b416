"""Bind a call's arguments exactly as Python does: by a real function of the same signature that returns them.

The arguments of a tail call are given to a *binder*. It has the parameters, the names and the defaults of the function
that the recursion would have called, so that spreads, omitted arguments and every ``TypeError`` with its text are
Python's own, raised at the user's line. What it returns are the parameters' values.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from inspect import CO_VARARGS, CO_VARKEYWORDS
from types import CodeType, FunctionType

_RESULT = "@result"


def make_binder(fn: FunctionType, result: Callable[[tuple[object, ...]], object] = tuple) -> FunctionType:
    """Return a function with the signature of ``fn`` whose calls return the values of the parameters.

    They are given to ``result`` as a tuple in the order of ``parameter_names``, ``*args`` as a tuple, ``**kwargs`` as a
    dict that is new at each call. The binder has the defaults that ``fn`` has now (``follow`` brings later changes);
    it keeps no reference to ``fn``, and none to its globals.
    """
    code = _code(fn.__code__, result)
    # With globals of its own, a binder can stand among the constants of a code object, which the collector does not
    # traverse: a cycle through there would never be freed.
    binder = FunctionType(code, {_RESULT: result, "__name__": fn.__module__, "__builtins__": {}}, fn.__name__)
    follow(binder, fn)
    return binder


def call_of_binder(binder: ast.expr, call: ast.Call, receiver: str | None) -> ast.Call:
    """Return ``call`` with ``binder`` in the place of what it calls, and what Python would pass first as ``receiver``.

    A call that gives nothing but one ``*`` is made of a bound method, as it was: of what cannot be iterated over,
    Python speaks otherwise where it has an argument before it.
    """
    func, arguments = binder, list(call.args)
    if receiver is not None:
        first: ast.expr = ast.copy_location(ast.Name(id=receiver, ctx=ast.Load()), call.func)
        if len(arguments) == 1 and isinstance(arguments[0], ast.Starred):
            get = ast.copy_location(ast.Attribute(value=binder, attr="__get__", ctx=ast.Load()), call.func)
            func = ast.copy_location(ast.Call(func=get, args=[first], keywords=[]), call.func)
        else:
            arguments.insert(0, first)
    return ast.copy_location(ast.Call(func=func, args=arguments, keywords=call.keywords), call)


def follow(binder: FunctionType, fn: FunctionType) -> None:
    """Give ``binder`` the defaults and the names that ``fn`` has at this moment."""
    # Compared first: to assign defaults, even the same ones, undoes what CPython has specialised for the function.
    if binder.__defaults__ is not fn.__defaults__:
        binder.__defaults__ = fn.__defaults__
    if binder.__kwdefaults__ is not fn.__kwdefaults__:
        binder.__kwdefaults__ = fn.__kwdefaults__
    # `**` that gives an argument twice is reported with the module, everything else with the qualified name.
    binder.__name__, binder.__qualname__, binder.__module__ = fn.__name__, fn.__qualname__, fn.__module__


def parameter_names(code: CodeType) -> tuple[str, ...]:
    """Return the parameters in the order in which a frame holds them: plain, keyword-only, ``*args``, ``**kwargs``.

    Private names of a class are mangled already.
    """
    stars = bool(code.co_flags & CO_VARARGS) + bool(code.co_flags & CO_VARKEYWORDS)
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + stars]


def _code(code: CodeType, result: Callable[[tuple[object, ...]], object]) -> CodeType:
    names = parameter_names(code)
    values: ast.expr = ast.Tuple(elts=[ast.Name(id=name, ctx=ast.Load()) for name in names], ctx=ast.Load())
    if result is not tuple:
        values = ast.Call(func=ast.Name(id=_RESULT, ctx=ast.Load()), args=[values], keywords=[])
    definition = ast.FunctionDef(
        name=code.co_name,
        args=_signature(code, names),
        body=[ast.Return(value=values)],
        decorator_list=[],
        returns=None,
    )
    definition.lineno = definition.end_lineno = code.co_firstlineno
    definition.col_offset = definition.end_col_offset = 0
    ast.fix_missing_locations(definition)
    module = compile(ast.Module(body=[definition], type_ignores=[]), code.co_filename, "exec", dont_inherit=True)
    return next(one for one in module.co_consts if isinstance(one, CodeType))


def _signature(code: CodeType, names: tuple[str, ...]) -> ast.arguments:
    plain, keyword_only = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    arguments = [ast.arg(arg=name, annotation=None) for name in names]
    stars = arguments[keyword_only:]
    return ast.arguments(
        posonlyargs=arguments[: code.co_posonlyargcount],
        args=arguments[code.co_posonlyargcount : plain],
        vararg=stars.pop(0) if code.co_flags & CO_VARARGS else None,
        kwonlyargs=arguments[plain:keyword_only],
        kw_defaults=[None] * code.co_kwonlyargcount,
        kwarg=stars.pop() if code.co_flags & CO_VARKEYWORDS else None,
        defaults=[],
    )
