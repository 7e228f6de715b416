"""`docs/tailcalls.md`, executed: its first example says what it shows, and its map names every module."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/tailcalls.md").read_text()


def test_the_first_example_prints_what_is_shown(tmp_path: Path) -> None:
    example = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    path = tmp_path / "example.py"
    path.write_text(example)
    spec = importlib.util.spec_from_file_location("__main__", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        spec.loader.exec_module(module)
    shown = "".join(line[2:] for line in example.splitlines(keepends=True) if line.startswith("# "))
    assert printed.getvalue().replace(str(path), "example.py") == shown
    assert asyncio.run(module.count(5)) == 10


def test_every_module_is_on_the_map() -> None:
    table = PAGE.split("## Where to extend it")[1]
    named = {name for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    there = {path.stem for path in (ROOT / "loom_core/tailcalls").glob("*.py")} - {"__init__"}
    assert named == there
