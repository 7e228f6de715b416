"""The command `loom-run`."""

from __future__ import annotations

from collections.abc import Sequence

from loom_cli import LazyCommand, LazyGroup, run_command
from loom_cli.invocation import examples

_COMMANDS = {
    "chat": LazyCommand("loom_run.commands.chat:chat", "Say something to the model, in a new or a named conversation."),
    "resume": LazyCommand("loom_run.commands.resume:resume", "Finish a turn that was interrupted."),
    "show": LazyCommand("loom_run.commands.show:show", "Print a conversation."),
    "explain": LazyCommand("loom_run.commands.explain:explain", "Say what happened in a conversation, step by step."),
    "list": LazyCommand("loom_run.commands.list:list_", "List conversations."),
}


def group() -> LazyGroup:
    """Return the command group; made anew for each invocation, so that nothing is shared between two."""
    return LazyGroup(
        "loom-run",
        lazy=_COMMANDS,
        help="A dev agent on your repository. Every turn is durable: kill it, resume it, explain it.",
        epilog=examples('loom-run chat "what does this repository do?" --model local:smollm2', "loom-run list"),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``loom-run`` and return its exit status."""
    return run_command(group(), argv, prog="loom-run")
