"""Strict reading of JSON objects: every unknown key and wrong value is a fault with its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Reader = Callable[[object], Any]
"""Return the value if it may stand here; raise ``ValueError`` with what is expected if it may not."""


def read_fields(item: object, known: Mapping[str, Reader], place: str, faults: list[str]) -> dict[str, Any]:
    """Return the known fields that are present and right; add a fault for every other one."""
    if not isinstance(item, dict):
        faults.append(f"{place}: must be an object")
        return {}
    faults += [f"{place}.{name}: unknown; there are {', '.join(known)}" for name in item if name not in known]
    good: dict[str, Any] = {}
    for name, read in known.items():
        if name in item:
            try:
                good[name] = read(item[name])
            except ValueError as error:
                faults.append(f"{place}.{name}: must be {error}, not {item[name]!r:.60}")
    return good


def text(value: object) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise ValueError("a string")
    return value


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def count(value: object) -> int:
    """Read a whole number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a whole number of at least 0")
    return value


def seconds(most: float) -> Reader:
    """Read a number from 0 to ``most``."""

    def read(value: object) -> float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not 0 <= float(value) <= most:  # type: ignore[arg-type]  # a number, as was just checked
            raise ValueError(f"a number of seconds from 0 to {most:g}")
        return float(value)  # type: ignore[arg-type]

    return read


def one_of(choices: tuple[str, ...]) -> Reader:
    """Read one of some words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return value

    return read


def items(value: object) -> list[object]:
    """Read a list."""
    if not isinstance(value, list):
        raise ValueError("a list")
    return value


def object_or_text(value: object) -> object:
    """Read a JSON object, or a text that stands for one (or fails to, on purpose)."""
    if not isinstance(value, (dict, str)):
        raise ValueError("an object, or a string with its text")
    return value


def anything(value: object) -> object:
    """Read what a more exact reader looks at later."""
    return value
