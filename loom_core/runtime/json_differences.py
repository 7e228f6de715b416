"""Where two JSON texts differ, place by place."""

from __future__ import annotations

import json
from collections.abc import Iterator

_MISSING = object()

Place = tuple[str, str | None, str | None]
"""A path, and the JSON texts of both sides there; None where a side has nothing."""


def differing(root: str, a: str, b: str) -> Iterator[Place]:
    """Yield the innermost places that differ; paths begin with ``root``. Lists are compared position by position."""
    yield from _walk(root, json.loads(a), json.loads(b))


def _walk(path: str, a: object, b: object) -> Iterator[Place]:
    # A stack of its own: stored data may be nested more deeply than Python calls may be.
    waiting = [(path, a, b)]
    while waiting:
        path, a, b = waiting.pop()
        if type(a) is type(b) and a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            keys = dict.fromkeys((*a, *b))
            waiting += reversed([(f"{path}{_key(k)}", a.get(k, _MISSING), b.get(k, _MISSING)) for k in keys])
        elif isinstance(a, list) and isinstance(b, list):
            longest = range(max(len(a), len(b)))
            waiting += reversed([(f"{path}[{n}]", _at(a, n), _at(b, n)) for n in longest])
        elif a is not b:
            yield path, _text(a), _text(b)


def _at(values: list[object], position: int) -> object:
    return values[position] if position < len(values) else _MISSING


def _text(value: object) -> str | None:
    return None if value is _MISSING else json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key, ensure_ascii=False)}]"
