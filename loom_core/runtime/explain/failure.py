"""Where in the user's own code something failed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from loom_core.contracts.stores import ErrorRecord
from loom_core.runtime.explain.events import Failure
from loom_core.runtime.explain.text import whole

_FRAME = re.compile(r'^[ |+]*File "(?P<file>[^"\n]+)", line (?P<line>\d+)(?:, in (?P<where>.+))?\n(?P<code>.*)', re.M)
_OWN = str(Path(__file__).parents[2]) + os.sep
_STANDARD = str(Path(os.__file__).parent) + os.sep


def failure_of(error: ErrorRecord | None, reference: str | None = None) -> Failure | None:
    """Return a recorded error as it is shown, None for none."""
    if error is None:
        return None
    return Failure(
        type=error.type,
        message=whole(error.message),
        category=error.category,
        line=user_line(error.traceback, reference),
    )


def user_line(traceback: str | None, reference: str | None) -> str | None:
    """Return the last line of a traceback that is the user's: in the agent's file, else outside of libraries."""
    if not traceback:
        return None
    frames = list(_FRAME.finditer(traceback))
    agent_file = (reference or "").partition(":")[0]
    own = _last(f for f in frames if f["file"] == agent_file) or _last(f for f in frames if not _is_library(f["file"]))
    if own is None:
        return None
    where = f", in {own['where']}" if own["where"] else ""
    code = own["code"].strip(" |+")
    # Without source text the next line of the traceback is another frame, or the exception itself at the margin.
    if not own["code"].startswith(" ") or code.startswith('File "'):
        code = ""
    return whole(f"{own['file']}, line {own['line']}{where}" + (f": {code}" if code else ""))


def _last(frames: Iterable[re.Match[str]]) -> re.Match[str] | None:
    return next(reversed(list(frames)), None)


def _is_library(file: str) -> bool:
    return file.startswith((_OWN, _STANDARD, "<frozen ")) or "site-packages" in file
