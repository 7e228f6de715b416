"""The same source executed twice: as it is, and with the decorator; for tests that compare the two."""

from __future__ import annotations

import asyncio
import linecache
import textwrap
from collections.abc import Callable
from typing import Any

from loom_core.tailcalls import tailrec


def world(source: str, decorator: Callable[..., Any] = tailrec, **names: Any) -> dict[str, Any]:
    """Execute source text that ``inspect`` can find, with ``tailrec`` as a name in it."""
    text = textwrap.dedent(source).lstrip("\n")
    path = f"<world {abs(hash(text))}>"
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {"__name__": "world", "tailrec": decorator, **names}
    exec(compile(text, path, "exec"), namespace)
    return namespace


def left_alone(fn: Any = None, /, **_: object) -> Any:
    """A decorator, with or without options, that does nothing."""
    return fn if fn is not None else left_alone


def outcome(run: Callable[[], Any]) -> object:
    """Return what a coroutine function returns, or its exception with type and arguments."""
    try:
        return asyncio.run(run())
    except Exception as error:
        return type(error), error.args


def both(source: str, expression: str, **names: Any) -> tuple[object, object]:
    """Return the outcome of an expression in the plain world and in the decorated one."""
    found = []
    for decorator in (left_alone, tailrec):
        namespace = world(source, decorator, **names)
        found.append((outcome(eval(f"lambda: {expression}", namespace)), namespace.get("LOG")))
    return found[0], found[1]
