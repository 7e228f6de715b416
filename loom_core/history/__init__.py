"""History as differences: what a step's state costs in the database is what changed in it.

``HistoryEncoder`` turns each state into a form and a body, ``restore`` turns a group of them back into the last one's
text, ``apply`` one of them. Every 64th entry at the latest is whole, so that at most 64 rows are read for any
position. Shared by all stores; standard library only; nothing blocks.

Bodies are UTF-8 and readable in a database shell: WHOLE is the state's JSON; DELTA is JSON, described in
``loom_core.history.deltas``; WHOLE_ZLIB is compressed WHOLE; SAME is empty. Only DELTA_ZLIB is not readable by itself:
a long DELTA, deflated with the end of the state before as dictionary.
"""

from loom_core.history.decoder import apply, restore
from loom_core.history.encoder import GROUP, HistoryEncoder
from loom_core.history.forms import DELTA, DELTA_ZLIB, SAME, WHOLE, WHOLE_ZLIB, HistoryCorrupt

__all__ = [
    "DELTA",
    "DELTA_ZLIB",
    "GROUP",
    "SAME",
    "WHOLE",
    "WHOLE_ZLIB",
    "HistoryCorrupt",
    "HistoryEncoder",
    "apply",
    "restore",
]
