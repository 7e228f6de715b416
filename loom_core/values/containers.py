"""Lists, tuples, sets and dicts of other forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from loom_core.values.faults import Mismatch, expected
from loom_core.values.form import Form, Hook, json_name
from loom_core.values.text import json_text


def list_form(item: Form) -> Form:
    """A JSON array."""
    write_all, read_all = _all(item.writer()), _all(item.reader())
    native = frozenset({item.native})

    def write(value: Any) -> list[Any]:
        if type(value) is not list:
            raise expected(name, value)
        return value.copy() if native.issuperset(map(type, value)) else write_all(value)

    name = f"list[{item.name}]"
    return _array(name, "list", list, (item,), write, lambda data: read_all(_as_array(name, data)))


def tuple_form(item: Form) -> Form:
    """``tuple[X, ...]``, a JSON array."""
    write_all, read_all = _all(item.writer()), _all(item.reader())

    def write(value: Any) -> list[Any]:
        if type(value) is not tuple:
            raise expected(name, value)
        return write_all(value)

    name = f"tuple[{item.name}, ...]"
    return _array(name, "tuple*", tuple, (item,), write, lambda data: tuple(read_all(_as_array(name, data))))


def fixed_tuple_form(items: tuple[Form, ...]) -> Form:
    """``tuple[X, Y]``, a JSON array of exactly so many items."""
    writers, readers = [each.writer() for each in items], [each.reader() for each in items]
    name = f"tuple[{', '.join(each.name for each in items) or '()'}]"

    def each_with(hooks: list[Hook], values: Any) -> list[Any]:
        if len(values) != len(hooks):
            raise Mismatch(f"expected {len(hooks)} items, found {len(values)}")
        out: list[Any] = []  # its length is the index of the item that fails
        try:
            for hook, value in zip(hooks, values, strict=True):
                out.append(hook(value))
        except Mismatch as fault:
            raise fault.under(len(out))  # noqa: B904 - the same exception, one level further up
        return out

    def write(value: Any) -> list[Any]:
        if type(value) is not tuple:
            raise expected(name, value)
        return each_with(writers, value)

    def read(data: Any) -> tuple[Any, ...]:
        return tuple(each_with(readers, _as_array(name, data)))

    return _array(name, "tuple", tuple, items, write, read)


def set_form(item: Form, kind: Callable[[list[Any]], Any]) -> Form:
    """A JSON array in the order of its items' texts, so that equal sets have one text."""
    write_all, read_all = _all(item.writer()), _all(item.reader())
    label = getattr(kind, "__name__", "set")
    name = f"{label}[{item.name}]"

    def write(value: Any) -> list[Any]:
        if type(value) is not kind:
            raise expected(name, value)
        items = write_all(value)
        try:
            return sorted(items, key=json_text)
        except ValueError as refusal:
            raise Mismatch(f"an item has no form in JSON: {refusal}") from refusal

    def read(data: Any) -> Any:
        items = read_all(_as_array(name, data))
        try:
            found = kind(items)
        except TypeError as refusal:
            raise Mismatch(f"an item cannot be in a set: {refusal}") from refusal
        if len(found) != len(items):
            raise Mismatch("an item is there twice")
        return found

    return _array(name, label, kind, (item,), write, read)  # type: ignore[arg-type]


def dict_form(key: Form, value: Form) -> Form:
    """A JSON object; where keys have no one text, an array of [key, value] pairs. The order is kept."""
    name = f"dict[{key.name}, {value.name}]"
    if key.kinds == {"str"}:
        return _object(name, key, value, key.writer(), key.reader())
    if key.kinds in ({"int"}, {"bool"}, {"null"}, {"int", "float"}):
        return _object(name, key, value, _scalar_key(key.writer()), _scalar_of_key(key.reader()))
    return _pairs(name, key, value)


def _object(name: str, key: Form, value: Form, write_key: Hook, read_key: Hook) -> Form:
    write_value, read_value = value.writer(), value.reader()

    def write(mapping: Any) -> dict[str, Any]:
        if type(mapping) is not dict:
            raise expected(name, mapping)
        return _each(mapping, write_key, write_value)

    def read(data: Any) -> dict[Any, Any]:
        if type(data) is not dict:
            raise Mismatch(f"expected {name}, found {json_name(data)}")
        return _each(data, read_key, read_value)

    return Form(
        name=name,
        head="dict",
        types=frozenset({dict}),
        kinds=frozenset({"object"}),
        write=write,
        read=read,
        parts=(key, value),
    )


def _pairs(name: str, key: Form, value: Form) -> Form:
    pair = fixed_tuple_form((key, value))
    write_pair, read_pair = _all(pair.writer()), _all(pair.reader())

    def write(mapping: Any) -> list[Any]:
        if type(mapping) is not dict:
            raise expected(name, mapping)
        return write_pair(mapping.items())

    def read(data: Any) -> dict[Any, Any]:
        pairs = read_pair(_as_array(name, data))
        try:
            found = dict(pairs)
        except TypeError as refusal:
            raise Mismatch(f"a key cannot be in a dict: {refusal}") from refusal
        if len(found) != len(pairs):
            raise Mismatch("a key is there twice")
        return found

    return _array(name, "pairs", dict, (key, value), write, read)


def _each(mapping: dict[Any, Any], of_key: Hook, of_value: Hook) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    key: object = None
    try:
        for key, value in mapping.items():
            out[of_key(key)] = of_value(value)
    except Mismatch as fault:
        raise fault.under(key if isinstance(key, str | int) else str(key)[:80])  # noqa: B904 - the same exception, further up
    if len(out) != len(mapping):
        raise Mismatch("two keys are one")
    return out


def _scalar_key(write: Hook) -> Hook:
    def write_key(key: Any) -> str:
        try:
            return json_text(write(key))
        except ValueError as refusal:
            raise Mismatch(f"the key {key!r:.80} has no form in JSON") from refusal

    return write_key


def _scalar_of_key(read: Hook) -> Hook:
    def read_key(text: Any) -> Any:
        try:
            data = json.loads(text)
        except ValueError:
            data = None
        if json.dumps(data) != text:
            raise Mismatch(f"the key {text!r:.80} is not one of its type")
        return read(data)

    return read_key


def _all(hook: Hook) -> Callable[[Any], list[Any]]:
    def apply(values: Any) -> list[Any]:
        out: list[Any] = []  # its length is the index of the item that fails
        try:
            for value in values:
                out.append(hook(value))
        except Mismatch as fault:
            raise fault.under(len(out))  # noqa: B904 - the same exception, one level further up
        return out

    return apply


def _as_array(name: str, data: Any) -> list[Any]:
    if type(data) is not list:
        raise Mismatch(f"expected {name}, found {json_name(data)}")
    return data


def _array(name: str, head: str, kind: type, parts: tuple[Form, ...], write: Hook, read: Hook) -> Form:
    return Form(
        name=name, head=head, types=frozenset({kind}), kinds=frozenset({"array"}), write=write, read=read, parts=parts
    )
