"""`loom` as a user has it: a home of its own, the installed plugins, and small third-party distributions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from loom_app.main import main

from tests.core.plugins.distributions import Site, site


@attrs.frozen
class Ended:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("LOOM_", "XDG_", "OPENAI_", "OLLAMA_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "site") as made:
        yield made


@pytest.fixture
def loom(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def run(*args: str) -> Ended:
        status = main(args)
        captured = capfd.readouterr()
        return Ended(status, captured.out, captured.err)

    return run
