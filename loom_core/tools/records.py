"""Shapes of objects with named fields: attrs classes, dataclasses and TypedDicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Required, get_origin

import attrs

from loom_core.tools.shapes import Definitions, Schema, Shape, Shapes, Unsupported, expected


@attrs.frozen
class _Field:
    """A field of an object; ``argument`` is its name in the constructor."""

    name: str
    argument: str
    shape: Shape
    required: bool


def record_shape(shapes: Shapes, hint: Any) -> Shape:
    """Return the shape of a class with fields; raises ``Unsupported`` for any other hint."""
    from loom_core.values import hints
    from loom_core.values.faults import Mismatch, type_name

    cls = get_origin(hint) or hint
    is_typeddict = hints.is_typeddict(cls)
    if not (is_typeddict or (isinstance(cls, type) and (attrs.has(cls) or dataclasses.is_dataclass(cls)))):
        raise Unsupported(f"the type {type_name(hint)}")
    if hint in shapes.classes:
        return shapes.classes[hint]
    record = _Record(cls.__name__, dict if is_typeddict else cls, _unused_name(shapes, cls.__name__))
    shape = shapes.classes[hint] = Shape(cls.__name__, record.schema, record.read)
    try:
        record.fields = _typeddict_fields(shapes, cls) if is_typeddict else _class_fields(shapes, hint)
    except Mismatch as fault:
        raise Unsupported(f"the type {type_name(hint)}: {fault.reason}") from fault
    return shape


def _unused_name(shapes: Shapes, name: str) -> str:
    same = sum(getattr(shape, "name", None) == name for shape in shapes.classes.values())
    return f"{name}_{same + 1}" if same else name


class _Record:
    """A class while and after its fields are compiled; refers to itself by name if it contains itself."""

    def __init__(self, name: str, build: Callable[..., Any], key: str) -> None:
        self.name = name
        self.build = build
        self.key = key
        self.fields: tuple[_Field, ...] = ()
        self._describing = False
        self._recursive = False

    def schema(self, defs: Definitions) -> Schema:
        if self._describing or self.key in defs:
            self._recursive = True
            return {"$ref": f"#/$defs/{self.key}"}
        self._describing = True
        try:
            properties = {field.name: field.shape.schema(defs) for field in self.fields}
        finally:
            self._describing = False
        found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [field.name for field in self.fields if field.required]
        if required:
            found["required"] = required
        if not self._recursive:
            return found
        defs[self.key] = found
        return {"$ref": f"#/$defs/{self.key}"}

    def read(self, value: Any, path: str, faults: list[str]) -> Any:
        if self.build is not dict and type(value) is self.build:
            return value
        if type(value) is not dict:
            faults.append(expected(self.name, value, path))
            return None
        before = len(faults)
        known = {field.name for field in self.fields}
        faults.extend(f"{path}.{key}: there is no such field" for key in value if key not in known)
        given: dict[str, Any] = {}
        for field in self.fields:
            if field.name in value:
                given[field.argument] = field.shape.read(value[field.name], f"{path}.{field.name}", faults)
            elif field.required:
                faults.append(f"{path}.{field.name}: missing")
        if len(faults) > before:
            return None
        try:
            return self.build(**given)
        except Exception as error:  # noqa: BLE001 - a border: validators and converters are the user's
            faults.append(f"{path}: {type(error).__name__}: {error}")
            return None


def _class_fields(shapes: Shapes, hint: Any) -> tuple[_Field, ...]:
    from loom_core.values import hints

    described = hints.field_hints(get_origin(hint) or hint, extras=True)
    generic = bool(hints.type_variables(hint))
    return tuple(
        _Field(
            name=field.name,
            argument=field.argument,
            shape=shapes.of(field.hint if generic else described.get(field.name, field.hint)),
            required=field.required,
        )
        for field in hints.class_fields(hint)
        if field.argument is not None
    )


def _typeddict_fields(shapes: Shapes, cls: Any) -> tuple[_Field, ...]:
    from loom_core.values import hints

    found = hints.field_hints(cls, extras=True)

    def required(name: str, hint: Any) -> bool:
        # Under `from __future__ import annotations` the class itself does not see Required and NotRequired.
        if get_origin(hint) is Required:
            return True
        return getattr(get_origin(hint), "_name", None) != "NotRequired" and name in cls.__required_keys__

    return tuple(_Field(name, name, shapes.of(hint), required(name, hint)) for name, hint in found.items())
