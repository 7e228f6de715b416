"""Names of files as the model and a terminal may see them."""

from __future__ import annotations

_LONGEST = 300


def shown(text: str, longest: int = _LONGEST) -> str:
    """Return ``text`` on one line, what cannot be printed escaped, cut in the middle when it is very long.

    Bytes that are not UTF-8 (surrogates of ``os.fsdecode``) appear as ``\\xNN``. The result can always be encoded.
    """
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-longest // 2 :]}"
    if text.isprintable():
        return text
    return "".join(_escaped(char) for char in text)


def quantity(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 file``, ``1,234 files``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _escaped(char: str) -> str:
    # Controls, bidirectional and other format characters, odd spaces: each can make a name look like another one.
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
