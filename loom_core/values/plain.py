"""JSON values: the data that comes back from JSON as it went, without any hint.

Exactly ``None``, ``bool``, ``int``, ``float``, ``str``, and ``list`` and ``dict`` (with ``str`` keys) of them; no
subclasses, because a subclass comes back as its base.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

from loom_core.values.children import children
from loom_core.values.faults import Mismatch, type_name
from loom_core.values.text import pairs_up

MAX_DEPTH = 200
"""Levels of nesting that are accepted. Python's own limit (1,000 frames) depends on how deep the caller stands, and a
state that was encoded at one depth must be decodable at another."""

SCALARS = frozenset({type(None), bool, int, float, str})
_KEYS = frozenset({str})


def write_plain(value: Any) -> Any:
    """Return the value itself if it is JSON data; raises ``Mismatch`` with the path otherwise."""
    if type(value) not in SCALARS and not _is_plain(value, MAX_DEPTH):
        raise first_fault(value) or Mismatch("is not JSON data")
    return value


def first_fault(value: object) -> Mismatch | None:
    """Return what keeps a value from being JSON data that comes back as it went, None if nothing does."""
    return _search(value, _fault)


def nesting_fault(value: object) -> Mismatch | None:
    """Return where a value contains itself or is nested too deeply, None if it does neither."""
    return _search(value, _no_fault)


def _is_plain(container: Any, depth: int) -> bool:
    kind = type(container)
    if kind is dict:
        if not _KEYS.issuperset(map(type, container)):
            return False
        inner = container.values()
    elif kind is list:
        inner = container
    else:
        return False
    if SCALARS.issuperset(map(type, inner)):
        return True
    return depth > 0 and all(type(each) in SCALARS or _is_plain(each, depth - 1) for each in inner)


def _search(root: object, fault_of: Callable[[object], Mismatch | None]) -> Mismatch | None:
    # A stack of iterators instead of recursion: what is searched may be deeper than the interpreter allows.
    path: list[str | int] = []
    holders = [id(root)]
    fault = fault_of(root)
    stack: list[Iterator[tuple[str | int, Any]]] = [children(root)]
    while stack and fault is None:
        part, child = next(stack[-1], (None, None))
        if part is None:
            stack.pop()
            holders.pop()
            if path:
                path.pop()
            continue
        path.append(part)
        fault = _nesting(child, holders) or fault_of(child)
        stack.append(children(child))
        holders.append(id(child))
    if fault is not None:
        for part in reversed(path):
            fault.under(part)
    return fault


def _nesting(child: object, holders: list[int]) -> Mismatch | None:
    if type(child) in SCALARS:
        return None
    if id(child) in holders:
        return Mismatch("contains itself", hint="refer to the other by a key instead")
    if len(holders) > MAX_DEPTH:
        return Mismatch(f"nested more than {MAX_DEPTH} levels deep", hint="keep a flat list or table instead")
    return None


def _no_fault(_value: object) -> Mismatch | None:
    return None


def _fault(value: object) -> Mismatch | None:
    kind = type(value)
    if kind is dict:
        return _key_fault(value)  # type: ignore[arg-type]
    if kind is str:
        return _text_fault(value)  # type: ignore[arg-type]
    if kind is float and not math.isfinite(value):  # type: ignore[arg-type]
        return Mismatch(f"{value} has no form in JSON", hint="use None, or a string")
    if kind is int:
        return _int_fault(value)  # type: ignore[arg-type]
    if kind is list or kind in SCALARS:
        return None
    return Mismatch(f"expected JSON data, found {type_name(kind)}", hint=_hint(kind))


def _key_fault(value: dict[object, object]) -> Mismatch | None:
    for key in value:
        if type(key) is not str:
            return Mismatch(
                f"the key {key!r:.80} is {type_name(type(key))}, and comes back as str",
                hint="annotate the dict, as in dict[int, str], or use str keys",
            )
        fault = _text_fault(key)
        if fault is not None:
            return fault
    return None


def _text_fault(value: str) -> Mismatch | None:
    if value.isascii() or not pairs_up(value):
        return None
    return Mismatch("two lone surrogates in a row come back as one character")


def _int_fault(value: int) -> Mismatch | None:
    limit = sys.get_int_max_str_digits()
    # Three bits are less than one decimal digit, so that the exact (and slow) count is rarely needed.
    if not limit or value.bit_length() < limit * 3:
        return None
    try:
        str(value)
    except ValueError:
        return Mismatch(f"an int of more than {limit} digits", hint="use hex(): a string has no such limit")
    return None


def _hint(kind: type) -> str:
    base = next((each for each in (bool, int, float, str, dict, list) if issubclass(kind, each)), None)
    if kind is tuple or kind is set or kind is frozenset:
        return f"annotate it, as in {kind.__name__}[int{', ...' if kind is tuple else ''}], or use a list"
    if base is not None:
        return f"it would come back as {base.__name__}; annotate it, or convert it with {base.__name__}(…)"
    return "annotate it: the state's type is the hint of the step's first parameter, or Agent(state_type=…)"
