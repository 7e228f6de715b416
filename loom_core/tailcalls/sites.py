"""From what the analysis found to the places that a report names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from loom_core.tailcalls.analysis import Analysis
from loom_core.tailcalls.calls import Fault, Kept
from loom_core.tailcalls.report import Action, TailCallReport, TailCallSite
from loom_core.tailcalls.source import Definition

# A longer line is no person's. With a site every few characters it would be repeated as often.
_LONGEST_LINE = 4_000
_Place = tuple[Action, ast.AST, str, str | None]


def report_of(
    definition: Definition,
    analysis: Analysis,
    *,
    function: str,
    faults: Sequence[Fault] | None = None,
    kept: str | None = None,
    group: str | None = None,
    notes: tuple[str, ...] = (),
) -> TailCallReport:
    """Return what is to be said of an analysed function.

    ``faults`` are those that were found after the analysis, too. ``kept`` says why no tail call of an accepted function
    becomes a jump; ``group`` is the name of the function's group.
    """
    found = analysis.faults if faults is None else tuple(faults)
    runs = not found and kept is None
    sites = [site_of(definition, *place) for place in _places(analysis, found, kept, group)]
    return TailCallReport(
        function=function,
        path=definition.path,
        line=definition.node.lineno,
        accepted=not found,
        mode=analysis.mode if runs else None,
        why_frames=analysis.why_frames if runs else None,
        sites=in_order(sites),
        notes=notes,
    )


def in_order(sites: Iterable[TailCallSite]) -> tuple[TailCallSite, ...]:
    """Return sites in the order of the source."""
    return tuple(sorted(sites, key=lambda site: (site.line or 0, site.column or 0)))


def _places(analysis: Analysis, faults: Sequence[Fault], kept: str | None, group: str | None) -> Iterator[_Place]:
    """Yield what is to be said of each fault and of each call that is none."""
    for fault in faults:
        yield "rejected", fault.node, fault.reason, fault.instead
    said = {id(fault.node) for fault in faults} | {id(one.node) for one in analysis.kept}
    calls = analysis.calls
    for key, call in calls.tails.items():
        if id(call) in said or (key not in analysis.bound):
            continue
        if faults:
            yield "kept", call, "a tail call that stays recursion because the function is rejected", None
        elif kept is not None:
            yield "kept", call, kept, None
        else:
            yield "loop", call, _loop_reason(calls.blocks.get(key), group), None
    at_fault = {id(fault.node) for fault in faults}
    for one in analysis.kept:
        if id(one.node) not in at_fault:
            yield "kept", one.node, one.reason, one.instead


def _loop_reason(block: str | None, group: str | None) -> str:
    what = "becomes a jump" if group is None else f"handed over when it is a member of group `{group}`"
    if block is None:
        return what
    return f"{what} after {block} is left: what the block does at its end is done before the next call begins"


def kept_site(definition: Definition, kept: Kept) -> TailCallSite:
    """Return the site of a call that is left alone."""
    return site_of(definition, "kept", kept.node, kept.reason, kept.instead)


def site_of(definition: Definition, action: Action, node: ast.AST, reason: str, instead: str | None) -> TailCallSite:
    """Return the place of a node, with columns counted in characters; a whole function is marked at its name."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        # The caret stands under the name, whatever the length of the definition.
        text = definition.line(node.lineno)
        start, end = _name_in(text, _characters(text, node.col_offset))
    else:
        text = definition.line(getattr(node, "lineno", 1))
        start = _characters(text, getattr(node, "col_offset", 0))
        one_line = getattr(node, "end_lineno", None) == getattr(node, "lineno", None)
        end = _characters(text, getattr(node, "end_col_offset", 0)) if one_line else len(text)
    return TailCallSite(
        action=action,
        reason=reason,
        instead=instead,
        line=getattr(node, "lineno", None),
        column=start + 1,
        end_column=end + 1,
        source_line=text if len(text) <= _LONGEST_LINE else None,
    )


_DEF = re.compile(r"(?:async\s+)?def(?:\s+(\w+))?")


def _name_in(text: str, start: int) -> tuple[int, int]:
    """Return where the name of a function stands, or its ``def`` if the name is in another line or cannot be seen.

    The text is asked, not the tree: Python spells some names otherwise than the user does.
    """
    found = _DEF.match(text, start)
    if found is None:
        return start, max(start + 1, len(text.rstrip()))
    return found.span(1 if found[1] else 0)


def _characters(text: str, offset: int) -> int:
    """The syntax tree counts bytes of UTF-8; people count characters."""
    return offset if text.isascii() else len(text.encode()[:offset].decode(errors="ignore"))
