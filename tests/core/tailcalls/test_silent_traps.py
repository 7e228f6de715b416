"""Programs on which a tail-call transform goes wrong silently: each is as the recursion, or rejected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tailcall_traps import TRAPS

ROOT = Path(__file__).parents[3]
# Where work remains after the call, leaving the block first is another program.
REJECTED = {"`finally` that reads arguments", "`suppress` around the call", "a transaction around the call"}


def seen(trap: str, kind: str) -> str:
    argv = [sys.executable, "-m", "benchmarks.tailcall_traps", trap, kind]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    return done.stdout


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_is_as_the_recursion_or_rejected(trap: str) -> None:
    found = seen(trap, "loom_core")
    assert found == ('["rejected"]\n' if trap in REJECTED else seen(trap, "plain"))
