"""A folder with a small repository in it, and `loom-run` in that folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.apps.run.support import Chat


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Chat:
    place = tmp_path / "place"
    place.mkdir()
    (place / "notes.md").write_text("# Notes\n\nThe retry policy is in retries.py.\n")
    for name in [name for name in os.environ if name.startswith(("LOOM_", "XDG_", "OPENAI_", "OLLAMA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOOM_MODEL", "mock:default")
    monkeypatch.setenv("LOOM_PLUGINS__RETRY_POLICIES__INITIAL_S", "0.01")
    monkeypatch.chdir(place)
    return Chat(place, capsys, monkeypatch)
