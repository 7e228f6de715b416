"""Objects that bring their own shape: TypedDicts, and pydantic models by duck type."""

from __future__ import annotations

from typing import Any

from loom_core.values.faults import Mismatch, expected, type_name
from loom_core.values.form import EVERY_KIND, Form, json_name


def open_typeddict(cls: Any) -> Form:
    """Return the form of a TypedDict without its keys, so that the keys' types may refer to it."""
    return Form(name=type_name(cls), head="", types=frozenset({dict}), kinds=frozenset({"object"}))


def close_typeddict(form: Form, keys: dict[str, Form], required: frozenset[str]) -> None:
    """Give a TypedDict's form its keys. The order in which a value has them is kept."""
    name = form.name
    optional = ",".join(key for key in keys if key not in required)
    form.head = f"typeddict {name}({','.join(keys)}; {optional})"
    form.parts = tuple(keys.values())
    writers = {key: part.writer() for key, part in keys.items()}
    readers = {key: part.reader() for key, part in keys.items()}

    def each(hooks: dict[str, Any], mapping: dict[Any, Any]) -> dict[str, Any]:
        missing = required - mapping.keys()
        if missing:
            raise Mismatch(f"{name} has no `{min(missing)}` here")
        out: dict[str, Any] = {}
        for key, value in mapping.items():
            if type(key) is not str or key not in hooks:
                raise Mismatch(f"{name} does not know the key {key!r:.80}")
            try:
                out[key] = hooks[key](value)
            except Mismatch as fault:
                raise fault.under(key)  # noqa: B904 - the same exception, one level further up
        return out

    def write(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise expected(name, value)
        return each(writers, value)

    def read(data: Any) -> dict[str, Any]:
        if type(data) is not dict:
            raise Mismatch(f"expected {name}, found {json_name(data)}")
        return each(readers, data)

    form.write, form.read = write, read


def is_model(cls: object) -> bool:
    """Whether a class is a model in the manner of pydantic 2."""
    parts = ("model_dump", "model_validate", "model_fields")
    return isinstance(cls, type) and all(hasattr(cls, name) for name in parts)


def model_form(cls: Any) -> Form:
    """What ``model_dump(mode="json")`` gives and ``model_validate`` takes; always proved by decoding."""
    name = type_name(cls)
    fields = {key: repr(getattr(field, "annotation", None)) for key, field in cls.model_fields.items()}

    def write(value: Any) -> Any:
        if type(value) is not cls:
            raise expected(name, value)
        try:
            return value.model_dump(mode="json", by_alias=True, round_trip=True)
        except Exception as refusal:  # a border: validators and serialisers are the user's
            raise Mismatch(f"{name}.model_dump failed: {type(refusal).__name__}: {refusal}") from refusal

    def read(data: Any) -> Any:
        try:
            return cls.model_validate(data)
        except Exception as refusal:  # a border: validators are the user's
            raise Mismatch(f"{name}.model_validate refuses it: {refusal}") from refusal

    return Form(
        name=name,
        head=f"model {name} {fields!r}",
        types=frozenset({cls}),
        kinds=EVERY_KIND if "root" in fields else frozenset({"object"}),
        write=write,
        read=read,
        proof=True,
    )
