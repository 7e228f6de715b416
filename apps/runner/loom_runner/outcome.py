"""What `run` and `resume` say when they end, and what they end with."""

from __future__ import annotations

import json
from collections.abc import Sequence

from loom_cli import ExitStatus, Invocation

from loom_core.contracts.people import APPROVAL_REASON
from loom_core.contracts.stores import RunRecord, SignalRecord
from loom_core.errors import LoomError
from loom_core.runtime.explain.budgets import OPTIONS, used_up
from loom_core.runtime.explain.failure import failure_of
from loom_core.runtime.explain.reading import CHAT_AGENT
from loom_core.runtime.explain.text import counted, number, shell
from loom_runner.documents import run_data, standing
from loom_runner.reading import database


class RunFailed(LoomError):
    """The run failed at a step; the message says why, the hint how to try again."""

    code = "run_failed"
    exit_status = 1


def exit_status(record: RunRecord) -> ExitStatus:
    """Return what a command ends with that left the run like this."""
    if record.status == "completed":
        return ExitStatus.DONE
    if record.status == "waiting":
        return ExitStatus.WAITING
    if record.status == "paused":
        if used_up(record) is not None:
            return ExitStatus.BUDGET
        return ExitStatus.DONE if (record.reason or "").startswith("slice:") else ExitStatus.INTERRUPTED
    return ExitStatus.FAILED


def next_command(invocation: Invocation, record: RunRecord, inbox: Sequence[SignalRecord] = ()) -> str | None:
    """Return the command that makes sense now, None for a run that is over or in the hands of a living owner.

    ``inbox`` has signals that are known to have come.
    """
    place = ("--run-id", record.run_id, "--db", database(invocation))
    is_chat = record.agent.name == CHAT_AGENT
    agent = () if record.agent.reference is not None or is_chat else ("AGENT",)
    resume = ("loom-run" if is_chat else "loom-runner", "resume", *agent, *place)
    if record.status in ("completed", "cancelled") or standing(record).status == "running":
        return None
    if record.status == "failed":
        return shell((*resume, "--retry-failed"))
    exhausted = used_up(record)
    if exhausted is not None:
        return shell((*resume, OPTIONS[exhausted], "N"))
    if record.status == "waiting" and not standing(record).due:
        if is_chat and record.reason == "signal:message":
            return shell(("loom-run", "chat", "YOUR MESSAGE", *place))
        if (record.reason or "").startswith("doubt:"):
            return shell(("loom-runner", "explain", *place))
        if (record.reason or "").startswith(APPROVAL_REASON):
            return shell(("loom-runner", "approve", (record.reason or "").removeprefix(APPROVAL_REASON), *place))
        if record.reason == f"signal:{record.wake_signal}" and not any(s.name == record.wake_signal for s in inbox):
            return shell(("loom-runner", "signal", record.wake_signal or "", *place, "--payload", "JSON"))
    return shell(resume)


def explain_command(invocation: Invocation, run_id: str) -> str:
    """Return the command that explains a run, fit to be pasted."""
    return shell(("loom-runner", "explain", "--run-id", run_id, "--db", database(invocation)))


def busy_hint(invocation: Invocation, run_id: str) -> str:
    """Return what can be done about a run that a living owner holds."""
    return f"wait until it is done, or stop that process; what it does: {explain_command(invocation, run_id)}"


def report(
    invocation: Invocation,
    record: RunRecord,
    schema: str,
    cause: BaseException | None = None,
    *,
    status: ExitStatus | None = None,
) -> int:
    """Print the result on stdout, the standing and the next command on stderr, and return the exit status.

    ``status`` is one that says more than how the run was left: that the command was interrupted.
    Raises ``RunFailed`` from ``cause`` for a failed run, unless JSON was asked for.
    """
    output = invocation.output
    command = next_command(invocation, record)
    status = exit_status(record) if status is None else status
    if output.as_json:
        output.document(schema, {**run_data(record), "next": command, "exit_status": int(status)})
        return status
    if record.status == "completed":
        print_result(invocation, record)
        output.note(f"run `{record.run_id}` is completed, after {counted(record.step_index, 'step')}")
        return status
    if record.status == "failed":
        raise RunFailed(_why(record), hint=f"when the cause is gone: {command}") from cause
    now = standing(record)
    words = f", {now.words}" if now.words else ""
    output.note(f"run `{record.run_id}` is {now.status} at step {number(record.step_index)}{words}")
    if command is not None:
        # A question is answered, and a signal sent, before the time is over.
        resumes = command.startswith("loom-runner resume")
        due = resumes and record.status == "waiting" and now.due is False and record.wake_at is not None
        output.note(f"next{' (when it is due)' if due else ''}: {command}")
    return status


def print_result(invocation: Invocation, record: RunRecord) -> None:
    """Print a completed run's result: text as it is, anything else as JSON."""
    value = json.loads(record.result or "null")
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    invocation.output.block(text)


def _why(record: RunRecord) -> str:
    failure = failure_of(record.error, record.agent.reference)
    where = f"run `{record.run_id}` failed at step {number(record.step_index)}"
    if failure is None:
        return where
    place = "" if failure.line is None else f" ({failure.line})"
    return f"{where}: {failure}{place}"
