"""Type hints: resolved, unwrapped and with their type variables filled in."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import inspect
import typing
from types import MemberDescriptorType, UnionType
from typing import Annotated, Any, ForwardRef, TypeVar, Union, get_args, get_origin

import attrs

from loom_core.values.faults import Mismatch, type_name

CONCRETE: dict[object, type] = {
    list: list,
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Iterable: list,
    abc.Collection: list,
    tuple: tuple,
    set: set,
    abc.Set: set,
    abc.MutableSet: set,
    frozenset: frozenset,
    dict: dict,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
}
"""What comes back for a hint of a collection."""

_WRAPPERS = {Annotated, typing.Final, typing.Required, typing.NotRequired, getattr(typing, "ReadOnly", Annotated)}


@attrs.frozen(kw_only=True)
class Field:
    """A field of a class. ``argument`` is its name in the constructor, None if the constructor does not take it."""

    name: str
    hint: Any
    argument: str | None
    required: bool


def bare(hint: Any) -> Any:
    """Return a hint without NewType, Annotated, Final, type variables around it; unions are ``typing.Union``."""
    while True:
        if get_origin(hint) in _WRAPPERS:
            hint = get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif isinstance(hint, TypeVar):
            hint = hint.__bound__ or (Union[hint.__constraints__] if hint.__constraints__ else object)  # noqa: UP007 - made of a tuple
        elif isinstance(hint, UnionType):
            return Union[get_args(hint)]  # noqa: UP007 - made of a tuple; since Python 3.14 both spellings are one
        elif hint is None:
            return type(None)
        elif hint is Any or hint is inspect.Parameter.empty:
            return object
        else:
            return hint


def alias_value(hint: Any) -> Any:
    """Return what a ``type X = …`` alias stands for, None if the hint is no such alias."""
    return getattr(hint, "__value__", None) if type(hint).__name__ == "TypeAliasType" else None


def class_fields(hint: Any) -> tuple[Field, ...]:
    """Return the fields of an attrs class, a dataclass or a NamedTuple, or of one with its parameters given."""
    cls = get_origin(hint) or hint
    hints, variables = field_hints(cls), type_variables(hint)

    def hint_of(name: str, declared: object) -> Any:
        return fill(hints.get(name, object if declared is None else declared), variables)

    if attrs.has(cls):
        return tuple(
            Field(
                name=each.name,
                hint=hint_of(each.name, each.type),
                argument=each.alias if each.init else None,
                required=each.default is attrs.NOTHING,
            )
            for each in attrs.fields(cls)
        )
    if dataclasses.is_dataclass(cls):
        nothing = dataclasses.MISSING
        return tuple(
            Field(
                name=each.name,
                hint=hint_of(each.name, each.type),
                argument=each.name if each.init else None,
                required=each.default is nothing and each.default_factory is nothing,
            )
            for each in dataclasses.fields(cls)
        )
    defaults = cls._field_defaults
    return tuple(
        Field(name=name, hint=hint_of(name, None), argument=name, required=name not in defaults) for name in cls._fields
    )


def field_hints(cls: type, *, extras: bool = False) -> dict[str, Any]:
    """Return a class's annotations with forward references resolved; raises ``Mismatch`` if one cannot be."""
    try:
        return typing.get_type_hints(cls, include_extras=extras)
    except NameError as unresolved:
        try:
            # A class made inside a function knows itself only by name.
            return typing.get_type_hints(cls, localns={cls.__name__: cls}, include_extras=extras)
        except NameError:
            raise _unresolved(cls, unresolved) from unresolved
    except (TypeError, AttributeError, SyntaxError) as broken:
        raise _unresolved(cls, broken) from broken


def type_variables(hint: Any) -> dict[Any, Any]:
    """Return what the type variables of a generic class and of its bases stand for in ``hint``."""
    cls = get_origin(hint) or hint
    found: dict[Any, Any] = dict(zip(getattr(cls, "__parameters__", ()), get_args(hint), strict=False))
    for base in getattr(cls, "__orig_bases__", ()):
        if get_origin(base) not in (None, typing.Generic):
            inherited = type_variables(base)
            found |= {variable: fill(argument, found) for variable, argument in inherited.items()}
    return found


def fill(hint: Any, variables: dict[Any, Any]) -> Any:
    """Return the hint with its type variables replaced."""
    if isinstance(hint, TypeVar):
        return variables.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(variables.get(each, bare(each)) for each in parameters)]


def runs_user_code(cls: type, fields: tuple[Field, ...]) -> bool:
    """Whether making an instance may do anything but set the fields; in doubt it may."""
    if any(each.argument is None for each in fields) or any(_is_property(cls, each.name) for each in fields):
        return True
    new, init = inspect.getattr_static(cls, "__new__"), inspect.getattr_static(cls, "__init__")
    if hasattr(cls, "__parameters__") or type(cls) is not type or new is not inspect.getattr_static(object, "__new__"):
        return True
    filename = init.__code__.co_filename if inspect.isfunction(init) else ""
    if attrs.has(cls):
        hooked = hasattr(cls, "__attrs_post_init__") or hasattr(cls, "__attrs_pre_init__")
        return (
            hooked
            or not filename.startswith("<attrs generated")
            or any(each.converter is not None or each.validator is not None for each in attrs.fields(cls))
        )
    # More than the fields are class variables, which do no harm, or InitVars, which are not kept.
    init_vars = len(getattr(cls, "__dataclass_fields__", fields)) != len(fields)
    return init_vars or hasattr(cls, "__post_init__") or filename != "<string>"


def unresolved_name(hint: Any) -> str | None:
    """Return the name of a forward reference that nothing resolves any more, None if the hint is none."""
    if isinstance(hint, str):
        return hint
    return hint.__forward_arg__ if isinstance(hint, ForwardRef) else None


def is_typeddict(hint: Any) -> bool:
    """Whether the hint is a TypedDict, of ``typing`` or of ``typing_extensions``."""
    return isinstance(hint, type) and issubclass(hint, dict) and hasattr(hint, "__required_keys__")


def is_namedtuple(hint: Any) -> bool:
    """Whether the hint is a NamedTuple or made by ``collections.namedtuple``."""
    return isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")


def _is_property(cls: type, name: str) -> bool:
    found = inspect.getattr_static(cls, name, None)
    return hasattr(type(found), "__set__") and not isinstance(found, MemberDescriptorType)


def _unresolved(cls: type, reason: Exception) -> Mismatch:
    return Mismatch(
        f"a hint of {type_name(cls)} cannot be resolved: {reason}",
        hint="import the type where the class is defined, not under TYPE_CHECKING, and define it at module level",
    )
