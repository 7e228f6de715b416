"""A folder with an agent in it, and `loom-runner` in that folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps.runner.support import AGENT, Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    place = tmp_path / "place"
    place.mkdir()
    (place / "agent.py").write_text(AGENT)
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for variable in ("LOOM_DB", "LOOM_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    return Shell(place, capsys)
