"""What the compiler found: every recursive call of a function and what becomes of it."""

from __future__ import annotations

import json
from typing import Literal

import attrs

Action = Literal["loop", "kept", "rejected"]


@attrs.frozen(kw_only=True)
class TailCallSite:
    """One place in the source: a recursive call, or (``action`` ``rejected``) what stops the function from looping.

    ``loop``: the call became a jump. ``kept``: a call made by a nested function, lambda or class, which is left alone
    and starts a recursion of its own. ``line`` and ``column`` count from 1 and are None where there is no source.
    """

    action: Action
    reason: str
    instead: str | None = None
    line: int | None = None
    column: int | None = None
    end_column: int | None = None
    source_line: str | None = None

    def text(self, path: str | None) -> str:
        """Return place and reason, and below them the line with a caret under the place."""
        place = ":".join(str(part) for part in (path, self.line, self.column) if part is not None)
        head = f"{place}: {self.reason}" if place else self.reason
        return head if self.source_line is None else f"{head}\n{self._caret_lines()}"

    def _caret_lines(self) -> str:
        line = self.source_line or ""
        start = (self.column or 1) - 1
        width = max(1, (self.end_column or start + 2) - 1 - start)
        # Tabs are kept, so that the caret stands under the call however wide a tab is shown.
        indent = "".join(character if character == "\t" else " " for character in line[:start])
        return f"    {line}\n    {indent}{'^' * width}"


@attrs.frozen(kw_only=True)
class TailCallReport:
    """The verdict on one function; ``str()`` of it is the explanation for a person.

    ``accepted`` is True if ``tailrec`` turns (or has turned) the function into a loop. ``sites`` is in source order.
    ``notes`` says what else decides: for instance that the name refers to something else now, so that plain
    recursion runs.
    """

    function: str
    path: str | None
    line: int | None
    accepted: bool
    sites: tuple[TailCallSite, ...]
    notes: tuple[str, ...] = ()

    def first_fault(self) -> TailCallSite:
        """Return the first rejected site; only for a report that is not accepted."""
        return next(site for site in self.sites if site.action == "rejected")

    def to_json(self) -> str:
        """Return the report as one JSON object with ``schema`` ``loom.tailcalls/1``."""
        return json.dumps({"schema": "loom.tailcalls/1", **attrs.asdict(self)}, indent=2)

    def __str__(self) -> str:
        loops = sum(site.action == "loop" for site in self.sites)
        verdict = f"a loop ({loops} tail call{'s' * (loops != 1)})" if self.accepted else "rejected"
        parts = [f"{self.function}: {verdict}"]
        for site in self.sites:
            parts.append(f"{site.action}: {site.text(self.path)}")
            if site.instead is not None:
                parts.append(f"hint: {site.instead}")
        parts += [f"note: {note}" for note in self.notes]
        return "\n".join(parts)
