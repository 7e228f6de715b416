"""The signature of a tool's function: parameters with shapes, and how bound arguments are passed to it."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Coroutine, Mapping
from difflib import get_close_matches
from typing import Any

import attrs

from loom_core.contracts.tools import ToolContext
from loom_core.errors import ToolArgumentsInvalid, ValueNotEncodable
from loom_core.tools.errors import ToolDefinitionError
from loom_core.tools.shapes import Definitions, Schema, Shape, Shapes, Unsupported

_Kind = inspect._ParameterKind
_RESERVED = "idempotency_key"
_EMPTY = inspect.Parameter.empty


@attrs.frozen(kw_only=True)
class ToolParameter:
    """A parameter that a caller gives. ``default`` is ``inspect.Parameter.empty`` where it must be given."""

    name: str
    hint: Any
    shape: Shape
    kind: _Kind
    default: Any


@attrs.frozen(kw_only=True)
class ToolSignature:
    """What a function takes. ``context`` is the name of the parameter that is given the ``ToolContext``, if any.

    ``returns`` is the hint of the result; a missing one means JSON values.
    """

    tool: str
    parameters: Mapping[str, ToolParameter]
    context: inspect.Parameter | None
    returns: Any

    def schema(self, descriptions: Mapping[str, str]) -> Schema:
        """Return the JSON Schema (draft 2020-12) of the arguments."""
        defs: Definitions = {}
        properties: dict[str, object] = {}
        extra = False
        for parameter in self.parameters.values():
            if parameter.kind is _Kind.VAR_KEYWORD:
                extra = True
                continue
            found = parameter.shape.schema(defs)
            if parameter.kind is _Kind.VAR_POSITIONAL:
                found = {"type": "array", "items": found}
            if parameter.name in descriptions and "description" not in found:
                found = {**found, "description": descriptions[parameter.name]}
            default = _default_data(parameter)
            if default is not _EMPTY:
                found = {**found, "default": default}
            properties[parameter.name] = found
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": extra}
        required = [one.name for one in self.parameters.values() if _is_required(one)]
        if required:
            schema["required"] = required
        if defs:
            schema["$defs"] = defs
        return schema

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, object]:
        """Return the arguments by name, structured; raises ``ToolArgumentsInvalid`` with every fault there is."""
        faults: list[str] = []
        given = self._by_name(args, kwargs, faults)
        bound: dict[str, object] = {}
        for name, value in given.items():
            parameter = self._parameter(name)
            if parameter is None:
                faults.append(self._unknown(name))
                continue
            before = len(faults)
            if parameter.kind is _Kind.VAR_POSITIONAL:
                bound[name] = self._read_many(parameter, value, faults)
            else:
                bound[name] = parameter.shape.read(value, name, faults)
            if len(faults) == before and not parameter.shape.exact:
                self._check_stored_form(name, bound[name], faults)
        missing = [one.name for one in self.parameters.values() if _is_required(one) and one.name not in given]
        faults.extend(f"{name}: missing" for name in missing)
        if faults:
            raise ToolArgumentsInvalid(self.tool, tuple(faults))
        return bound

    def encode(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Return bound arguments as JSON data; raises ``ValueNotEncodable``."""
        return {name: self._encode_one(name, value) for name, value in arguments.items()}

    def call(self, fn: Callable[..., object], arguments: Mapping[str, object], context: ToolContext) -> object:
        """Call the function with bound arguments; where none is given, its own defaults apply."""
        positional: list[object] = []
        by_name = dict(arguments)
        for parameter in self.parameters.values():
            if parameter.kind is _Kind.POSITIONAL_ONLY:
                positional.append(by_name.pop(parameter.name, parameter.default))
            elif parameter.kind is _Kind.VAR_POSITIONAL:
                rest = by_name.pop(parameter.name, ())
                if rest:
                    positional += self._before_star(by_name)
                    positional += rest  # type: ignore[arg-type]
        if self.context is not None:
            by_name[self.context.name] = context
        return fn(*positional, **by_name)

    def _before_star(self, by_name: dict[str, object]) -> list[object]:
        """Values after `*` can be passed only if everything before them is passed by position."""
        before = [one for one in self.parameters.values() if one.kind is _Kind.POSITIONAL_OR_KEYWORD]
        return [by_name.pop(one.name, one.default) for one in before]

    def _by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
        positional = [one.name for one in self.parameters.values() if one.kind in _POSITIONAL]
        star = next((one.name for one in self.parameters.values() if one.kind is _Kind.VAR_POSITIONAL), None)
        given: dict[str, Any] = dict(zip(positional, args, strict=False))
        if len(args) > len(positional):
            if star is not None:
                given[star] = list(args[len(positional) :])
            else:
                faults.append(f"{len(args)} positional arguments given, at most {len(positional)} are taken")
        for name, value in kwargs.items():
            if name in given:
                faults.append(f"{name}: given twice, by position and by name")
            given[name] = value
        return given

    def _parameter(self, name: str) -> ToolParameter | None:
        found = self.parameters.get(name)
        if found is not None and found.kind is not _Kind.VAR_KEYWORD:
            return found
        if self.context is not None and name == self.context.name:
            return None
        return next((one for one in self.parameters.values() if one.kind is _Kind.VAR_KEYWORD), None)

    def _unknown(self, name: str) -> str:
        close = get_close_matches(name, self.parameters, n=1)
        return f"{name}: there is no such argument" + (f"; did you mean `{close[0]}`?" if close else "")

    def _read_many(self, parameter: ToolParameter, values: Any, faults: list[str]) -> Any:
        if type(values) not in (list, tuple):
            faults.append(f"{parameter.name}: expected list, found {type(values).__name__}")
            return None
        name = parameter.name
        return [parameter.shape.read(one, f"{name}[{index}]", faults) for index, one in enumerate(values)]

    def _check_stored_form(self, name: str, value: object, faults: list[str]) -> None:
        try:
            self._encode_one(name, value)
        except ValueNotEncodable as error:
            faults.append(str(error))

    def _encode_one(self, name: str, value: object) -> object:
        from loom_core.values import codec_for

        parameter = self._parameter(name)
        hint = object if parameter is None or parameter.kind is _Kind.VAR_POSITIONAL else parameter.hint
        return codec_for(hint, what=name).to_data(value)


