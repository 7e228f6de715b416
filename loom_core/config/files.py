"""Reading a configuration file that may be anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MAX_BYTES = 1_000_000


class Unusable(Exception):
    """What is there is no configuration file; says why."""


def read_regular(path: Path) -> bytes:
    """Return what a regular file of at most ``MAX_BYTES`` holds, and never wait for it.

    Raises ``Unusable`` for what is no such file, and ``OSError``.
    """
    # Before it is opened: opening a device may do something. After that too: it may be another file by then.
    _check(path.stat())
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        _check(os.fstat(file.fileno()))
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Unusable(_TOO_LONG)
    return data


_TOO_LONG = f"is longer than {MAX_BYTES} bytes, so it is no configuration file"


def _check(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = next(name for is_kind, name in _KINDS if is_kind(found.st_mode))
        raise Unusable(f"is {what}, not a file")
    if found.st_size > MAX_BYTES:
        raise Unusable(_TOO_LONG)


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (bool, "a device"),
)
