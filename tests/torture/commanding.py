"""`loom-runner` in forked children, with the ledger agent loaded from a file as a user's agent is."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

from loom_runner.main import main

from tests.torture import ledger_agent

_AGENT = """
from pathlib import Path
from tests.torture.ledger_agent import make_agent
agent = make_agent(Path({ledger!r}))
"""


def run(db: Path, ledger: Path) -> dict[str, Any]:
    """Start the ledger run with `loom-runner run`; belongs into a child."""
    return _main("run", _agent_file(db, ledger), "--run-id", ledger_agent.RUN_ID, "--db", str(db))


def resume(db: Path, ledger: Path) -> dict[str, Any]:
    """Resume it with `loom-runner resume`; belongs into a child."""
    return _main("resume", _agent_file(db, ledger), "--run-id", ledger_agent.RUN_ID, "--db", str(db))


def _agent_file(db: Path, ledger: Path) -> str:
    # One for each process: a file that is written while another process reads it is half an agent.
    own = db.with_name(f"{db.stem}_{os.getpid()}.py")
    own.write_text(_AGENT.format(ledger=str(ledger)))
    return str(own)


def _main(*argv: str) -> dict[str, Any]:
    for name in [name for name in os.environ if name.startswith("LOOM_")]:
        del os.environ[name]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(argv)
    return {"status": int(status), "out": out.getvalue(), "err": err.getvalue(), "pid": os.getpid()}
