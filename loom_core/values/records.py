"""Classes with named fields: attrs classes, dataclasses and NamedTuples, as JSON objects.

Reading is by functions that cattrs generates for each class; writing is by functions generated here, because cattrs
writes what it is given where Loom must refuse what is not exactly as hinted.
"""

from __future__ import annotations

import keyword
from typing import Any, TypeVar, get_args, get_origin

import attrs
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn_from_attrs

from loom_core.values.children import strangers
from loom_core.values.faults import Mismatch, expected, type_name
from loom_core.values.form import Form, Hook, json_name
from loom_core.values.hints import Field, runs_user_code

Fields = tuple[tuple[Field, Form], ...]


def open_record(hint: Any) -> Form:
    """Return the form of a class without its fields, so that the fields may refer to it."""
    cls = get_origin(hint) or hint
    arguments = f"[{', '.join(type_name(each) for each in get_args(hint))}]" if get_args(hint) else ""
    return Form(
        name=type_name(cls) + arguments,
        head="",
        types=frozenset({cls}),
        kinds=frozenset({"object"}),
        record=True,
    )


def close_record(form: Form, hint: Any, fields: Fields) -> None:
    """Give a class's form its fields."""
    cls = get_origin(hint) or hint
    stored = tuple((field, part) for field, part in fields if field.argument is not None)
    form.head = f"class {form.name}({','.join(field.name for field, _ in stored)})"
    form.parts = tuple(part for _, part in stored)
    form.proof = runs_user_code(cls, tuple(field for field, _ in fields))
    form.write = _writer(cls, form.name, stored, frozenset(field.name for field, _ in fields))
    form.read = _reader(cls, form.name, stored)


def _writer(cls: type, name: str, stored: Fields, known: frozenset[str]) -> Hook:
    scope: dict[str, Any] = {"Mismatch": Mismatch, "cls": cls}
    lines = [
        "def write(value):",
        "  if type(value) is not cls: raise refused(value)",
        *(["  if len(value.__dict__) != size: check(value)"] if getattr(cls, "__dictoffset__", 0) else []),
        "  at = ''",
        "  try:",
    ]
    for number, (field, part) in enumerate(stored):
        got = f"v{number}"
        plain = field.name.isidentifier() and not keyword.iskeyword(field.name)
        scope[f"n{number}"], scope[f"w{number}"] = part.native, part.writer()
        lines += [
            f"    at = {field.name!r}",
            f"    {got} = {f'value.{field.name}' if plain else f'getattr(value, {field.name!r})'}",
            f"    {got} = {got} if type({got}) is n{number} else w{number}({got})"
            if part.native is not None
            else f"    {got} = w{number}({got})",
        ]
    items = ", ".join(f"{field.name!r}: v{number}" for number, (field, _) in enumerate(stored))
    lines += [
        "  except Mismatch as fault: raise fault.under(at)",
        "  except AttributeError: raise Mismatch('has no value').under(at) from None",
        f"  return {{{items}}}",
    ]

    def refused(value: object) -> Mismatch:
        if isinstance(value, cls):
            found = type_name(type(value))
            hint = f"hint it as a union: {name} | {found}"
            return Mismatch(f"expected {name}, found {found}, a subclass of it", hint=hint)
        return expected(name, value)

    def check(value: object) -> None:
        lost = strangers(value, known)
        if lost:
            raise Mismatch(f"the attribute `{lost[0]}` is not a field and would be lost", hint="declare it as a field")

    scope |= {"refused": refused, "check": check, "size": len(known)}
    # The source is made of field names, quoted, and of nothing else from outside.
    exec(compile("\n".join(lines), f"<written by loom for {name}>", "exec"), scope)  # noqa: S102
    write: Hook = scope["write"]
    return write


class _ByForm(Converter):
    """A converter that takes forms for types, so that cattrs uses Loom's strict hooks and nothing of its own."""

    def get_structure_hook(self, type: Any, cache_result: bool = True) -> Any:
        """Return what reads the field whose type is this form."""
        del cache_result
        reader = type.reader()
        return lambda data, _form: reader(data)


def _reader(cls: type, name: str, stored: Fields) -> Hook:
    # cattrs wants attrs attributes, of any of the three kinds of class; a throw-away class is the public way to them.
    shims: dict[str, Any] = {
        field.name: attrs.field(
            default=attrs.NOTHING if field.required else None,
            type=part,  # type: ignore[call-overload]
            alias=field.argument,
            kw_only=True,
        )
        for field, part in stored
    }
    shim = attrs.make_class("Fields", shims, init=False, repr=False, eq=False)
    build: Any = make_dict_structure_fn_from_attrs(
        list(attrs.fields(shim)),
        cls,
        _ByForm(),
        {each.__name__: object for each in getattr(cls, "__parameters__", ()) if isinstance(each, TypeVar)},
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=True,
        _cattrs_use_linecache=False,
    )

    def read(data: Any) -> Any:
        if type(data) is not dict:
            raise Mismatch(f"expected {name}, found {json_name(data)}")
        try:
            return build(data, cls)
        except ClassValidationError as faults:
            raise _first_fault(faults, name) from faults

    return read


def _first_fault(faults: ClassValidationError, name: str) -> Mismatch:
    in_fields, others = faults.group_exceptions()
    for fault, note in in_fields:
        if isinstance(fault, Mismatch):
            # One exception passes all levels and would carry their notes along: the next level's is not the first.
            fault.__notes__.clear()
            return fault.under(note.name)
        if isinstance(fault, KeyError):
            return Mismatch(f"{name} has no `{note.name}` here", hint="give the field a default to read older states")
        if isinstance(fault, RecursionError):
            raise fault
    fault = others[0]
    if isinstance(fault, ForbiddenExtraKeysError):
        unknown = ", ".join(f"`{key}`" for key in sorted(fault.extra_fields))
        return Mismatch(f"{name} does not know {unknown}")
    return Mismatch(f"{name} refuses it: {type(fault).__name__}: {fault}")
