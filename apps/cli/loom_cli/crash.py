"""Crash logs: what a defect leaves behind for its report."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from loom_core.config.paths import cache_dir


def write_crash_log(environ: Mapping[str, str], prog: str, args: Sequence[str], error: BaseException) -> Path:
    """Write a crash log that only its owner can read and return its path. Holds no environment and no local variables.

    Raises ``OSError`` if it cannot be written.
    """
    folder = cache_dir(environ) / "crashes"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.log"
    lines = [
        f"command: {prog} {' '.join(map(repr, args))}",
        f"python: {sys.version}",
        f"platform: {platform.platform()}",
        "",
        *traceback.format_exception(error),
    ]
    # O_EXCL: the name may be guessed, and the log must not be written through somebody's symbolic link.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as log:
        log.write("\n".join(line.rstrip("\n") for line in lines) + "\n")
    return path
