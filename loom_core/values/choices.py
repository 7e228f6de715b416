"""Values out of a fixed set: enums and ``Literal``."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, Flag
from typing import Any

from loom_core.values.faults import Mismatch, expected, type_name
from loom_core.values.form import KIND_OF, Form, json_name
from loom_core.values.scalars import NATIVES


def enum_form(cls: type[Enum]) -> Form:
    """The members' values where all are str or int, else their names; flags as their int."""
    if issubclass(cls, Flag):
        return _flag_form(cls)
    by_value = len({type(each.value) for each in cls}) == 1 and all(type(each.value) in (str, int) for each in cls)
    texts = {each.name: each.value if by_value else each.name for each in cls}
    members = {(type(text), text): cls[name] for name, text in texts.items()}
    name = type_name(cls)

    def write(value: Any) -> Any:
        if type(value) is not cls:
            raise expected(name, value)
        return texts[value._name_]

    def read(data: Any) -> Any:
        found = members.get((type(data), data)) if type(data) in NATIVES else None
        if found is None:
            raise Mismatch(f"{data!r:.80} is not one of {name}: {_listed([text for _, text in members])}")
        return found

    return Form(
        name=name,
        head=f"enum {name} {texts!r}",
        types=frozenset({cls}),
        kinds=frozenset(KIND_OF[kind] for kind, _ in members),
        write=write,
        read=read,
    )


def literal_form(values: tuple[Any, ...], enum_of: Callable[[type[Enum]], Form]) -> Form:
    """The values themselves; enum members as their enum is written."""
    pairs = [(value, _literal_data(value, enum_of)) for value in values]
    data_of = {(type(value), value): data for value, data in pairs}
    value_of = {(type(data), data): value for value, data in pairs}
    if len(data_of) != len(value_of):
        raise Mismatch(f"two values of Literal[{_listed(values)}] have the same form in JSON")
    name = f"Literal[{_listed(values)}]"
    types = frozenset(type(value) for value in values)

    def write(value: Any) -> Any:
        if type(value) not in types:
            raise expected(name, value)
        if (type(value), value) not in data_of:
            raise Mismatch(f"{value!r:.80} is not one of {name}")
        return data_of[type(value), value]

    def read(data: Any) -> Any:
        if type(data) not in NATIVES:
            raise Mismatch(f"expected {name}, found {json_name(data)}")
        if (type(data), data) not in value_of:
            raise Mismatch(f"{data!r:.80} is not one of {name}")
        return value_of[type(data), data]

    return Form(
        name=name,
        head=f"literal {sorted(map(repr, data_of))}",
        types=types,
        kinds=frozenset(KIND_OF[kind] for kind, _ in value_of),
        write=write,
        read=read,
        identity=types <= frozenset(NATIVES),
    )


def _literal_data(value: Any, enum_of: Callable[[type[Enum]], Form]) -> Any:
    if isinstance(value, Enum):
        return enum_of(type(value)).writer()(value)
    if type(value) in NATIVES:
        return value
    raise Mismatch(f"Literal[{value!r}] cannot be stored", hint="use str, int, bool, None or enum members")


def _flag_form(cls: type[Flag]) -> Form:
    name = type_name(cls)

    def write(value: Any) -> int:
        if type(value) is not cls:
            raise expected(name, value)
        return int(value.value)

    def read(data: Any) -> Flag:
        if type(data) is not int:
            raise Mismatch(f"expected {name} as int, found {json_name(data)}")
        try:
            found = cls(data)
        except ValueError as refusal:
            raise Mismatch(f"{data} is not a {name}") from refusal
        if type(found) is not cls or found.value != data:
            raise Mismatch(f"{data} is not a {name}")
        return found

    return Form(
        name=name,
        head=f"flag {name} {[(each.name, each.value) for each in cls]!r}",
        types=frozenset({cls}),
        kinds=frozenset({"int"}),
        write=write,
        read=read,
    )


def _listed(values: Any) -> str:
    return ", ".join(repr(value) for value in values)[:200]
