"""The parts of a value, whatever it is made of: what the searches for faults and the comparison walk along."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import attrs

_CACHES = frozenset({"_attrs_cached_hash"})


def children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """Yield (part of the path, part) of a dict, list, tuple, attrs class or dataclass; nothing of anything else."""
    if isinstance(value, dict):
        return ((key if type(key) is str else str(key)[:80], each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return enumerate(value)
    names = field_names(type(value))
    return ((name, getattr(value, name)) for name in names if hasattr(value, name))


def field_names(cls: type) -> tuple[str, ...]:
    """Return the names of the fields of an attrs class or dataclass, none for any other class."""
    if attrs.has(cls):
        return tuple(each.name for each in attrs.fields(cls))
    if dataclasses.is_dataclass(cls):
        return tuple(each.name for each in dataclasses.fields(cls))
    return ()


def strangers(value: Any, known: frozenset[str]) -> list[str]:
    """Return the instance's attributes that are neither fields nor caches, and so would be lost."""
    cls = type(value)
    return [
        name
        for name in getattr(value, "__dict__", ())
        if name not in known
        and name not in _CACHES
        and not isinstance(getattr(cls, name, None), functools.cached_property)
    ]
