"""Steps per second, beside raw APSW loops that write the same rows; and system calls per step.

    python -m benchmarks.steps [--steps 1000 10000 100000] [--rounds 5] [--no-strace]

Two raw loops, both on a fresh database with the same schema and pragmas, by the four statements that one would write
by hand (BEGIN IMMEDIATE, UPDATE of the head, INSERT of the step, COMMIT):

- *raw*: makes each row as a hand-written loop has to: the next state, its JSON, its digest, the time. It stores every
  state whole (for the counter these are the rows that Loom writes; of the 4 KB state Loom stores differences).
- *replay*: writes the very rows of the Loom run before it, read back from its database, so it encodes nothing,
  hashes nothing and makes no state: the floor that SQLite sets.

All take turns; ratios are of pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import attrs
from loom_store_sqlite.files import DatabaseFile
from loom_store_sqlite.opening import open_for_writing

from loom_core import AgentRunner, Complete, Continue

RUN_ID = "bench"
HEADERS = [
    "state",
    "steps",
    "Loom µs",
    "raw µs",
    "replay µs",
    "raw ÷ Loom",
    "replay ÷ Loom",
    "Loom steps/s",
    "Loom bytes/step",
    "raw bytes/step",
]
CALLS = ("pwrite64", "fcntl", "fdatasync", "fsync")


@attrs.frozen
class Counter:
    n: int
    last: int


@attrs.frozen
class Document:
    """Some 4 KB, of which 100 bytes change at every step."""

    n: int
    last: int
    changing: str
    paragraphs: tuple[str, ...]


async def step(state: Any, ctx: Any) -> Any:
    return Complete(state.n) if state.n == state.last else Continue(state.next())


def _count(state: Counter) -> Counter:
    return Counter(state.n + 1, state.last)


def _edit(state: Document) -> Document:
    return Document(state.n + 1, state.last, f"{state.n:0100d}", state.paragraphs)


Counter.next = _count  # type: ignore[attr-defined]
Document.next = _edit  # type: ignore[attr-defined]


def first_state(kind: str, steps: int) -> Any:
    if kind == "counter":
        return Counter(0, steps)
    return Document(0, steps, "0" * 100, tuple(f"{i:03d} " + "lorem ipsum dolor " * 21 for i in range(10)))


def run_loom(db: Path, kind: str, steps: int) -> float:
    """Return the seconds of the whole run, its synced creation and completion included."""

    async def main() -> float:
        state = first_state(kind, steps)
        async with AgentRunner(step=step, state_type=type(state), store=db) as runner:
            # The raw loop finds an open database with its tables, too.
            await runner.start(run_id="warm", initial_state=first_state(kind, 1))
            started = time.perf_counter()
            await runner.start(run_id=RUN_ID, initial_state=state)
            return time.perf_counter() - started

    return asyncio.run(main())


def replay(db: Path, rows: list[tuple[Any, ...]]) -> float:
    """Write ``rows`` one transaction each and return the seconds."""
    return _write(db, iter(rows))


def run_raw(db: Path, kind: str, steps: int) -> float:
    """Run the same states through a hand-written loop and return the seconds."""
    return _write(db, _made_rows(first_state(kind, steps), steps))


def _made_rows(state: Any, steps: int) -> Iterator[tuple[Any, ...]]:
    # Not attrs.asdict, which copies recursively and takes ten times as long as naming the fields.
    names = [field.name for field in attrs.fields(type(state))]
    for number in range(steps):
        state = state.next()
        text = json.dumps({name: getattr(state, name) for name in names}, separators=(",", ":")).encode()
        digest = hashlib.blake2b(text, digest_size=16).digest()
        yield (1 << 32) + number + 2, 1, 0, 1, time.time(), digest, 0, text, None


def _write(db: Path, rows: Iterator[tuple[Any, ...]]) -> float:
    connection = open_for_writing(DatabaseFile(name=str(db), path=str(db)), may_create=True)
    connection.pragma("synchronous", 1)
    cursor = connection.cursor()
    cursor.execute(
        "INSERT INTO heads(run_no, status, step_index, attempt_index, epoch, lease_wall_s, lease_boot_s, updated_at, "
        "calls, model_calls, failed_attempts, failed_calls, unknown_calls, tokens_in, tokens_out) "
        "VALUES(1, 'running', 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)"
    )
    execute = cursor.execute
    started = time.perf_counter()
    for number, row in enumerate(rows):
        execute("BEGIN IMMEDIATE")
        execute(
            "UPDATE heads SET step_index=?, attempt_index=0, lease_wall_s=?, lease_boot_s=?, updated_at=? "
            "WHERE run_no=1 AND epoch=1 AND step_index=? AND status='running'",
            (number + 1, row[4] + 30.0, row[4], row[4], number),
        )
        assert connection.changes() == 1
        execute("INSERT INTO steps VALUES(?,?,?,?,?,?,?,?,?)", row)
        execute("COMMIT")
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def rows_of(db: Path) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(db), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(connection.execute("SELECT * FROM steps WHERE outcome = 1 AND id >> 32 = 2 ORDER BY id"))
    finally:
        connection.close()


def compare(kind: str, steps: int, rounds: int, folder: Path) -> list[str]:
    loom_us, raw_us, replay_us = [], [], []
    sizes = (0, 0)
    for number in range(rounds):
        db, raw, again = (folder / f"{kind}{steps}-{number}-{name}.sqlite" for name in ("loom", "raw", "replay"))
        loom_us.append(run_loom(db, kind, steps) / steps * 1e6)
        raw_us.append(run_raw(raw, kind, steps) / steps * 1e6)
        rows = rows_of(db)
        assert len(rows) == steps
        replay_us.append(replay(again, rows) / steps * 1e6)
        sizes = (db.stat().st_size, raw.stat().st_size)
        for file in (db, raw, again):
            file.unlink()
    loom = statistics.median(loom_us)
    return [
        kind,
        f"{steps:,}",
        f"{loom:.1f}",
        f"{statistics.median(raw_us):.1f}",
        f"{statistics.median(replay_us):.1f}",
        f"**{_ratio(raw_us, loom_us)}**",
        _ratio(replay_us, loom_us),
        f"{1e6 / loom:,.0f}",
        f"{sizes[0] / steps:.0f}",
        f"{sizes[1] / steps:.0f}",
    ]


def _ratio(others: list[float], own: list[float]) -> str:
    return f"{statistics.median(other / mine for other, mine in zip(others, own, strict=True)):.2f}"


def system_calls(kind: str, folder: Path) -> list[str]:
    """Count by the difference of two runs, so that start and end cancel out; long enough to include WAL checkpoints."""
    few, many = 1_000, 9_000
    counts = [_strace(kind, steps, folder) for steps in (few, many)]
    return [kind, *(f"{(counts[1][c] - counts[0][c]) / (many - few):.2f}" for c in CALLS)]


def _strace(kind: str, steps: int, folder: Path) -> dict[str, int]:
    summary, db = folder / f"{kind}{steps}.strace", folder / f"{kind}{steps}-strace.sqlite"
    argv = ["strace", "-f", "-c", "-o", str(summary), "-e", f"trace={','.join(CALLS)}"]
    argv += [sys.executable, "-m", "benchmarks.steps", "--child", kind, str(steps), str(db)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    found = dict.fromkeys(CALLS, 0)
    for line in summary.read_text().splitlines():
        match = re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)\s*", line)
        if match and match[2] in found:
            found[match[2]] = int(match[1])
    return found


def table(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-strace", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("KIND", "STEPS", "DB"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, steps, db = options.child
        run_loom(Path(db), kind, int(steps))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_loom(folder / "warm.sqlite", "counter", 500)
        rows = [compare(kind, steps, options.rounds, folder) for kind in ("counter", "4 KB") for steps in options.steps]
        print(table(HEADERS, rows))
        if options.no_strace or shutil.which("strace") is None:
            print("\nsystem calls were not counted")
            return
        print()
        calls = [system_calls(kind, folder) for kind in ("counter", "4 KB")]
        print(table(["state", *(f"{c} per step" for c in CALLS)], calls))


if __name__ == "__main__":
    main()
