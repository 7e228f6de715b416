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
MAX_WHOLE = 4_000
MAX_PARSED = 200_000
_HOSTILE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def safe(text: str) -> str:
    """Return ``text`` on one line, each control, bidirectional, invisible or unpaired character as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _HOSTILE else char for char in text)


def cut(text: str, columns: int | None) -> str:
    """Return safe text in at most ``columns`` terminal columns, an ellipsis at its end if something was left out.

    None is no limit.
    """
    if columns is None:
        return text
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


def whole(text: str) -> str:
    """Return ``text``; what is longer than any person reads is cut, and says so."""
    if len(text) <= MAX_WHOLE:
        return text
    return f"{text[:MAX_WHOLE]}{ELLIPSIS} (cut here: {number(len(text))} characters in all)"


def whole_or_none(text: str | None) -> str | None:
    """Return ``whole(text)``; None stays None."""
    return None if text is None else whole(text)


def arguments(text: str, *, limit: int = MAX_SHORT, value_limit: int = 120) -> str:
    """Return recorded arguments (a JSON object) as ``name=value, …``, shortened; anything else as it is."""
    data = parsed(text)
    if not isinstance(data, dict):
        return short(text, limit) or ""
    return short(", ".join(f"{name}={compact(value, value_limit)}" for name, value in data.items()), limit) or ""


def argument_list(text: str) -> list[str]:
    """Return recorded arguments as ``name=value``, one each and whole."""
    data = parsed(text)
    if not isinstance(data, dict):
        return [whole(text)]
    return [f"{name}={whole(as_json(value))}" for name, value in data.items()]


def as_json(value: object) -> str:
    """Return JSON data as one line."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def compact(value: object, limit: int = 120) -> str:
    """Return JSON data as one short line."""
    return short(as_json(value), limit) or ""


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


def folded(text: str, columns: int | None, indent: str = "", further: str | None = None) -> list[str]:
    """Return safe text on as many lines of at most ``columns`` as it takes, broken at spaces where there are some.

    The lines after the first begin with ``further``, or ``indent`` if that is None. None is no limit.
    """
    if columns is None:
        return [indent + text]
    lines: list[str] = []
    start = indent
    while text:
        fitting = _fitting_length(text, max(columns - len(start), 8))
        if fitting < len(text):
            space = text.rfind(" ", fitting // 2, fitting + 1)
            fitting = space if space > 0 else fitting
        lines.append(start + text[:fitting])
        text = text[fitting:].lstrip(" ")
        start = indent if further is None else further
    return lines or [indent.rstrip()]


def wrapped(words: Sequence[str], columns: int | None, indent: str) -> list[str]:
    """Return a command on lines of at most ``columns``, joined by backslashes so that it can still be pasted.

    A single word longer than the line stays whole: a command that was cut is worse than a long line. None is no limit.
    """
    if columns is None:
        return [indent + safe(shell(words))]
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


def _fitting_length(text: str, columns: int) -> int:
    """Return how many characters of ``text`` fit; at least one, so that a loop over the rest ends."""
    used = 0
    for position, char in enumerate(text):
        used += _columns(char)
        if used > columns:
            return max(position, 1)
    return len(text)


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
