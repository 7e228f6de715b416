"""Words and widths: hostile text escaped, values shortened, times and counts as people read them.

Much of what is shown was written by tools and models, so nothing reaches a terminal that could move its cursor,
reverse its text or hide in it.
"""

from __future__ import annotations

import json
import shlex
import time
import unicodedata
from collections.abc import Sequence

ELLIPSIS = "…"
MAX_SHORT = 400
MAX_PARSED = 200_000
_HOSTILE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def safe(text: str) -> str:
    """Return ``text`` on one line, each control, bidirectional, invisible or unpaired character as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _HOSTILE else char for char in text)


def cut(text: str, columns: int) -> str:
    """Return safe text in at most ``columns`` terminal columns, an ellipsis at its end if something was left out."""
    if columns < 1:
        return ""
    if len(text) <= columns and text.isascii():
        return text
    used = 0
    for position, char in enumerate(text):
        used += _columns(char)
        if used > columns:
            return _fitting(text[:position], columns - 1) + ELLIPSIS
    return text


def short(text: str | None, limit: int = MAX_SHORT) -> str | None:
    """Return ``text`` cut to ``limit`` characters; None stays None."""
    if text is None or len(text) <= limit:
        return text
    return text[: limit - 1] + ELLIPSIS


def arguments(text: str) -> str:
    """Return recorded arguments (a JSON object) as ``name=value, …``, shortened; anything else as it is."""
    data = parsed(text)
    if not isinstance(data, dict):
        return short(text) or ""
    return short(", ".join(f"{name}={compact(value)}" for name, value in data.items())) or ""


def compact(value: object) -> str:
    """Return JSON data as one short line."""
    return short(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")), 120) or ""


def parsed(text: str | None) -> object:
    """Return JSON data, None for text that is no JSON or too long to be worth parsing for a line of output."""
    if text is None or len(text) > MAX_PARSED:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def number(count: int) -> str:
    """Return ``4,711``."""
    return f"{count:,}"


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Return ``1 step``, ``4,711 steps``."""
    return f"{number(count)} {singular if count == 1 else plural or singular + 's'}"


def duration(seconds: float) -> str:
    """Return ``12ms``, ``4.2s``, ``1m 12s``, ``3h 5m``, ``2d 4h``; a clock that was set back gives ``0ms``."""
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, name, part, part_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit}{name} {rest}{part_name}" if rest else f"{whole // unit}{name}"
    return f"{whole}s"


def ago(then: float, now: float) -> str:
    """Return ``2m 5s ago``; ``just now`` below a second, clocks that disagree included."""
    return "just now" if now - then < 1 else f"{duration(now - then)} ago"


def date_time(at: float) -> str:
    """Return local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def clock(at: float, *, dated: bool) -> str:
    """Return local time, with month and day where a timeline covers more than one day."""
    return time.strftime("%m-%d %H:%M:%S" if dated else "%H:%M:%S", time.localtime(at))


def shell(words: Sequence[str]) -> str:
    """Return a command line that a POSIX shell splits into ``words`` again."""
    return " ".join(shlex.quote(word) for word in words)


def wrapped(words: Sequence[str], columns: int, indent: str) -> list[str]:
    """Return a command on lines of at most ``columns``, joined by backslashes so that it can still be pasted.

    A single word longer than the line stays whole: a command that was cut is worse than a long line.
    """
    lines: list[str] = []
    line = ""
    for word in words:
        shown = safe(shlex.quote(word))
        if line and len(indent) + len(line) + 1 + len(shown) > columns - 2:
            lines.append(f"{indent}{line} \\")
            line = f"    {shown}"
        else:
            line = f"{line} {shown}" if line else shown
    return [*lines, f"{indent}{line}"]


def _fitting(text: str, columns: int) -> str:
    while sum(map(_columns, text)) > columns:
        text = text[:-1]
    return text


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.combining(char) or unicodedata.category(char) == "Mn":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _escaped(char: str) -> str:
    if ord(char) > 127:
        return char.encode("ascii", "backslashreplace").decode()
    return _NAMED.get(char, f"\\x{ord(char):02x}")
