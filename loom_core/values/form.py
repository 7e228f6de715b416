"""A form: how the values of one hint are written as JSON data and read back, strictly both ways."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Literal

import attrs

from loom_core.values.faults import expected

Kind = Literal["null", "bool", "int", "float", "str", "array", "object"]
Hook = Callable[[Any], Any]

EVERY_KIND: frozenset[Kind] = frozenset({"null", "bool", "int", "float", "str", "array", "object"})
KIND_OF: dict[type, Kind] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "array",
    dict: "object",
}
_NAMES = {"null": "None", "array": "list", "object": "dict"}


@attrs.define(eq=False, kw_only=True)
class Form:
    """One hint, compiled. Mutable only while it is being compiled, since types may contain themselves.

    ``write`` takes a value and returns JSON data, ``read`` the reverse; both raise ``Mismatch`` for anything that is
    not exactly of the hinted type. ``types`` are the exact types of its values, ``kinds`` the JSON kinds that ``write``
    returns. ``native`` is a type whose values are written as they are, so that callers may skip the call.
    ``identity`` says that ``write`` and ``read`` return what they are given: such a form never needs a tag. ``record``
    marks classes, whose tag goes among their fields. ``proof`` is set where building a value runs code of the user's,
    so that only decoding can show what comes back. ``head`` and ``parts`` describe the shape for the schema hash.
    """

    name: str
    head: str
    types: frozenset[type] = frozenset()
    kinds: frozenset[Kind] = frozenset()
    write: Hook | None = None
    read: Hook | None = None
    native: type | None = None
    identity: bool = False
    record: bool = False
    proof: bool = False
    parts: tuple[Form, ...] = ()

    def writer(self) -> Hook:
        """Return ``write``, or what will call it if it is still being made."""
        return self.write if self.write is not None else lambda value: self.write(value)  # type: ignore[misc]

    def reader(self) -> Hook:
        """Return ``read``, or what will call it if it is still being made."""
        return self.read if self.read is not None else lambda data: self.read(data)  # type: ignore[misc]


def native_form(kind: type) -> Form:
    """Return the form of a type that JSON has itself, ``float`` excepted."""
    name = "None" if kind is type(None) else kind.__name__

    def exactly(value: Any) -> Any:
        if type(value) is kind:
            return value
        raise expected(name, value)

    return Form(
        name=name,
        head=name,
        types=frozenset({kind}),
        kinds=frozenset({KIND_OF[kind]}),
        write=exactly,
        read=exactly,
        native=kind,
        identity=True,
    )


def json_name(data: object) -> str:
    """Return what a datum is called in messages about stored JSON."""
    kind = KIND_OF.get(type(data), type(data).__name__)
    return _NAMES.get(kind, kind)


def reachable(root: Form) -> list[Form]:
    """Return a form and everything it is made of, each once, in a stable order."""
    found: dict[int, Form] = {}
    todo = [root]
    while todo:
        form = todo.pop()
        if id(form) not in found:
            found[id(form)] = form
            todo.extend(reversed(form.parts))
    return list(found.values())


def is_recursive(root: Form) -> bool:
    """Whether values of the form may nest without limit."""
    done: set[int] = set()

    def cyclic(form: Form, above: frozenset[int]) -> bool:
        if id(form) in above:
            return True
        if id(form) in done:
            return False
        done.add(id(form))
        return any(cyclic(part, above | {id(form)}) for part in form.parts)

    return cyclic(root, frozenset())


def shape_hash(root: Form) -> str:
    """Return 32 hexadecimal digits that change when a field is added, removed, renamed or retyped, at any depth."""
    forms = reachable(root)
    numbers = {id(form): number for number, form in enumerate(forms)}
    lines = [f"{form.head}({','.join(str(numbers[id(part)]) for part in form.parts)})" for form in forms]
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()
