"""`list_files`: what there is, on as many lines as were asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import attrs

from loom_tools_workspace.names import quantity, shown
from loom_tools_workspace.patterns import PathPattern, parse_asked_pattern
from loom_tools_workspace.refusals import WorkspaceRefusal
from loom_tools_workspace.survey import Found, survey
from loom_tools_workspace.workspace import Workspace

_MOST_LINES = 5_000

Row = tuple[tuple[str, ...], str]


@attrs.frozen
class Listing:
    """Lists folders of a workspace."""

    workspace: Workspace

    def list(self, path: str = ".", pattern: str | None = None, max_entries: int = 500) -> str:
        """Return the files below ``path``, one a line with its size, sorted by path.

        ``pattern`` is a glob: without a slash of a file's name, with one of its path below ``path``. More than
        ``max_entries`` files are folded: the deepest folders become one line each, with the number of files in them.
        What is left out is said in the last line. Raises ``WorkspaceRefusal``.
        """
        if not 1 <= max_entries <= _MOST_LINES:
            raise WorkspaceRefusal(f"max_entries must be 1 to {_MOST_LINES:,}, not {max_entries}")
        patterns = parse_asked_pattern(pattern) if pattern is not None else None
        walked = survey(self.workspace, path)
        depth = len(walked.base)
        chosen = [found for found in walked.found if patterns is None or _matches(found, patterns, depth)]
        asked = f" that match `{shown(pattern)}`" if pattern is not None else ""
        lines = [f"{quantity(len(chosen), 'entry', 'entries')} below `{shown(path)}`{asked}"]
        lines += _folded(chosen, depth, max_entries)
        return "\n".join(lines + [line for line in [walked.left_out()] if line])


def _matches(found: Found, patterns: Sequence[PathPattern], depth: int) -> bool:
    return found.kind != "folder" and any(pattern.matches(found.parts[depth:]) for pattern in patterns)


def _folded(chosen: Sequence[Found], base: int, most: int) -> list[str]:
    """Return the lines, with as many levels of folders open as fit."""
    rows: list[Row] = [(found.parts, described(found)) for found in chosen]
    depth = max((len(found.parts) for found in chosen), default=0) - 1
    while len(rows) > most and depth > base:
        rows = _rows_to(chosen, depth)
        depth -= 1
    rows.sort(key=lambda row: [os.fsencode(part) for part in row[0]])
    lines = [line for _, line in rows[:most]]
    if len(rows) > most:
        lines.append(f"and {len(rows) - most:,} more; raise max_entries, or give a pattern")
    return lines


def _rows_to(chosen: Sequence[Found], depth: int) -> list[Row]:
    rows: list[Row] = [(found.parts, described(found)) for found in chosen if len(found.parts) <= depth]
    below = Counter(found.parts[:depth] for found in chosen if len(found.parts) > depth)
    rows += [
        (parts, f"{shown('/'.join(parts))}/  {quantity(count, 'file')}, folded; list it by its path")
        for parts, count in below.items()
    ]
    return rows


def described(found: Found) -> str:
    """Return the line of a listing about one entry."""
    name = shown("/".join(found.parts))
    if found.kind == "folder":
        return f"{name}/  {found.closed or 'empty'}"
    return f"{name}  {found.closed or quantity(found.size, 'byte')}"
