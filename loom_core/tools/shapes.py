"""From a type hint to its shape: the JSON Schema that a model sees, and the strict reading of what it sends.

Both sides of a shape are made from the same hint at the same place, so that a schema never promises what reading
refuses. A value that is already of the hinted type is read as itself: tools are called by code as well as by models.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, Flag
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import attrs

Schema = dict[str, object]
Definitions = dict[str, Schema]
Read = Callable[[Any, str, list[str]], Any]


class Unsupported(Exception):
    """A hint that has no shape; the message names it."""


@attrs.define(eq=False)
class Shape:
    """One hint, compiled.

    ``schema`` returns its JSON Schema and adds what refers to itself to the definitions it is given. ``read`` takes a
    value, its path and a list of faults; it returns the structured value, or anything at all after adding a fault.
    ``exact`` says that whatever ``read`` accepts is sure to have a stored form.
    """

    name: str
    schema: Callable[[Definitions], Schema]
    read: Read
    exact: bool = False


def expected(name: str, value: object, path: str) -> str:
    """Return the fault of a value of another type."""
    found = "None" if value is None else type(value).__name__
    return f"{path}: expected {name}, found {found}"


class Shapes:
    """Compiles the hints of one tool; classes are compiled once, since they may contain themselves."""

    def __init__(self) -> None:
        self.classes: dict[object, Shape] = {}

    def of(self, hint: Any) -> Shape:
        """Return the shape of a hint; raises ``Unsupported``."""
        from loom_core.values import hints

        if get_origin(hint) is Annotated:
            return _described(self.of(get_args(hint)[0]), get_args(hint)[1:])
        hint = hints.bare(hint)
        alias = hints.alias_value(hint)
        if alias is not None:
            return self.of(alias)
        origin = get_origin(hint) or hint
        if origin is object:
            return Shape("anything", lambda _: {}, lambda value, _path, _faults: value)
        if hint in _JSON_TYPES:
            return _json_shape(hint)
        if hint in _TEXT_FORMATS:
            return _text_shape(hint)
        if origin is Literal:
            return _choice(get_args(hint), ", ".join(map(repr, get_args(hint))), None)
        if origin is Union:
            return self._union(get_args(hint))
        if isinstance(origin, type) and issubclass(origin, Enum):
            return _enum(origin)
        if origin in hints.CONCRETE:
            return self._collection(hints.CONCRETE[origin], get_args(hint))
        from loom_core.tools.records import record_shape

        return record_shape(self, hint)

    def _union(self, arguments: tuple[Any, ...]) -> Shape:
        arms = [self.of(argument) for argument in arguments]
        # An integer is a float to a tool that takes nothing else, but not where it may stay what it is.
        tried = sorted(arms, key=lambda arm: arm.name == "float")
        name = " or ".join(arm.name for arm in arms)

        def read(value: Any, path: str, faults: list[str]) -> Any:
            closest: list[str] = []
            for arm in tried:
                found: list[str] = []
                result = arm.read(value, path, found)
                if not found:
                    return result
                # Faults inside an arm say more than that the whole is none of the arms.
                if not any(fault.startswith(f"{path}: expected") for fault in found):
                    closest = closest or found
            faults.extend(closest or [expected(name, value, path)])
            return None

        return Shape(name, lambda defs: {"anyOf": [arm.schema(defs) for arm in arms]}, read, all(a.exact for a in arms))

    def _collection(self, kind: type, arguments: tuple[Any, ...]) -> Shape:
        if kind is dict:
            return self._mapping(*(arguments or (str, object)))
        if kind is tuple and arguments and (len(arguments) != 2 or arguments[1] is not Ellipsis):
            return self._fixed_tuple(tuple(argument for argument in arguments if argument != ()))
        item = self.of(arguments[0] if arguments else object)
        unique = kind in (set, frozenset)
        taken = (list, tuple, set, frozenset) if unique else (list, tuple)

        def read(value: Any, path: str, faults: list[str]) -> Any:
            if type(value) not in taken:
                faults.append(expected("list", value, path))
                return None
            before = len(faults)
            items = [item.read(one, f"{path}[{index}]", faults) for index, one in enumerate(value)]
            if len(faults) > before:
                return None
            if not unique:
                return kind(items)
            return _unique(kind, items, path, faults)

        def schema(defs: Definitions) -> Schema:
            found: Schema = {"type": "array", "items": item.schema(defs)}
            return {**found, "uniqueItems": True} if unique else found

        return Shape(f"list of {item.name}", schema, read, item.exact)

    def _fixed_tuple(self, arguments: tuple[Any, ...]) -> Shape:
        parts = [self.of(argument) for argument in arguments]

        def read(value: Any, path: str, faults: list[str]) -> Any:
            if type(value) not in (list, tuple):
                faults.append(expected("list", value, path))
                return None
            if len(value) != len(parts):
                faults.append(f"{path}: expected {len(parts)} items, found {len(value)}")
                return None
            pairs = enumerate(zip(parts, value, strict=True))
            return tuple(part.read(one, f"{path}[{index}]", faults) for index, (part, one) in pairs)

        def schema(defs: Definitions) -> Schema:
            sizes: Schema = {"minItems": len(parts), "maxItems": len(parts), "items": False}
            items = [part.schema(defs) for part in parts]
            return {"type": "array", **({"prefixItems": items} if items else {}), **sizes}

        return Shape("list", schema, read, all(part.exact for part in parts))

    def _mapping(self, key: Any, value_hint: Any) -> Shape:
        keys, values = self.of(key), self.of(value_hint)
        if keys.name != "str":
            raise Unsupported(f"a dict with keys of {keys.name}: the keys of a JSON object are str")

        def read(value: Any, path: str, faults: list[str]) -> Any:
            if type(value) is not dict:
                faults.append(expected("dict", value, path))
                return None
            for one in value:
                keys.read(one, f"{path} (key {one!r:.40})", faults)
            return {one: values.read(item, f"{path}.{one}", faults) for one, item in value.items()}

        return Shape(
            "dict", lambda defs: {"type": "object", "additionalProperties": values.schema(defs)}, read, values.exact
        )


def _described(shape: Shape, metadata: tuple[Any, ...]) -> Shape:
    """Add the first text in ``Annotated`` as description; other metadata is for others."""
    text = next((one for one in metadata if isinstance(one, str)), None)
    if text is None:
        return shape
    return attrs.evolve(shape, schema=lambda defs: {**shape.schema(defs), "description": text})


_JSON_TYPES: dict[object, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def _json_shape(kind: type) -> Shape:
    name = "None" if kind is type(None) else kind.__name__

    def read(value: Any, path: str, faults: list[str]) -> Any:
        found: type = type(value)
        if kind is float and found is int:
            try:
                return float(value)
            except OverflowError:
                faults.append(f"{path}: the number is too large for a float")
                return None
        if found is not kind:
            faults.append(expected(name, value, path))
        elif kind is float and not math.isfinite(value):
            faults.append(f"{path}: {value} is no JSON number")
        elif kind is str and not _is_text(value):
            faults.append(f"{path}: the text holds half a character (a lone surrogate)")
        return value

    return Shape(name, lambda _: {"type": _JSON_TYPES[kind]}, read, exact=True)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


_TEXT_FORMATS: dict[object, Schema] = {
    dt.datetime: {"format": "date-time"},
    dt.date: {"format": "date"},
    dt.time: {"format": "time"},
    dt.timedelta: {"format": "duration"},
    UUID: {"format": "uuid"},
    Decimal: {},
    Path: {},
    bytes: {"contentEncoding": "base64"},
}


def _text_shape(kind: type) -> Shape:
    """Return the shape of a type that JSON writes as text, in the same form in which values are stored."""

    def read(value: Any, path: str, faults: list[str]) -> Any:
        if isinstance(value, kind) and (kind is not dt.date or type(value) is dt.date):
            return value
        if type(value) is not str:
            faults.append(expected(f"{kind.__name__} as str", value, path))
            return None
        from loom_core.errors import ValueNotDecodable
        from loom_core.values import codec_for

        try:
            return codec_for(kind, what=path).from_data(value)
        except ValueNotDecodable as error:
            faults.append(f"{path}: {error.reason}")
            return None

    return Shape(kind.__name__, lambda _: {"type": "string", **_TEXT_FORMATS[kind]}, read)


def _choice(values: tuple[Any, ...], name: str, convert: Callable[[Any], Any] | None) -> Shape:
    for one in values:
        if type(one) not in (str, int, bool, type(None)):
            raise Unsupported(f"the choice {one!r:.40}, which is no JSON value")

    def read(value: Any, path: str, faults: list[str]) -> Any:
        for one in values:
            if type(one) is type(value) and one == value:
                return convert(value) if convert is not None else value
        shown = repr(value) if type(value) in (str, int, bool) else type(value).__name__
        faults.append(f"{path}: expected one of {name}, found {shown:.60}")
        return None

    return Shape(f"one of {name}", lambda _: {"enum": list(values)}, read, exact=convert is None)


def _enum(kind: type[Enum]) -> Shape:
    if issubclass(kind, Flag):
        raise Unsupported(f"{kind.__name__}: a Flag is a set of members; use a list of an Enum")
    members = {member.value: member for member in kind}
    choice = _choice(tuple(members), ", ".join(map(repr, members)), members.__getitem__)

    def read(value: Any, path: str, faults: list[str]) -> Any:
        return value if type(value) is kind else choice.read(value, path, faults)

    return attrs.evolve(choice, read=read)


def _unique(kind: type, items: list[Any], path: str, faults: list[str]) -> Any:
    try:
        found = kind(items)
    except TypeError:
        faults.append(f"{path}: the items of a set must be hashable")
        return None
    if len(found) != len(items):
        faults.append(f"{path}: an item stands twice")
    return found
