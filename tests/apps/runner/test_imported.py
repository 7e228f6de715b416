"""Runs that came with a file: nothing that they name is executed before a person names it."""

from __future__ import annotations

from loom_app.main import main as loom

from tests.apps.runner.support import Shell


def _imported(shell: Shell, **state: int) -> None:
    shell.run("--max-steps", "3", **state)
    assert loom(("store", "export", "--db", "runs.sqlite", "-o", "runs.jsonl")) == 0
    (shell.place / "runs.sqlite").unlink()
    assert loom(("store", "import", "runs.jsonl", "--db", "runs.sqlite")) == 0


def test_an_imported_run_is_not_resumed_without_its_agent_being_named(shell: Shell) -> None:
    _imported(shell)
    before = shell.snapshot()
    told = shell("resume", "--run-id", "r")
    assert told.status == 2
    assert "was imported, so the code that it names" in told.err
    assert shell.snapshot() == before
    assert "imported  " in shell("explain", "--run-id", "r").out
    assert shell("resume", "agent.py", "--run-id", "r").status == 0


def test_a_fork_of_an_imported_run_is_no_more_trusted(shell: Shell) -> None:
    _imported(shell)
    assert shell("fork", "--run-id", "r", "--from-step", "2").status == 0
    assert shell("resume", "--run-id", "r-fork-2").status == 2
    assert shell("resume", "agent.py", "--run-id", "r-fork-2").status == 0


def test_deciding_a_call_of_an_imported_run_loads_nothing(shell: Shell) -> None:
    _imported(shell, doubt_at=1)
    shell.write("agent.py", "raise SystemExit('loaded')")
    told = shell("resolve", "1/0", "--run-id", "r", "--result", "5")
    assert told.status == 0
    assert "the run was imported" in told.err
