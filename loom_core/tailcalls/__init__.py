"""Tail calls: ``return await fn(...)`` in constant stack.

``tailrec`` turns a recursive async function into a loop at decoration, ``tailstream`` an async generator, or they say
exactly why they cannot;
``explain_tailcalls`` says the same without raising. The rule and its proof are in ``docs/tailcalls.md``.
"""

from __future__ import annotations

from loom_core.tailcalls.decorator import explain_tailcalls, tailrec
from loom_core.tailcalls.errors import TailCallError, TailCallWarning
from loom_core.tailcalls.report import TailCallReport, TailCallSite
from loom_core.tailcalls.streams import tailstream

__all__ = [
    "TailCallError",
    "TailCallReport",
    "TailCallSite",
    "TailCallWarning",
    "explain_tailcalls",
    "tailrec",
    "tailstream",
]
