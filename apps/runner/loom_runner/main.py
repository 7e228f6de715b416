"""The command `loom-runner`."""

from __future__ import annotations

from collections.abc import Sequence

from loom_cli import LazyCommand, LazyGroup, examples, run_command

_COMMANDS = {
    "run": LazyCommand("loom_runner.commands.run:run", "Start a run of an agent."),
    "resume": LazyCommand("loom_runner.commands.resume:resume", "Go on with a run from its last committed step."),
    "worker": LazyCommand("loom_runner.commands.worker:worker", "Go on with runs of agents as they become due."),
    "schedule": LazyCommand("loom_runner.commands.schedule_group:group", "Start runs at planned times."),
    "list": LazyCommand("loom_runner.commands.list_runs:list_runs", "List runs, the newest first."),
    "get": LazyCommand("loom_runner.commands.get:get", "Show one run: status, result, totals."),
    "explain": LazyCommand("loom_runner.commands.explain:explain_", "Say what happened, what is in doubt, what to do."),
    "history": LazyCommand("loom_runner.commands.history:history", "List the committed steps of a run."),
    "attempts": LazyCommand("loom_runner.commands.attempts:attempts", "List the failed attempts of a run."),
    "tool-calls": LazyCommand("loom_runner.commands.tool_calls:tool_calls", "List the managed calls of a run."),
    "verify": LazyCommand("loom_runner.commands.verify:verify", "Check what is stored against itself."),
    "pending": LazyCommand("loom_runner.commands.pending:pending", "List the questions that runs ask."),
    "approve": LazyCommand("loom_runner.commands.approve:approve", "Answer a question of a run with yes."),
    "deny": LazyCommand("loom_runner.commands.deny:deny", "Answer a question of a run with no."),
    "signal": LazyCommand("loom_runner.commands.signal:signal", "Send a run the signal that it waits for."),
    "pause": LazyCommand("loom_runner.commands.pause:pause", "Pause a run after the step under way."),
    "cancel": LazyCommand("loom_runner.commands.cancel:cancel", "End a run for good."),
    "resolve": LazyCommand("loom_runner.commands.resolve:resolve", "Decide a call that may or may not have happened."),
}


def group() -> LazyGroup:
    """Return the command group; made anew for each invocation, so that nothing is shared between two."""
    return LazyGroup(
        "loom-runner",
        lazy=_COMMANDS,
        help="Durable runs of agents: start them, kill them, resume them, explain them.",
        epilog=examples(
            "loom-runner run examples/counter_agent.py --run-id demo --max-steps 5",
            "loom-runner explain --run-id demo",
        ),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``loom-runner`` and return its exit status."""
    return run_command(group(), argv, prog="loom-runner")
