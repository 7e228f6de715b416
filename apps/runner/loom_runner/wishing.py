"""What `pause` and `cancel` have in common: a wish, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from loom_cli import Invocation

from loom_core.contracts.stores import Store
from loom_core.runtime.controlling import Outcome
from loom_runner.documents import run_data, standing
from loom_runner.outcome import explain_command, next_command
from loom_runner.reading import with_store


def wish(invocation: Invocation, run_id: str, verb: str, ask: Callable[[Store], Awaitable[Outcome]]) -> None:
    """Ask, and say whether it is done, or who has to do it."""
    outcome = with_store(invocation, ask, "write")
    record, output = outcome.record, invocation.output
    command = explain_command(invocation, run_id) if outcome.owner else next_command(invocation, record)
    if output.as_json:
        data = {**run_data(record), "asked_of": outcome.owner, "already": outcome.already, "next": command}
        output.document(f"loom.runner.{verb}/1", data)
        return
    if outcome.owner is not None:
        output.note(f"{outcome.owner} works on run `{run_id}` and was asked to {verb} it")
    else:
        now = standing(record)
        words = f": {now.words}" if now.words else ""
        output.note(
            f"run `{run_id}` {'was' if outcome.already else 'is'} {now.status}{' already' * outcome.already}{words}"
        )
    if command is not None:
        output.note(f"next: {command}")
