"""Deltas: JSON that says how a state's text differs from the one before.

A splice is ``[start, end, "inserted"]``: the characters from start to end of the previous text are replaced. A delta is

* a splice of the whole text, for states that are no object or too small to be split; or
* an object, ``{"count": "5", "messages": [812, 812, ",{…}"], "draft": null, "answer": "\\"42\\""}``: for each top-level
  field that changed, a splice of its text, or its whole text as a string (new fields go to the end), or null if it is
  gone; or
* ``[{…}, ["answer", "count", …]]``: such an object, and the order of all fields after it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from loom_core.history.fields import quote
from loom_core.history.forms import HistoryCorrupt

_SHORT = 32
"""Fields of which the whole is hardly longer than a splice."""


def text_delta(old: str, new: str) -> str:
    """Return the delta between two texts as one splice."""
    return _splice(old, new)


def fields_delta(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return the delta between two states by their fields."""
    parts = [f"{quote(key)}:{_change(old.get(key), text)}" for key, text in new.items() if old.get(key) != text]
    order = [*new]
    if [*old] == order:
        return "{" + ",".join(parts) + "}"
    changes = "{" + ",".join(parts + [f"{quote(key)}:null" for key in old if key not in new]) + "}"
    if [key for key in old if key in new] + [key for key in new if key not in old] == order:
        return changes
    return f"[{changes},[{','.join(map(quote, order))}]]"


def parse(body: bytes) -> Any:
    """Return a delta's JSON; raises ``HistoryCorrupt``."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError) as broken:
        raise HistoryCorrupt(f"a delta is not JSON: {broken}") from broken


def is_text_splice(delta: object) -> bool:
    """Whether a delta is a splice of the whole text, not of fields."""
    return isinstance(delta, list) and len(delta) == 3


def spliced(old: str, splice: object, where: str) -> str:
    """Return the text with a splice applied; raises ``HistoryCorrupt`` if it is none or does not fit."""
    match splice:
        case [int(start), int(end), str(inserted)] if type(start) is int and type(end) is int:
            if 0 <= start <= end <= len(old):
                return old[:start] + inserted + old[end:]
            raise HistoryCorrupt(f"a splice of {where} covers {start} to {end} of {len(old)} characters")
    raise HistoryCorrupt(f"a splice of {where} is not [start, end, text]")


def changed_fields(old: Mapping[str, str], delta: object) -> dict[str, str]:
    """Return the fields with a delta applied; raises ``HistoryCorrupt`` if it is none or does not fit."""
    match delta:
        case dict(changes):
            return _changed(old, changes)
        case [dict(changes), list(order)]:
            fields = _changed(old, changes)
            if not all(type(key) is str for key in order) or len(order) != len(fields) or {*order} != fields.keys():
                raise HistoryCorrupt("a delta's order is not that of its fields")
            return {key: fields[key] for key in order}
    raise HistoryCorrupt("a delta is neither a splice nor an object of changes")


def _changed(old: Mapping[str, str], changes: dict[str, Any]) -> dict[str, str]:
    fields = dict(old)
    for key, change in changes.items():
        if type(change) is str:
            fields[key] = change
        elif key not in fields:
            raise HistoryCorrupt(f"a delta changes the field `{key}`, which was not there before")
        elif change is None:
            del fields[key]
        else:
            fields[key] = spliced(fields[key], change, f"the field `{key}`")
    return fields


def _change(before: str | None, text: str) -> str:
    return quote(text) if before is None or len(text) < _SHORT else _splice(before, text)


def _splice(old: str, new: str) -> str:
    start = _common_prefix(old, new)
    tail = _common_suffix(old, new, min(len(old), len(new)) - start)
    return f"[{start},{len(old) - tail},{quote(new[start : len(new) - tail])}]"


# Binary searches over slices: each comparison is a memcmp, where a loop over characters would take milliseconds.


def _common_prefix(a: str, b: str) -> int:
    same, limit = 0, min(len(a), len(b))
    while same < limit:
        middle = (same + limit + 1) // 2
        if a.startswith(b[same:middle], same):
            same = middle
        else:
            limit = middle - 1
    return same


def _common_suffix(a: str, b: str, limit: int) -> int:
    same = 0
    while same < limit:
        middle = (same + limit + 1) // 2
        if a.endswith(b[len(b) - middle : len(b) - same], 0, len(a) - same):
            same = middle
        else:
            limit = middle - 1
    return same
