"""What every program here prints: one JSON line about one run. Standard library only, any interpreter runs it."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable

MESSAGE_BYTES = 500


def message(number: int) -> str:
    """Return the n-th message of a conversation: text that does not repeat itself."""
    import random

    return random.Random(number).randbytes(MESSAGE_BYTES // 2).hex()


def report(db: str, steps: int, seconds: float, **more: float) -> None:
    """Print the figures of a run that has ended and whose database is closed."""
    size = sum(os.path.getsize(db + suffix) for suffix in ("", "-wal") if os.path.exists(db + suffix))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"steps": steps, "seconds": seconds, "bytes": size, "peak_kib": peak_kib, **more}))


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def arguments() -> tuple[str, str, str, int]:
    """Return (what: counter | chat | resume, setting, database, steps) of the command line."""
    what, setting, db, steps = sys.argv[1:5]
    return what, setting, db, int(steps)
