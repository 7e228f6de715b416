"""What changed from one state to the next, in lines."""

from __future__ import annotations

import json
from collections.abc import Iterator


def differences(before: object, after: object, *, first: bool = False) -> Iterator[str]:
    """Yield what changed between two states given as JSON data; the whole state if it is the ``first`` one.

    Objects are compared by their top-level fields, and a list that only grew shows what was added to it.
    """
    if isinstance(after, dict) and (first or not isinstance(before, dict)):
        yield from (f"{name}: {_text(value)}" for name, value in after.items())
    elif not isinstance(after, dict) or not isinstance(before, dict):
        yield from _changed("state", None if first else before, after, known=not first)
    else:
        for name in after:
            yield from _changed(name, before.get(name), after[name], known=name in before)
        yield from (f"{name}: removed" for name in before if name not in after)


def _changed(name: str, before: object, after: object, *, known: bool) -> Iterator[str]:
    if not known:
        yield f"{name}: {_text(after)}"
    elif (
        isinstance(before, list)
        and isinstance(after, list)
        and len(before) < len(after)
        and after[: len(before)] == before
    ):
        yield f"{name}: added {', '.join(_text(item) for item in after[len(before) :])}"
    elif _text(before) != _text(after):
        yield f"{name}: {_text(before)} → {_text(after)}"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
