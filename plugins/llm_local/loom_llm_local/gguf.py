"""What can be said of a GGUF file before any engine sees it.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

MAGIC = b"GGUF"
_HEAD = struct.Struct("<4sIQQ")
_SMALLEST_TENSOR_ENTRY = 24
_VERSIONS = (2, 3)


def fault_of(path: Path, protected_files: Callable[[], frozenset[tuple[int, int]]] = frozenset) -> str | None:
    """Return why ``path`` is no usable GGUF file, None if it may be one. Opens nothing but regular files.

    ``protected_files`` are (device, inode) of files that this process must not open, a run database for one.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return "it is not a regular file"
        if (status.st_dev, status.st_ino) in protected_files():
            return "it is a run database that is in use"
        head = _first_bytes(path)
    except OSError as error:
        return error.strerror or str(error)
    return _fault_of_head(head, status.st_size)


def _first_bytes(path: Path) -> bytes:
    # O_NONBLOCK: a FIFO put in the place of the file meanwhile would block for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_HEAD.size)


def _fault_of_head(head: bytes, size: int) -> str | None:
    if not head.startswith(MAGIC):
        return "it does not begin with GGUF" if head else "it is empty"
    if len(head) < _HEAD.size:
        return "it ends within its header"
    _, version, tensors, entries = _HEAD.unpack(head)
    if version not in _VERSIONS:
        return f"it is GGUF version {version}; versions {' and '.join(map(str, _VERSIONS))} are known"
    if not tensors or not entries:
        return "it holds no model"
    if (tensors + entries) * _SMALLEST_TENSOR_ENTRY // 2 > size:
        return "its header promises more than the file holds"
    return None
