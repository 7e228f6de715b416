"""The example runs, far deeper than recursion could, and every function of it is a loop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from loom_core.tailcalls.explaining import explain_file

EXAMPLE = Path(__file__).parents[3] / "examples/tailcalls.py"


def test_the_example_does_what_its_recursion_says() -> None:
    # Loom need not be installed where only the core is tested.
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE.parents[1])}
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, env=environment)
    expected = ["asked: 100000", "items: 100000", "connection: closed after 50000 attempts"]
    assert (done.stdout.splitlines(), done.stderr) == (expected, "")


def test_every_function_of_the_example_is_a_loop() -> None:
    explanation = explain_file(EXAMPLE)
    assert [one.transform for one in explanation.functions] == ["tailrec", "tailstream", "tailrec", "tailrec"]
    assert {site.action for one in explanation.functions for site in one.report.sites} == {"loop"}
