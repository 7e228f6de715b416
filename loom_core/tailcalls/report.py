"""What the compiler found: every recursive call of a function and what becomes of it."""

from __future__ import annotations

import json
from typing import Literal

import attrs

Action = Literal["loop", "kept", "rejected"]
Mode = Literal["direct", "frames"]


@attrs.frozen(kw_only=True)
class TailCallSite:
    """One place in the source: a recursive call, or (``action`` ``rejected``) what stops the function from looping.

    ``loop``: the call became a jump. ``kept``: a call that stays what it is, for the ``reason`` given (made by a nested
    function, not provably of this function, never fitting its signature, a member of no group). ``line`` and
    ``column`` count from 1 and are None where there is no source; ``source_line`` is None also where it is too long
    for a person.
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
        from loom_core.tailcalls.rendering import Page, plain

        return plain(Page().reason(self, path))


@attrs.frozen(kw_only=True)
class TailCallReport:
    """The verdict on one function; ``str()`` of it is the explanation for a person.

    ``accepted`` is True if ``tailrec`` turns (or has turned) the function into a loop, or keeps what a decorator below
    made of it. ``sites`` is in source order. ``mode`` says how it loops: ``direct``, as a jump in one frame, or
    ``frames``, where each transition has a frame of its own (one at a time) because of ``why_frames``; None if nothing
    loops. ``notes`` says what else decides: for instance that the name refers to something else now, so that plain
    recursion runs.
    """

    function: str
    path: str | None
    line: int | None
    accepted: bool
    sites: tuple[TailCallSite, ...]
    notes: tuple[str, ...] = ()
    mode: Mode | None = None
    why_frames: str | None = None

    def first_fault(self) -> TailCallSite:
        """Return the first rejected site; only for a report that is not accepted."""
        return next(site for site in self.sites if site.action == "rejected")

    def to_json(self) -> str:
        """Return the report as one JSON object with ``schema`` ``loom.tailcalls/1``."""
        return json.dumps({"schema": "loom.tailcalls/1", **attrs.asdict(self)}, indent=2)

    def __str__(self) -> str:
        from loom_core.tailcalls.rendering import Page, plain

        return plain(Page().report(self))
