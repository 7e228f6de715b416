"""What a docstring says of a function and of its parameters."""

from __future__ import annotations

import inspect
import re

import attrs

_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Return|Yields|Raises|Examples?|Notes?):\s*")
_ARGUMENTS = ("Args", "Arguments", "Parameters")
_FIELD = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_OTHER_FIELD = re.compile(r":\w+[^:]*:")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s+(.*)")


@attrs.frozen
class Documentation:
    """``description`` is everything before the first section; ``parameters`` the texts by parameter name."""

    description: str
    parameters: dict[str, str]


def read_docstring(text: str | None) -> Documentation:
    """Read an ``Args:`` section (indented ``name: text`` or ``name (type): text``) or ``:param name: text`` lines."""
    lines = inspect.cleandoc(text or "").split("\n")
    description: list[str] = []
    parameters: dict[str, str] = {}
    section: str | None = None
    entry: str | None = None
    entry_indent = 0
    for line in lines:
        words, indent = line.strip(), len(line) - len(line.lstrip())
        field = _FIELD.fullmatch(words)
        heading = _SECTION.fullmatch(words) if indent == 0 else None
        if field is not None:
            section, entry, entry_indent = "field", field[1], indent
            parameters[field[1]] = field[2]
        elif heading is not None:
            section, entry = heading[1], None
        elif section is None and not _OTHER_FIELD.match(words):
            description.append(line)
        elif not words:
            entry = None
        elif entry is not None and indent > entry_indent:
            parameters[entry] = f"{parameters[entry]} {words}".strip()
        elif section in _ARGUMENTS and indent > 0 and (found := _ENTRY.fullmatch(words)) is not None:
            entry, entry_indent = found[1], indent
            parameters[found[1]] = found[2]
        else:
            section, entry = section or "other", None
    return Documentation("\n".join(description).strip(), parameters)
