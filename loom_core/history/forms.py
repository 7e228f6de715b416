"""The five forms of a history entry; stored, so never renumbered."""

from __future__ import annotations

from typing import Final

from loom_core.errors import LoomError

WHOLE: Final = 0
DELTA: Final = 1
WHOLE_ZLIB: Final = 2
SAME: Final = 3
DELTA_ZLIB: Final = 4

DICTIONARY_CHARS: Final = 32_000
"""How much of the previous state's end a compressed delta may refer back to; as stored, so never changed."""


class HistoryCorrupt(LoomError, ValueError):
    """Stored history that cannot have been written by Loom; says what is wrong. Whoever knows the run adds its name."""

    code = "history_corrupt"
