"""What kind of content a file has, told by its first bytes."""

from __future__ import annotations

import os

HEAD_BYTES = 8_192
NOT_UTF8 = "text in an encoding other than UTF-8, or binary data,"
_MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"(\xb5/\xfd", "zstd data"),
    (b"\x7fELF", "an ELF program"),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O program"),
    (b"\xca\xfe\xba\xbe", "a Java class or Mach-O program"),
    (b"\0asm", "a WebAssembly module"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"GGUF", "model weights"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)


def binary_kind(head: bytes) -> str | None:
    """Return what a file that is not UTF-8 text seems to be; None if its ``head`` looks like text.

    A NUL character settles it, as in git and grep. Bytes that are not UTF-8 settle it too; a character that the end of
    ``head`` cuts in two does not.
    """
    if b"\0" not in head and text_of(head, whole=False) is not None:
        return None
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    return "binary data" if b"\0" in head else NOT_UTF8


def text_of(data: bytes, *, whole: bool = True) -> str | None:
    """Return ``data`` as text; None if it is not UTF-8. Unless ``whole``, a character cut at the end is dropped."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        cut = error.reason == "unexpected end of data" and len(data) - error.start < 4
        return data[: error.start].decode() if cut and not whole else None


def read_at(descriptor: int, offset: int, length: int) -> bytes:
    """Return up to ``length`` bytes from ``offset``, fewer only at the end of the file."""
    pieces: list[bytes] = []
    while length > 0 and (piece := os.pread(descriptor, min(length, 1 << 20), offset)):
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return b"".join(pieces)
