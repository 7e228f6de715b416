"""Steps per second, beside a raw APSW loop that writes the same rows; and system calls per step.

    python -m benchmarks.steps [--steps 1000 10000 100000] [--rounds 5] [--no-strace]

The raw loop is the strictest one there is: it writes *the very rows* that the run before it wrote (read back from its
database), into a fresh database with the same schema and pragmas, by the four statements that one would write by hand
(BEGIN IMMEDIATE, UPDATE of the head, INSERT of the step, COMMIT). It encodes nothing, hashes nothing, and calls no
user code.
Loom and raw take turns; ratios are of pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw
import attrs
from loom_store_sqlite.files import DatabaseFile
from loom_store_sqlite.opening import open_for_writing

from loom_core import AgentRunner, Complete, Continue

RUN_ID = "bench"
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


def run_raw(db: Path, rows: list[tuple[Any, ...]]) -> float:
    """Write ``rows`` one transaction each and return the seconds."""
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
    loom_us, raw_us = [], []
    size = 0
    for number in range(rounds):
        db, raw = folder / f"{kind}{steps}-{number}.sqlite", folder / f"{kind}{steps}-{number}-raw.sqlite"
        loom_us.append(run_loom(db, kind, steps) / steps * 1e6)
        rows = rows_of(db)
        assert len(rows) == steps
        raw_us.append(run_raw(raw, rows) / steps * 1e6)
        size = db.stat().st_size
        db.unlink()
        raw.unlink()
    ratio = statistics.median(r / m for r, m in zip(raw_us, loom_us, strict=True))
    loom = statistics.median(loom_us)
    return [
        kind,
        f"{steps:,}",
        f"{loom:.1f}",
        f"{statistics.median(raw_us):.1f}",
        f"{ratio:.2f}",
        f"{1e6 / loom:,.0f}",
        f"{size / steps:.0f}",
    ]


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
        print(table(["state", "steps", "Loom µs", "raw µs", "raw ÷ Loom", "Loom steps/s", "bytes/step"], rows))
        if options.no_strace or shutil.which("strace") is None:
            print("\nsystem calls were not counted")
            return
        print()
        calls = [system_calls(kind, folder) for kind in ("counter", "4 KB")]
        print(table(["state", *(f"{c} per step" for c in CALLS)], calls))


if __name__ == "__main__":
    main()
