"""Unions: plain where the JSON itself tells the members apart, tagged with ``$type`` where it does not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs

from loom_core.values.faults import Mismatch, type_name
from loom_core.values.form import KIND_OF, Form, Hook, Kind, json_name

TAG = "$type"
_NONE = type(None)


@attrs.frozen
class _Member:
    form: Form
    tag: str | None
    write: Hook
    read: Hook


def union_form(forms: tuple[Form, ...]) -> Form:
    """A value of any of the members; comes back as a value of the member that it was written by."""
    members = _members(forms)
    name = " | ".join(form.name for form in forms)
    by_type: dict[type, list[_Member]] = {}
    by_kind: dict[Kind, list[_Member]] = {}
    for member in members:
        for kind in member.form.types:
            by_type.setdefault(kind, []).append(member)
        for json_kind in member.form.kinds if member.tag is None else ():
            by_kind.setdefault(json_kind, []).append(member)
    by_tag = {member.tag: member for member in members if member.tag is not None}
    write_by_type = {kind: _first_of([each.write for each in found], name) for kind, found in by_type.items()}
    read_by_kind = {kind: _first_of([each.read for each in found], name) for kind, found in by_kind.items()}

    def write(value: Any) -> Any:
        hook = write_by_type.get(type(value))
        if hook is None:
            raise Mismatch(f"expected {name}, found {type_name(type(value))}")
        return hook(value)

    def read(data: Any) -> Any:
        if by_tag and type(data) is dict:
            tag = data.get(TAG)
            if type(tag) is not str or tag not in by_tag:
                known = ", ".join(map(repr, by_tag))
                raise Mismatch(f"expected an object with `{TAG}` of {known}; found {tag!r:.80} there")
            return by_tag[tag].read(data)
        hook = read_by_kind.get(KIND_OF.get(type(data)))  # type: ignore[arg-type]
        if hook is None:
            raise Mismatch(f"expected {name}, found {json_name(data)}")
        return hook(data)

    plain = [member.form for member in members if member.tag is None]
    natives = [form.native for form in plain if form.native not in (None, _NONE)]
    return Form(
        name=name,
        head="union " + ",".join(sorted(str(member.tag) for member in members)),
        types=frozenset().union(*(form.types for form in forms)),
        kinds=frozenset().union(*(form.kinds for form in plain), {"object"} if by_tag else ()),
        write=write,
        read=read,
        native=natives[0] if natives else None,
        identity=all(form.identity for form in forms),
        parts=tuple(sorted(forms, key=lambda form: form.name)),
    )


def _members(forms: tuple[Form, ...]) -> list[_Member]:
    tagged = [_needs_tag(form, forms) for form in forms]
    if any(tagged):
        # An object without a tag could hold the tag's key and be taken for another.
        tagged = [need or "object" in form.kinds for need, form in zip(tagged, forms, strict=True)]
    names = Counter(form.name for form, need in zip(forms, tagged, strict=True) if need)
    tags = [
        _tag(form, ambiguous=names[form.name] > 1) if need else None for form, need in zip(forms, tagged, strict=True)
    ]
    twice = next((tag for tag, count in Counter(tags).items() if tag is not None and count > 1), None)
    if twice is not None:
        raise Mismatch(f"two members of a union are called {twice}", hint="give one of the classes another name")
    return [_member(form, tag) for form, tag in zip(forms, tags, strict=True)]


def _needs_tag(form: Form, forms: tuple[Form, ...]) -> bool:
    if form.identity:
        return False
    others = [other for other in forms if other is not form]
    if form.record and any(_NONE not in other.types for other in others):
        return True
    return any(form.kinds & other.kinds for other in others)


def _tag(form: Form, *, ambiguous: bool) -> str:
    if not ambiguous:
        return form.name
    return f"{'|'.join(sorted(kind.__module__ for kind in form.types))}.{form.name}"


def _member(form: Form, tag: str | None) -> _Member:
    write, read = form.writer(), form.reader()
    if tag is None:
        return _Member(form, None, write, read)
    if form.record:
        return _Member(
            form,
            tag,
            lambda value: {TAG: tag, **write(value)},
            lambda data: read({key: each for key, each in data.items() if key != TAG}),
        )

    def read_wrapped(data: Any) -> Any:
        if data.keys() != {TAG, "value"}:
            raise Mismatch(f"expected exactly `{TAG}` and `value` for {tag}")
        return read(data["value"])

    return _Member(form, tag, lambda value: {TAG: tag, "value": write(value)}, read_wrapped)


def _first_of(hooks: list[Hook], name: str) -> Hook:
    if len(hooks) == 1:
        return hooks[0]

    def first(value: Any) -> Any:
        for hook in hooks:
            try:
                return hook(value)
            except Mismatch:
                continue
        raise Mismatch(f"expected {name}; no member takes this {type_name(type(value))}")

    return first
