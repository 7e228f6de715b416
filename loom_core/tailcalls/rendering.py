"""How a report is laid out for a person: the one layout of ``str(report)`` and of ``loom tailcalls explain``."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import attrs

from loom_core.tailcalls.report import TailCallReport, TailCallSite

Role = Literal["function", "accepted", "loop", "kept", "rejected", "hint", "note", "place", "text"]
_MARGIN = "    "
_HANGING = "  "
_ELLIPSIS = "…"
_NARROWEST = 30


@attrs.frozen
class Span:
    """A piece of a line, and what it is, so that a terminal can colour it."""

    text: str
    role: Role = "text"


Line = tuple[Span, ...]


@attrs.frozen(kw_only=True)
class Page:
    """What lines have to fit. ``columns`` None: nothing is wrapped or cut, and tabs stay.

    ``escape`` is applied to everything that comes from the source before it is measured.
    """

    columns: int | None = None
    escape: Callable[[str], str] = str

    def report(self, report: TailCallReport) -> Iterator[Line]:
        """Yield the verdict, every site, every note."""
        verdict, how = _verdict(report)
        role: Role = "accepted" if report.accepted else "rejected"
        yield from self._wrapped([Span(self.escape(report.function), "function"), Span(": "), Span(verdict, role)], how)
        for site in report.sites:
            yield from self._site(site, report.path)
        for note in report.notes:
            yield from self._labelled("note", "note", "", note)

    def reason(self, site: TailCallSite, path: str | None) -> Iterator[Line]:
        """Yield where and why, and the source line with its caret: what an error says."""
        place, reason = self._place_and_reason(site, path)
        yield from self._wrapped([Span(place, "place")] if place else [], reason)
        yield from self._caret(site)

    def text(self, text: str) -> Iterator[Line]:
        """Yield a sentence."""
        yield from self._wrapped([], text)

    def _site(self, site: TailCallSite, path: str | None) -> Iterator[Line]:
        yield from self._labelled(site.action, site.action, *self._place_and_reason(site, path))
        yield from self._caret(site)
        if site.instead is not None:
            yield from self._labelled("hint", "hint", "", site.instead)

    def _caret(self, site: TailCallSite) -> Iterator[Line]:
        if site.source_line is None:
            return
        start = (site.column or 1) - 1
        end = max(start + 1, (site.end_column or start + 2) - 1)
        parts = site.source_line[:start], site.source_line[start:end], site.source_line[end:]
        before, marked, after = (self.escape(part) for part in parts)
        if self.columns is not None:
            before, marked, after = _windowed(before, marked, after, max(_NARROWEST, self.columns) - len(_MARGIN))
        # Tabs are kept where nothing is cut, so that the caret stands under the call however wide a tab is shown.
        indent = "".join(char if char == "\t" else " " * _columns(char) for char in before)
        yield (Span(_MARGIN + before + marked + after),)
        yield (Span(_MARGIN + indent), Span("^" * max(1, _width(marked)), site.action))

    def _place_and_reason(self, site: TailCallSite, path: str | None) -> tuple[str, str]:
        place = ":".join(str(part) for part in (path, site.line, site.column) if part is not None)
        return (self.escape(f"{place}: ") if place else ""), site.reason

    def _labelled(self, label: str, role: Role, place: str, text: str) -> Iterator[Line]:
        start = [Span(f"{label}:", role), Span(" ")]
        yield from self._wrapped([*start, Span(place, "place")] if place else start, text)

    def _wrapped(self, start: list[Span], text: str) -> Iterator[Line]:
        """Yield ``text`` behind ``start``, broken between words; lines after the first are indented."""
        text = self.escape(text)
        if self.columns is None:
            yield (*start, Span(text))
            return
        line, used, room = [*start], sum(_width(span.text) for span in start), max(_NARROWEST, self.columns)
        words: list[str] = []
        for word in text.split(" "):
            if (words or start) and used + _width(word) > room:
                yield (*line, Span(" ".join(words)))
                line, words, used, start = [Span(_HANGING)], [], len(_HANGING), []
            words.append(word)
            used += _width(word) + 1
        yield (*line, Span(" ".join(words)))


def _verdict(report: TailCallReport) -> tuple[str, str]:
    """Return what became of the function, and what is to be said of how."""
    if not report.accepted:
        return "rejected", ""
    loops = sum(site.action == "loop" for site in report.sites)
    if not loops:
        return "accepted, but nothing loops", ""
    how = "" if report.why_frames is None else f", each call in a frame of its own: {report.why_frames}"
    return f"a loop ({loops} tail call{'s' * (loops != 1)})", how


def plain(lines: Iterable[Line]) -> str:
    """Return lines as text without colour."""
    return "\n".join("".join(span.text for span in line) for line in lines)


def _windowed(before: str, marked: str, after: str, room: int) -> tuple[str, str, str]:
    """Shorten a line that is too wide: its indentation first, then what is far from the mark, then the mark."""
    before, marked, after = before.expandtabs(4), marked.expandtabs(4), after.expandtabs(4)
    if _width(before + marked + after) <= room:
        return before, marked, after
    before = before.lstrip()
    if _width(before + marked + after) <= room:
        return before, marked, after
    marked = _cut(marked, room - min(_width(before), room // 3))
    rest = room - _width(marked)
    if _width(before) > rest:
        before = _cut(before[::-1], rest)[::-1]
    return before, marked, _cut(after, rest - _width(before))


def _cut(text: str, room: int) -> str:
    if _width(text) <= room:
        return text
    while text and _width(text) > room - 1:
        text = text[:-1]
    return text + _ELLIPSIS if room > 0 else ""


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
