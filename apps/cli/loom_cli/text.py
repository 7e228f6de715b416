"""Text made fit for a terminal: hostile characters escaped, widths counted, times and sizes in words."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "…"
_ZERO_WIDTH_JOINER = "\u200d"
_HOSTILE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def safe(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with every control, bidirectional, invisible or unpaired character written as an escape.

    Models and tools choose much of what is printed; an escape sequence of theirs must not reach the terminal. ``keep``
    names characters that are left alone (``"\n\t"`` for text of several lines). The zero-width joiner stays: it is
    part of ordinary emoji.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in keep or not _is_hostile(char) else _escaped(char) for char in text)


def width(text: str) -> int:
    """Return the terminal columns that safe text takes; wide East Asian characters take two, combining ones none."""
    return len(text) if text.isascii() else sum(_columns(char) for char in text)


def cut(text: str, columns: int) -> str:
    """Return safe text in at most ``columns`` columns, the last of them an ellipsis if something was left out."""
    if width(text) <= columns:
        return text
    kept, used = [], 0
    for char in text:
        used += _columns(char)
        if used > columns - 1:
            break
        kept.append(char)
    return "".join(kept) + ELLIPSIS if columns > 0 else ""


def duration(seconds: float) -> str:
    """Return a length of time such as ``12ms``, ``4.2s``, ``1m 12s``, ``3h 5m``, ``2d 4h``."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            small = whole % unit // smaller
            return f"{whole // unit}{name} {small}{smaller_name}" if small else f"{whole // unit}{name}"
    return f"{whole}s"


def relative(then: float, now: float) -> str:
    """Return when something was or will be, seen from ``now`` (both Unix seconds): ``5m ago``, ``in 2h``, ``now``."""
    distance = now - then
    if abs(distance) < 1:
        return "now"
    coarse = duration(abs(distance)).split(" ")[0].split(".")[0]
    coarse = coarse if coarse[-1].isalpha() else coarse + "s"
    return f"{coarse} ago" if distance > 0 else f"in {coarse}"


def size(count: int) -> str:
    """Return a number of bytes such as ``512 B``, ``1.4 MB`` (powers of 1000, as disks and downloads are counted)."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.1f} {units[0]}"


def _is_hostile(char: str) -> bool:
    return char != _ZERO_WIDTH_JOINER and unicodedata.category(char) in _HOSTILE_CATEGORIES


def _escaped(char: str) -> str:
    return (
        char.encode("ascii", "backslashreplace").decode()
        if ord(char) > 127
        else _ASCII.get(char, f"\\x{ord(char):02x}")
    )


_ASCII = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _columns(char: str) -> int:
    if unicodedata.combining(char) or char == _ZERO_WIDTH_JOINER or unicodedata.category(char) == "Mn":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
