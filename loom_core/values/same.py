"""Whether a value came back as it went: equal in value *and* type, all the way down."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from loom_core.values.children import field_names, strangers
from loom_core.values.faults import Mismatch, type_name

_BY_EQUALITY = (type(None), bool, int, str, bytes, UUID, PurePath, dt.timedelta)
_PYDANTIC_PARTS = ("__dict__", "__pydantic_extra__", "__pydantic_private__")


def same(went: object, came: object, *, what: str = "value") -> str | None:
    """Return None if both are the same in value and type, deeply; else a sentence that names the first difference.

    ``True`` is not ``1``, ``0.0`` is not ``-0.0``, a tuple is not a list, and dicts differ when their order does.
    """
    try:
        _compare(went, came)
    except Mismatch as fault:
        return f"{fault.path(what)}: {fault.reason}"
    return None


def compare(went: object, came: object) -> None:
    """Raise ``Mismatch`` at the first difference; see ``same``."""
    _compare(went, came)


def _compare(a: Any, b: Any) -> None:
    kind = type(a)
    if kind is not type(b):
        raise Mismatch(f"{type_name(kind)} comes back as {type_name(type(b))}")
    if isinstance(a, Enum):
        _require(a is b or a == b, a, b)
    elif isinstance(a, dict):
        _compare_dicts(a, b)
    elif isinstance(a, list | tuple):
        _compare_sequences(a, b)
    elif isinstance(a, set | frozenset):
        _compare_sets(a, b)
    elif isinstance(a, float | dt.datetime | dt.time | dt.date | Decimal):
        # ``==`` takes zeros of both signs, folds and trailing zeros for equal; the literal forms do not.
        _require(repr(a) == repr(b), a, b)
    elif names := field_names(kind):
        _compare_fields(a, b, names)
    elif hasattr(kind, "__pydantic_validator__"):
        for part in _PYDANTIC_PARTS:
            _compare(getattr(a, part, None), getattr(b, part, None))
    elif isinstance(a, _BY_EQUALITY):
        _require(a == b, a, b)
    else:
        _require(a is b or bool(a == b), a, b)


def _require(equal: bool, a: object, b: object) -> None:
    if not equal:
        raise Mismatch(f"{a!r:.80} comes back as {b!r:.80}")


def _compare_sequences(a: Any, b: Any) -> None:
    if len(a) != len(b):
        raise Mismatch(f"{len(a)} items come back as {len(b)}")
    for index, (one, other) in enumerate(zip(a, b, strict=True)):
        try:
            _compare(one, other)
        except Mismatch as fault:
            raise fault.under(index)  # noqa: B904 - the same exception, one level further up


def _compare_dicts(a: Any, b: Any) -> None:
    if len(a) != len(b):
        raise Mismatch(f"{len(a)} keys come back as {len(b)}")
    for (key, one), (other_key, other) in zip(a.items(), b.items(), strict=True):
        try:
            _compare(key, other_key)
            _compare(one, other)
        except Mismatch as fault:
            raise fault.under(str(key)[:80])  # noqa: B904 - the same exception, one level further up


def _compare_sets(a: Any, b: Any) -> None:
    partners = {each: each for each in b}
    if len(a) != len(b) or any(each not in partners for each in a):
        raise Mismatch(f"{a!r:.80} comes back as {b!r:.80}")
    for each in a:
        _compare(each, partners[each])


def _compare_fields(a: Any, b: Any, names: tuple[str, ...]) -> None:
    for name in names:
        if hasattr(a, name) != hasattr(b, name):
            raise Mismatch("has a value on one side only").under(name)
        try:
            _compare(getattr(a, name, None), getattr(b, name, None))
        except Mismatch as fault:
            raise fault.under(name)  # noqa: B904 - the same exception, one level further up
    lost = strangers(a, frozenset(names))
    if lost:
        raise Mismatch(f"the attribute `{lost[0]}` is not a field and would be lost")
