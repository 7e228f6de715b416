"""`loom-run` in a folder of its own: in process for speed, in a process of its own where that is the point."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest
from loom_run.main import main

PROGRAM = (sys.executable, "-c", "import sys; from loom_run.main import main; sys.exit(main())")


@attrs.frozen
class Done:
    """What a command ended with."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@attrs.frozen
class Chat:
    """Runs `loom-run` in ``place``."""

    place: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def __call__(self, *argv: str) -> Done:
        self.capture.readouterr()
        status = main(argv)
        captured = self.capture.readouterr()
        return Done(status, captured.out, captured.err)

    def say(self, text: str, *options: str, run_id: str = "q") -> Done:
        return self("chat", text, "--run-id", run_id, *options)

    def script(self, *rules: object) -> None:
        """Let the mock answer by these rules."""
        path = self.place.parent / "script.json"
        path.write_text(json.dumps(rules))
        self.patch.setenv("LOOM_PLUGINS__LLM_MOCK__SCRIPT", str(path))

    def messages(self, run_id: str = "q") -> list[dict[str, Any]]:
        """Return what was said, without the system message."""
        found: list[dict[str, Any]] = self("show", "--run-id", run_id, "--json").data["messages"]
        return found[1:]

    def snapshot(self) -> dict[str, str]:
        """Return the digest of every file of the folder but SQLite's shared memory, which readers touch."""
        return {
            str(path.relative_to(self.place)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.place.rglob("*"))
            if path.is_file() and not path.name.endswith(("-shm", "-wal"))
        }


def calls(db: Path) -> list[tuple[str, str, str]]:
    """Return (kind, name, status) of every call in a database, in their order."""
    connection = apsw.Connection(str(db), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [*connection.execute("SELECT kind, name, status FROM calls ORDER BY id")]
    finally:
        connection.close()


def environment(place: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LOOM_", "XDG_"))}
    return {**kept, "HOME": str(place.parent), "XDG_CACHE_HOME": str(place.parent / "cache"), **more}
