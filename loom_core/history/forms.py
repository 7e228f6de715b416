"""The four forms of a history entry; stored, so never renumbered."""

from __future__ import annotations

from typing import Final

from loom_core.errors import LoomError

WHOLE: Final = 0
DELTA: Final = 1
WHOLE_ZLIB: Final = 2
SAME: Final = 3


class HistoryCorrupt(LoomError, ValueError):
    """Stored history that cannot have been written by Loom; says what is wrong. Whoever knows the run adds its name."""

    code = "history_corrupt"