_POSITIONAL = (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD)
_VARIABLE = (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD)


def signature_of(
    tool: str, fn: Callable[..., object], local_names: Mapping[str, object], *, untyped: bool
) -> ToolSignature:
    """Return the signature of ``fn``; raises ``ToolDefinitionError`` that names the parameter at fault.

    ``local_names`` resolves forward references to classes of the function around. With ``untyped``, parameters without
    a hint take any JSON value, and ``*args`` and ``**kwargs`` are taken.
    """
    resolve = _Resolver(tool, fn, local_names)
    shapes = Shapes()
    parameters: dict[str, ToolParameter] = {}
    context: inspect.Parameter | None = None
    signature = _python_signature(tool, fn)
    for one in signature.parameters.values():
        if one.name == _RESERVED:
            reason = f"a parameter cannot be named `{_RESERVED}`, which is an argument of `ctx.call_tool` itself"
            raise ToolDefinitionError(tool, reason, hint="take a `ToolContext`: its `key` is the idempotency key")
        hint = resolve.hint(f"parameter `{one.name}`", one.name, one.annotation)
        if _is_context(hint):
            if context is not None or one.kind not in (_Kind.POSITIONAL_OR_KEYWORD, _Kind.KEYWORD_ONLY):
                raise ToolDefinitionError(tool, f"parameter `{one.name}`: one plain parameter takes the `ToolContext`")
            context = one
            continue
        _check_kind(tool, one, untyped=untyped)
        if one.default is None and hint is not object:
            hint = typing.Optional[hint]  # noqa: UP045 - `|` does not take every kind of hint
        shape = _shape(tool, f"parameter `{one.name}`", shapes, hint)
        parameters[one.name] = ToolParameter(name=one.name, hint=hint, shape=shape, kind=one.kind, default=one.default)
    returns = resolve.hint("the result", "return", signature.return_annotation)
    returns = _awaited(returns)
    _check_codec(tool, "the result", returns)
    return ToolSignature(tool=tool, parameters=parameters, context=context, returns=returns)


