"""The names that `loom_core` promises; `PROMISED` is the published list, of which none may go away once it is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import loom_core

PROMISED_LINES = """
tailrec tailstream explain_tailcalls TailCallError TailCallReport TailCallSite
Agent AgentRunner RunContext Continue Complete Sleep Wait
RunExists RunNotFound RunBusy LeaseLost NotStarted ToolContext Done NotDone Unknown
RunResult RunStep RunStats RunExplanation RunVerification
CheckpointPolicy PayloadPolicy RetryPolicy Budget ErrorCategory StepExecutionError
Tool tool ToolRegistry ToolResult open_store Runtime
trace annotate Trace Span hookimpl LoomError
"""
PROMISED = frozenset(PROMISED_LINES.split())
NOT_YET = {
    *("CheckpointPolicy", "PayloadPolicy"),
    *("trace", "annotate", "Trace", "Span"),
}


@pytest.mark.parametrize("name", sorted(PROMISED - NOT_YET))
def test_a_promised_name_is_there(name: str) -> None:
    assert name in loom_core.__all__
    assert getattr(loom_core, name) is not None


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_a_name_that_is_not_filled_yet_does_not_exist(name: str) -> None:
    """No stubs: when this fails because the name exists now, take it out of ``NOT_YET``."""
    assert not hasattr(loom_core, name)


def test_every_exported_name_can_be_imported_and_is_listed_in_order() -> None:
    assert [name for name in loom_core.__all__ if not hasattr(loom_core, name)] == []
    assert loom_core.__all__ == sorted(set(loom_core.__all__), key=lambda name: (name.islower(), name))
    assert set(loom_core.__all__) <= set(dir(loom_core))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nope'"):
        _ = loom_core.Nope


def test_importing_the_core_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import loom_core; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "sqlite3", "apsw", "attr", "cattrs", "click", "pluggy"}
    assert heavy & set(done.stdout.split()) == set()
