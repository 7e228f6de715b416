"""The smallest value that fits a JSON Schema, for requests that ask the mock for structured answers."""

from __future__ import annotations

from collections.abc import Mapping

DEEPEST = 32


def sample(schema: Mapping[str, object]) -> object:
    """Return a value that fits ``schema`` in its commonly used parts; patterns and formats are not looked at.

    The same schema always gives the same value. References are followed inside the document, to a depth of 32.
    """
    return _sample(schema, schema, DEEPEST)


def _sample(schema: object, root: Mapping[str, object], depth: int) -> object:
    if not isinstance(schema, Mapping) or depth == 0:
        return None
    if "const" in schema:
        return schema["const"]
    for choices in (schema.get("enum"), schema.get("examples")):
        if isinstance(choices, list) and choices:
            return choices[0]
    if isinstance(reference := schema.get("$ref"), str):
        return _sample(_referred(reference, root), root, depth - 1)
    for union in (schema.get("anyOf"), schema.get("oneOf"), schema.get("allOf")):
        if isinstance(union, list) and union:
            return _sample(union[0], root, depth - 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, object], root: Mapping[str, object], depth: int) -> object:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "string":
        return "a" * max(1, _whole(schema.get("minLength")))
    if kind in ("integer", "number"):
        return _whole(schema.get("minimum"))
    if kind == "boolean":
        return False
    if kind == "array":
        return [_sample(schema.get("items", {}), root, depth - 1)] * _whole(schema.get("minItems"))
    if kind == "object" or "properties" in schema:
        return _object(schema, root, depth)
    return None


def _object(schema: Mapping[str, object], root: Mapping[str, object], depth: int) -> dict[str, object]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, Mapping) or not isinstance(required, list):
        return {}
    return {name: _sample(properties.get(name, {}), root, depth - 1) for name in required}


def _referred(reference: str, root: Mapping[str, object]) -> object:
    found: object = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        if name:
            found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def _whole(value: object) -> int:
    return -int(-value // 1) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0