class _Resolver:
    """Evaluates annotations one at a time, so that the one at fault can be named."""

    def __init__(self, tool: str, fn: Callable[..., object], local_names: Mapping[str, object]) -> None:
        inner = inspect.unwrap(fn)
        inner = getattr(inner, "func", inner)
        inner = getattr(inner, "__func__", inner)
        if not hasattr(inner, "__globals__"):
            inner = getattr(type(inner), "__call__", inner)  # noqa: B004 - the function is wanted, not whether it is there
        self._tool = tool
        self._globals: dict[str, Any] = getattr(inner, "__globals__", {})
        self._locals = dict(local_names)

    def hint(self, what: str, name: str, annotation: Any) -> Any:
        if annotation is _EMPTY:
            return object
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            return typing.get_type_hints(holder, self._globals, self._locals, include_extras=True)[name]
        except Exception as error:
            raise ToolDefinitionError(
                self._tool,
                f"{what}: its hint {annotation!r} cannot be resolved: {error}",
                hint="import the type at the top of the module, not under TYPE_CHECKING",
            ) from error


def _python_signature(tool: str, fn: Callable[..., object]) -> inspect.Signature:
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError) as error:
        raise ToolDefinitionError(tool, f"its parameters cannot be found out: {error}", hint="write a `def`") from error


def _check_kind(tool: str, parameter: inspect.Parameter, *, untyped: bool) -> None:
    if untyped:
        return
    if parameter.kind in _VARIABLE:
        star = "*" if parameter.kind is _Kind.VAR_POSITIONAL else "**"
        reason = f"parameter `{star}{parameter.name}` cannot be described to a model"
        raise ToolDefinitionError(tool, reason, hint="name every parameter, or take a list or a dict")
    if parameter.annotation is _EMPTY:
        reason = f"parameter `{parameter.name}` has no type hint"
        raise ToolDefinitionError(tool, reason, hint=f"write `{parameter.name}: str`, or whatever it is")


def _shape(tool: str, what: str, shapes: Shapes, hint: Any) -> Shape:
    try:
        shape = shapes.of(hint)
    except (Unsupported, TypeError) as error:
        raise ToolDefinitionError(
            tool,
            f"{what}: not supported: {error}",
            hint="use JSON types, Literal, an Enum, a dataclass, an attrs class or a TypedDict",
        ) from error
    _check_codec(tool, what, hint)
    return shape


def _check_codec(tool: str, what: str, hint: Any) -> None:
    from loom_core.values import codec_for

    try:
        codec_for(hint, what=what)
    except ValueNotEncodable as error:
        raise ToolDefinitionError(tool, str(error), hint=error.hint) from error


def _is_context(hint: Any) -> bool:
    return hint is ToolContext or ToolContext in typing.get_args(hint)


def _awaited(hint: Any) -> Any:
    """Return what a hint of an awaitable, on a function that is not async, stands for in the end."""
    import collections.abc as abc

    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (abc.Awaitable, abc.Coroutine) and arguments:
        return arguments[-1]
    return object if hint in (abc.Awaitable, abc.Coroutine, Coroutine) else hint


def _is_required(parameter: ToolParameter) -> bool:
    return parameter.default is _EMPTY and parameter.kind not in _VARIABLE


def _default_data(parameter: ToolParameter) -> object:
    """Return the default as JSON data; a sentinel that JSON does not know is none for a model."""
    from loom_core.values import codec_for

    if parameter.default is _EMPTY:
        return _EMPTY
    try:
        return codec_for(parameter.hint, what=parameter.name).to_data(parameter.default)
    except ValueNotEncodable:
        return _EMPTY
