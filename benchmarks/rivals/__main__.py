"""Loom beside loom-runner, LangGraph and DBOS from PyPI: the same work, in turn, in one run of this program.

    python -m benchmarks.rivals [--steps 2000] [--rounds 5] [--resume-steps 10000] [--python RIVALS_PYTHON]

Makes a virtual environment for the others in a cache folder (about 200 MB) unless ``--python`` names an interpreter
that has them. Each run is a process with a fresh database; what is timed is the loop alone, without imports. Ratios are
medians of pairs that ran next to each other.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import attrs

HERE = Path(__file__).parent
REQUIREMENTS = ["loom-runner==0.1.3", "dbos==3.4.0", "langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2"]
CALLS = ("pwrite64", "fdatasync", "fsync", "fcntl")


@attrs.frozen
class System:
    """One program with one setting; ``own`` programs run by this interpreter."""

    label: str
    program: str
    setting: str
    own: bool = False
    resumes: bool = True


SYSTEMS = (
    System("Loom `standard`", "loom_steps", "standard", own=True),
    System("Loom `pipelined`", "loom_steps", "pipelined", own=True, resumes=False),
    System("Loom `strict`", "loom_steps", "strict", own=True),
    System("raw APSW loop", "raw_steps", "standard", own=True, resumes=False),
    System("raw APSW loop, synced", "raw_steps", "strict", own=True, resumes=False),
    System("loom-runner 0.1.3 full", "loom_runner_steps", "full"),
    System("loom-runner 0.1.3 compact", "loom_runner_steps", "compact"),
    System("LangGraph sync, own pragmas", "langgraph_steps", "sync"),
    System("LangGraph sync, equal pragmas", "langgraph_steps", "sync-equal"),
    System("LangGraph async, equal pragmas", "langgraph_steps", "async-equal"),
    System("DBOS, own pragmas", "dbos_steps", "own", resumes=False),
    System("DBOS, equal pragmas", "dbos_steps", "equal", resumes=False),
)


def run(system: System, what: str, db: Path, steps: int, python: Path, wrapper: tuple[str, ...] = ()) -> Any:
    """Run one program and return what it printed."""
    if system.own:
        argv = [sys.executable, "-m", f"benchmarks.rivals.{system.program}"]
    else:
        argv = [str(python), str(HERE / f"{system.program}.py")]
    argv = [*wrapper, *argv, what, system.setting, str(db), str(steps)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare_speed(steps: int, rounds: int, python: Path, folder: Path) -> list[list[str]]:
    found: dict[str, list[Any]] = {system.label: [] for system in SYSTEMS}
    for number in range(rounds):
        for index, system in enumerate(SYSTEMS):
            found[system.label].append(run(system, "counter", folder / f"{number}-{index}.db", steps, python))
    own = [one["seconds"] for one in found[SYSTEMS[0].label]]
    rows = []
    for system in SYSTEMS:
        runs = found[system.label]
        micros = statistics.median(one["seconds"] for one in runs) / steps * 1e6
        ratio = statistics.median(one["seconds"] / mine for one, mine in zip(runs, own, strict=True))
        calls = system_calls(system, python, folder)
        rows.append(
            [
                system.label,
                f"{micros:,.0f}",
                f"{1e6 / micros:,.0f}",
                f"{ratio:.2f}",
                *(f"{calls[name]:.1f}" for name in CALLS),
                f"{statistics.median(one['bytes'] for one in runs) / steps:,.0f}",
                f"{statistics.median(one['peak_kib'] for one in runs) / 1024:,.0f}",
            ]
        )
    return rows


def system_calls(system: System, python: Path, folder: Path) -> dict[str, float]:
    """Return calls per step, by the difference of two runs, so that start and end cancel out."""
    if shutil.which("strace") is None:
        return dict.fromkeys(CALLS, float("nan"))
    few, many = 100, 600
    totals = []
    for steps in (few, many):
        name = f"{re.sub(r'[^a-z]', '', system.label.lower())}-{steps}"
        summary = folder / f"{name}.strace"
        wrapper = ("strace", "-f", "-c", "-o", str(summary), "-e", f"trace={','.join(CALLS)}")
        run(system, "counter", folder / f"{name}.db", steps, python, wrapper)
        counts = dict.fromkeys(CALLS, 0)
        for line in summary.read_text().splitlines():
            match = re.fullmatch(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)\s*", line)
            if match and match[2] in counts:
                counts[match[2]] = int(match[1])
        totals.append(counts)
    return {name: (totals[1][name] - totals[0][name]) / (many - few) for name in CALLS}


def compare_resume(steps: int, python: Path, folder: Path) -> list[list[str]]:
    rows = []
    for index, system in enumerate(one for one in SYSTEMS if one.resumes):
        if system.setting not in ("standard", "full", "sync-equal"):
            continue
        db = folder / f"resume-{index}.db"
        run(system, "prepare", db, steps, python)
        seconds = [run(system, "resume", db, steps, python)["first_step_s"] for _ in range(1)]
        rows.append([system.label, f"{steps:,}", f"{statistics.median(seconds) * 1000:,.1f}"])
    return rows


def compare_chat(messages: int, python: Path, folder: Path) -> list[list[str]]:
    rows = []
    own = None
    for index, system in enumerate(SYSTEMS):
        if system.setting not in ("standard", "full", "sync-equal") or system.program == "raw_steps":
            continue
        size = run(system, "chat", folder / f"chat-{index}.db", messages, python)["bytes"]
        own = own or size
        rows.append([system.label, str(messages), f"{size / 1000:,.0f}", f"{size / own:,.1f}"])
    return rows


def rivals_python(given: str | None) -> Path:
    """Return an interpreter that has the others installed, made if need be."""
    if given:
        return Path(given)
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "loom-benchmarks" / "rivals"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
    return python


def table(headers: list[str], rows: list[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--resume-steps", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=200)
    parser.add_argument("--python", help="an interpreter that has the other systems installed")
    options = parser.parse_args()
    python = rivals_python(options.python)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        headers = ["system", "µs a step", "steps/s", "÷ Loom `standard`", *(f"{c}/step" for c in CALLS)]
        rows = compare_speed(options.steps, options.rounds, python, folder)
        print(table([*headers, "bytes/step", "peak MiB"], rows))
        print()
        print(
            table(
                ["system", "steps before", "first step after, ms"], compare_resume(options.resume_steps, python, folder)
            )
        )
        print()
        chats = compare_chat(options.messages, python, folder)
        print(table(["system", "messages", "kB of database", "÷ Loom"], chats))


if __name__ == "__main__":
    main()
