"""From a type hint to its form."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from enum import Enum
from typing import Any, Literal, Required, Union, get_args, get_origin

import attrs

from loom_core.values import containers, foreign, hints, records
from loom_core.values.choices import enum_form, literal_form
from loom_core.values.faults import Mismatch, type_name
from loom_core.values.form import EVERY_KIND, Form
from loom_core.values.plain import SCALARS, write_plain
from loom_core.values.scalars import scalar_form
from loom_core.values.unions import union_form


def form_of(hint: object) -> Form:
    """Return the form of a hint; raises ``Mismatch`` with the path of what has none."""
    return _Compiler().form(hint)


class _Compiler:
    """Compiles one hint and all that is in it; remembers classes and aliases, since they may contain themselves."""

    def __init__(self) -> None:
        self._named: dict[object, Form] = {}

    def form(self, hint: Any) -> Form:
        hint = hints.bare(hint)
        alias = hints.alias_value(hint)
        if alias is not None:
            return self._alias(hint, alias)
        if hint is object:
            return _plain_form()
        try:
            found = self._named.get(hint) or scalar_form(hint)
        except TypeError:  # a hint that cannot be hashed, such as Literal[[]]
            found = None
        return found or self._made(hint)

    def _made(self, hint: Any) -> Form:
        origin = get_origin(hint) or hint
        if origin is Literal:
            return literal_form(get_args(hint), enum_form)
        if origin is Union:
            return self._union(get_args(hint))
        if isinstance(origin, type) and issubclass(origin, Enum):
            return enum_form(origin)
        if attrs.has(origin) or dataclasses.is_dataclass(origin) or hints.is_namedtuple(origin):
            return self._record(hint)
        if hints.is_typeddict(origin):
            return self._typeddict(origin)
        if foreign.is_model(origin):
            return foreign.model_form(origin)
        if isinstance(origin, Hashable) and origin in hints.CONCRETE:
            return self._collection(hints.CONCRETE[origin], get_args(hint))
        raise _no_form(hint)

    def _alias(self, hint: Any, value: Any) -> Form:
        if hint not in self._named:
            form = self._named[hint] = Form(name=str(hint), head="")
            made = self.form(value)
            for field in attrs.fields(Form):
                setattr(form, field.name, getattr(made, field.name))
        return self._named[hint]

    def _record(self, hint: Any) -> Form:
        form = self._named[hint] = records.open_record(hint)
        parts = []
        for field in hints.class_fields(hint):
            parts.append((field, self._part(field.hint, field.name)))
        records.close_record(form, hint, tuple(parts))
        return form

    def _typeddict(self, cls: Any) -> Form:
        form = self._named[cls] = foreign.open_typeddict(cls)
        found = hints.field_hints(cls, extras=True)
        keys = {key: self._part(hint, key) for key, hint in found.items()}
        # Under ``from __future__ import annotations`` the class itself does not see its Required and NotRequired.
        required = {key for key in found if key in cls.__required_keys__}
        required |= {key for key, hint in found.items() if get_origin(hint) is Required}
        required -= {key for key, hint in found.items() if _is_not_required(hint)}
        foreign.close_typeddict(form, keys, frozenset(required))
        return form

    def _part(self, hint: Any, name: str) -> Form:
        try:
            return self.form(hint)
        except Mismatch as fault:
            raise fault.under(name)  # noqa: B904 - the same exception, one level further up

    def _union(self, arguments: tuple[Any, ...]) -> Form:
        forms = tuple(dict.fromkeys(self.form(each) for each in arguments))
        vague = next((form for form in forms if form.kinds == EVERY_KIND and form.identity), None)
        if vague is None:
            return union_form(forms)
        if all(form.identity for form in forms):
            return vague
        raise Mismatch("a union of object with a type that is not JSON data cannot be told apart again")

    def _collection(self, kind: type, arguments: tuple[Any, ...]) -> Form:
        if kind is dict:
            key, value = arguments or (str, object)
            return containers.dict_form(self.form(key), self.form(value))
        if kind is list:
            return containers.list_form(self.form(arguments[0] if arguments else object))
        if kind is tuple:
            return self._tuple(arguments or (object, ...))
        return containers.set_form(self.form(arguments[0] if arguments else object), kind)

    def _tuple(self, arguments: tuple[Any, ...]) -> Form:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return containers.tuple_form(self.form(arguments[0]))
        return containers.fixed_tuple_form(tuple(self.form(each) for each in arguments if each != ()))


def _plain_form() -> Form:
    return Form(
        name="JSON data",
        head="object",
        types=SCALARS | {list, dict},
        kinds=EVERY_KIND,
        write=write_plain,
        read=_as_it_is,
        identity=True,
    )


def _as_it_is(data: Any) -> Any:
    return data


def _is_not_required(hint: Any) -> bool:
    return getattr(get_origin(hint), "_name", None) == "NotRequired"


def _no_form(hint: Any) -> Mismatch:
    name = hints.unresolved_name(hint)
    if name is not None:
        return Mismatch(f"the forward reference {name!r} cannot be resolved", hint="define the type before its use")
    return Mismatch(
        f"the type {type_name(hint)} has no stored form",
        hint="make it an attrs class or a dataclass, or give the runner encode_state and decode_state",
    )
