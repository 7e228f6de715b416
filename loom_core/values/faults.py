"""What is wrong with a value, and where: raised inside, turned into the public errors by the codec."""

from __future__ import annotations

import json
from typing import Any


class Mismatch(Exception):
    """A value or datum that does not fit. Each level it passes on its way up adds its part of the path."""

    def __init__(self, reason: str, *, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self._parts: list[str | int] = []

    def under(self, part: str | int) -> Mismatch:
        """Add the part of the path that leads from the level above to here, and return self."""
        self._parts.append(part)
        return self

    def path(self, root: str) -> str:
        """Return the path from ``root``, as in ``state.items[3].price``."""
        return root + "".join(_step(part) for part in reversed(self._parts))


def expected(what: str, found: object, *, hint: str | None = None) -> Mismatch:
    """Return the mismatch of a value that is not what its hint says."""
    return Mismatch(f"expected {what}, found {type_name(type(found))}", hint=hint)


def type_name(kind: Any) -> str:
    """Return a type as messages call it: without the module for builtins, with it where the name alone misleads."""
    if kind is type(None):
        return "None"
    if isinstance(kind, type) and not hasattr(kind, "__origin__"):
        return kind.__qualname__.rpartition("<locals>.")[2]
    return str(kind).replace("typing.", "")


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if part.isidentifier() else f"[{json.dumps(part)}]"
