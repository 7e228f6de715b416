"""Copy bytes to a file while counting, hashing and telling; say clearly when the disk is full."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from loom_core.contracts.models import PullProgress
from loom_core.errors import ErrorCategory, ModelFailed

PIECE_BYTES = 1 << 18
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def copy_verified(source: IO[bytes], target: Path, *, what: str, total: int, tell: PullProgress) -> str:
    """Copy ``source`` to ``target`` and return the SHA-256 of what was copied, in hexadecimal."""
    refuse_if_no_room(target.parent, total)
    digest, done = hashlib.sha256(), 0
    tell(what, 0, total)
    with target.open("wb") as file:
        while piece := source.read(PIECE_BYTES):
            file.write(piece)
            digest.update(piece)
            done += len(piece)
            tell(what, done, total)
    return digest.hexdigest()


def refuse_if_no_room(folder: Path, needed_bytes: int) -> None:
    """Raise ``ModelFailed`` if ``needed_bytes`` certainly do not fit into ``folder``'s file system."""
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise _full(folder, f"{needed_bytes / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free")


@contextlib.contextmanager
def clear_file_errors(folder: Path) -> Iterator[None]:
    """Turn the operating system's ways to say that there is no room, or no access, into ``ModelFailed``."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise _full(folder, "the write was refused") from error
        raise ModelFailed(
            f"{error.filename or folder} cannot be written or read: {error.strerror or error}",
            error_category=ErrorCategory.PERMISSION,
            is_retryable=False,
            hint="choose another folder: models_dir under [plugins.llm_local]",
        ) from error


def is_full(error: OSError) -> bool:
    """Return whether the operating system says that no more can be written."""
    return error.errno in _FULL


def _full(folder: Path, detail: str) -> ModelFailed:
    return ModelFailed(
        f"no room in {folder}: {detail}",
        error_category=ErrorCategory.BUSINESS,
        is_retryable=False,
        hint="make room, or choose another folder: models_dir under [plugins.llm_local]",
    )
