"""A cattrs converter that converts nothing: a value has the type that is asked for, or it is a fault."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import BaseValidationError, IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn

from loom_core.config.secrets import without_secrets

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
_KINDS = {
    bool: "a truth value",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
}

Structure = Callable[[object, object], object]


class Mismatch(ValueError):
    """A value that is not of the type its place asks for."""

    def __init__(self, expected: str, value: object) -> None:
        self.without_value = f"must be {expected}, not {_KINDS.get(type(value), type(value).__name__)}"
        self.value = value
        super().__init__(self.without_value + _quoted(value))


@cache
def strict_converter() -> Converter:
    """Return the converter; one is enough, it keeps no values."""
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    for type_ in (bool, int, float, str, Path):
        converter.register_structure_hook(type_, _exact(type_))
    converter.register_structure_hook_factory(_is_enum, _enum_hook)
    converter.register_structure_hook_factory(_is_literal, _literal_hook)
    converter.register_structure_hook_factory(is_union, lambda type_: _union_hook(converter, type_))
    converter.register_structure_hook_factory(is_sequence, lambda type_: _sequence_hook(converter, type_))
    converter.register_structure_hook_factory(is_mapping, lambda type_: _mapping_hook(converter, type_))
    converter.register_structure_hook_factory(attrs.has, lambda type_: _class_hook(converter, type_))
    return converter


def accepts(type_: type, value: object) -> bool:
    """Return whether a plain value is of a plain type: a whole number is a number, a truth value is not."""
    if type_ is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if type_ is Path:
        return isinstance(value, str)
    return type(value) is type_


def words(type_: Any) -> str:
    """Return a type in words, for messages."""
    if get_origin(type_) is Literal:
        return "one of " + ", ".join(repr(arg) for arg in get_args(type_))
    if isinstance(type_, type) and issubclass(type_, Enum):
        return "one of " + ", ".join(repr(member.value) for member in type_)
    if is_union(type_):
        return " or ".join(words(arg) for arg in get_args(type_) if arg is not types.NoneType)
    if is_sequence(type_):
        return "a list"
    return _WORDS.get(type_, "a table")


def _quoted(value: object) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return ""
    # Before it is cut: a password must not lose the `@` that it is known by.
    shown = repr(without_secrets(value) if isinstance(value, str) else value)
    return f" ({shown if len(shown) <= 40 else shown[:39] + '…'})"


def _exact(type_: type) -> Structure:
    def structure(value: object, _type: object) -> object:
        if not accepts(type_, value):
            raise Mismatch(_WORDS[type_], value)
        if type_ is Path:
            return Path(str(value)).expanduser()
        return float(value) if type_ is float else value  # type: ignore[arg-type]

    return structure


def _is_enum(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Enum)


def _is_literal(type_: Any) -> bool:
    return get_origin(type_) is Literal


def is_union(type_: Any) -> bool:
    """Return whether a type is a union, ``Optional`` included."""
    return get_origin(type_) in (Union, types.UnionType)


def is_sequence(type_: Any) -> bool:
    """Return whether a type is a list, tuple, set or alike."""
    origin = get_origin(type_) or type_
    return origin in (list, tuple, set, frozenset) or getattr(origin, "__name__", "") in ("Sequence", "Collection")


def is_mapping(type_: Any) -> bool:
    """Return whether a type is a table with free keys."""
    origin = get_origin(type_) or type_
    return origin is dict or getattr(origin, "__name__", "") in ("Mapping", "MutableMapping")


def _enum_hook(type_: Any) -> Structure:
    def structure(value: object, _type: object) -> object:
        for member in type_:
            if member.value == value and type(member.value) is type(value):
                return member
        raise Mismatch(words(type_), value)

    return structure


def _literal_hook(type_: Any) -> Structure:
    def structure(value: object, _type: object) -> object:
        if not any(value == arg and type(value) is type(arg) for arg in get_args(type_)):
            raise Mismatch(words(type_), value)
        return value

    return structure


def _union_hook(converter: Converter, type_: Any) -> Structure:
    arms = [arg for arg in get_args(type_) if arg is not types.NoneType]

    def structure(value: object, _type: object) -> object:
        if value is None and len(arms) < len(get_args(type_)):
            return None
        if len(arms) == 1:
            return converter.structure(value, arms[0])
        # A whole number given for ``float | int`` stays one: exact arms come first.
        for arm in sorted(arms, key=lambda arm: arm is not type(value)):
            try:
                return converter.structure(value, arm)
            except (Mismatch, BaseValidationError):
                continue
        raise Mismatch(words(type_), value)

    return structure


def _sequence_hook(converter: Converter, type_: Any) -> Structure:
    origin = get_origin(type_) or type_
    args = get_args(type_)
    container = origin if origin in (list, tuple, set, frozenset) else tuple
    is_fixed = origin is tuple and args and args[-1] is not Ellipsis

    def structure(value: object, _type: object) -> object:
        if not isinstance(value, list | tuple):
            raise Mismatch("a list", value)
        if is_fixed and len(value) != len(args):
            raise Mismatch(f"a list of {len(args)} items", value)
        types_ = args if is_fixed else [args[0] if args else Any] * len(value)
        pairs = _each(converter, type_, zip(range(len(value)), value, types_, strict=True))
        return container(item for _, item in pairs)

    return structure


def _mapping_hook(converter: Converter, type_: Any) -> Structure:
    args = get_args(type_)
    inner = args[1] if len(args) == 2 else Any

    def structure(value: object, _type: object) -> object:
        if not isinstance(value, dict):
            raise Mismatch("a table", value)
        return dict(_each(converter, type_, ((key, item, inner) for key, item in value.items())))

    return structure


def _each(converter: Converter, type_: Any, items: Iterable[tuple[Any, object, Any]]) -> list[tuple[Any, object]]:
    """Structure every item, so that every fault is found; each is noted with its place, as cattrs notes it."""
    done: list[tuple[Any, object]] = []
    faults: list[Exception] = []
    for place, item, item_type in items:
        try:
            done.append((place, converter.structure(item, item_type)))
        except (ValueError, TypeError, BaseValidationError) as fault:
            fault.add_note(IterableValidationNote(f"at {place}", place, item_type))
            faults.append(fault)
    if faults:
        raise IterableValidationError(f"while structuring {type_}", faults, type_)
    return done


def _class_hook(converter: Converter, type_: Any) -> Structure:
    structure_table = make_dict_structure_fn(
        type_, converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True
    )

    def structure(value: object, _type: object) -> object:
        if not isinstance(value, dict):
            raise Mismatch("a table", value)
        return structure_table(value, type_)

    return structure
