"""Pieces of files that a search ranks: sections of Markdown, windows of everything else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdx")
_WINDOW_LINES = 40
_LONGEST_SECTION = 80
# The expression takes quadratic time on a line of blanks; a heading is short.
_LONGEST_HEADING = 300
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_DEFINITION = re.compile(
    r"^[ \t]*(?:(?:export|default|pub|public|private|static|abstract|final|async|data|sealed)[ \t]+)*"
    r"(?:class|def|enum|fn|func|function|impl|interface|module|namespace|protocol|struct|trait|type)"
    r"[ \t]+([A-Za-z_]\w*)",
    re.MULTILINE,
)


@attrs.frozen(kw_only=True)
class Chunk:
    """Lines ``first`` to ``last`` (from 1) of a file, and what they are about: headings, or names defined."""

    path: str
    title: str
    first: int
    last: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The lines, without their ends."""
        return self.text.split("\n")


def chunks(path: str, text: str) -> Iterator[Chunk]:
    """Cut a file into chunks that cover it without overlap; chunks of blank lines are left out."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    pieces = _sections(lines) if path.lower().endswith(MARKDOWN_SUFFIXES) else _windows(lines)
    for first, title, piece in pieces:
        if any(line.strip() for line in piece):
            yield Chunk(path=path, title=title, first=first, last=first + len(piece) - 1, text="\n".join(piece))


def _windows(lines: Sequence[str]) -> Iterator[tuple[int, str, Sequence[str]]]:
    start = 0
    while start < len(lines):
        end = _end_of_window(lines, start)
        piece = lines[start:end]
        yield start + 1, " ".join(dict.fromkeys(_DEFINITION.findall("\n".join(piece)))), piece
        start = end


def _end_of_window(lines: Sequence[str], start: int) -> int:
    """Return where the window ends: at the last top-level line after a blank one in its second half, else when full."""
    full = start + _WINDOW_LINES
    if full >= len(lines):
        return len(lines)
    for end in range(full, start + _WINDOW_LINES // 2, -1):
        if lines[end][:1].strip() and not lines[end - 1].strip():
            return end
    return full


def _sections(lines: Sequence[str]) -> Iterator[tuple[int, str, Sequence[str]]]:
    trail: list[tuple[int, str]] = []
    start, title = 0, ""
    for at, level, heading in _headings(lines):
        yield from _split_section(lines, start, at, title)
        trail = [above for above in trail if above[0] < level] + [(level, heading)]
        start, title = at, " > ".join(name for _, name in trail)
    yield from _split_section(lines, start, len(lines), title)


def _split_section(lines: Sequence[str], start: int, end: int, title: str) -> Iterator[tuple[int, str, Sequence[str]]]:
    for first in range(start, end, _LONGEST_SECTION):
        yield first + 1, title, lines[first : min(first + _LONGEST_SECTION, end)]


def _headings(lines: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield line index, level and text of every ATX heading that is not inside a fenced block."""
    fence = ""
    for at, line in enumerate(lines):
        mark = _FENCE.match(line)
        if fence:
            closes = mark is not None and mark[1].startswith(fence) and not line[mark.end() :].strip()
            fence = "" if closes else fence
        elif mark is not None:
            fence = mark[1]
        elif found := _HEADING.match(line[:_LONGEST_HEADING]):
            yield at, len(found[1]), found[2]
