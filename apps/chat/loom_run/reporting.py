"""What a turn says when it ends, and what the command ends with."""

from __future__ import annotations

from typing import Any

import attrs
from loom_cli.exits import ExitStatus
from loom_cli.invocation import Invocation

from loom_core.contracts.budgets import BUDGET_REASON
from loom_core.contracts.people import APPROVAL_REASON
from loom_core.contracts.stores import ErrorRecord, RunRecord
from loom_core.errors import LoomError
from loom_core.runtime.assembly import DEFAULT_DB
from loom_core.runtime.explain.failure import failure_of
from loom_core.runtime.explain.text import date_time, shell
from loom_core.runtime.results import RunResult
from loom_run.conversation import SIGNAL, Conversation
from loom_run.sessions import Turn
from loom_run.view import TurnView

SCHEMA = "loom.run.chat/1"


def database(invocation: Invocation) -> str:
    """Return the database that is meant, as it was given."""
    return invocation.config.db or DEFAULT_DB


def command(invocation: Invocation, name: str, run_id: str, *options: str) -> str:
    """Return a command line about a conversation, fit to be pasted."""
    return shell(("loom-run", name, *options, "--run-id", run_id, "--db", database(invocation)))


def report(
    invocation: Invocation, view: TurnView, run_id: str, model: str, turn: Turn, *, stopped: bool, goes_on: bool
) -> ExitStatus:
    """Print the answer and where the conversation stands, and return the exit status.

    ``stopped`` says that Ctrl-C was pressed: whoever did so wants nothing to follow, even if the answer was finished.
    ``goes_on`` says that the person is asked for the next message at once, and needs no command for it.
    """
    result = turn.result
    following, status = _following(invocation, run_id, result)
    if stopped and status == ExitStatus.DONE:
        status = ExitStatus.INTERRUPTED
    answer = _answer_of(result.state)
    _document(invocation, run_id, model, result, answer=answer, sent=turn.sent, following=following, status=status)
    if not turn.sent:
        invocation.output.warning("the message was not sent")
    if result.status == "failed":
        return _failed(invocation, run_id, result.error, following, None)
    if _is_your_turn(result):
        view.answer(answer or "")
        if not goes_on or stopped:
            say_your_turn(invocation, run_id)
    else:
        waits = _wait_of(result) if result.status == "waiting" else f"is {result.status}"
        if status == ExitStatus.BUDGET:
            waits = f"is paused: its budget is used up ({result.reason})"
        invocation.output.note(f"run `{run_id}` {waits}\nnext: {following}")
    return status


def _wait_of(result: RunResult) -> str:
    if result.wake_at is None:
        return f"waits for a person ({result.reason})"
    return f"waits until {date_time(result.wake_at)} before it tries again"


def say_your_turn(invocation: Invocation, run_id: str) -> None:
    """Say how the conversation is gone on with."""
    invocation.output.note(f"run `{run_id}` · your turn: {command(invocation, 'chat', run_id, 'YOUR MESSAGE')}")


def report_failure(invocation: Invocation, record: RunRecord, model: str, cause: Exception) -> ExitStatus:
    """Say why a turn failed, which is recorded, and how to try again."""
    result = RunResult(
        run_id=record.run_id, status=record.status, step_index=record.step_index, state=None, error=record.error
    )
    following, status = _following(invocation, record.run_id, result)
    _document(invocation, record.run_id, model, result, answer=None, sent=True, following=following, status=status)
    hint = cause.hint if isinstance(cause, LoomError) else None
    return _failed(invocation, record.run_id, record.error, following, hint)


def _following(invocation: Invocation, run_id: str, result: RunResult) -> tuple[str, ExitStatus]:
    """Return the command that makes sense now, and the exit status."""
    if _is_your_turn(result):
        return command(invocation, "chat", run_id, "YOUR MESSAGE"), ExitStatus.DONE
    reason = result.reason or ""
    if result.status == "paused" and reason.startswith(BUDGET_REASON):
        option = f"--add-{reason.removeprefix(BUDGET_REASON).replace('_', '-')}"
        return command(invocation, "resume", run_id, option, "N"), ExitStatus.BUDGET
    if result.status == "waiting" and reason.startswith(APPROVAL_REASON):
        place = ("--run-id", run_id, "--db", database(invocation))
        answer = ("loom-runner", "approve", reason.removeprefix(APPROVAL_REASON), *place)
        return shell(answer), ExitStatus.WAITING
    if result.status == "waiting":
        # A retry that is far away needs nobody's decision, only time.
        what = "explain" if result.wake_at is None else "resume"
        return command(invocation, what, run_id), ExitStatus.WAITING
    if result.status == "failed":
        return command(invocation, "resume", run_id, "--retry-failed"), ExitStatus.FAILED
    if result.status == "cancelled":
        return command(invocation, "explain", run_id), ExitStatus.FAILED
    status = ExitStatus.INTERRUPTED if reason == "interrupt" or reason.startswith("person:") else ExitStatus.DONE
    return command(invocation, "resume", run_id), status


def _document(
    invocation: Invocation,
    run_id: str,
    model: str,
    result: RunResult,
    *,
    answer: str | None,
    sent: bool,
    following: str,
    status: ExitStatus,
) -> None:
    if not invocation.output.as_json:
        return
    data: dict[str, object] = {"run_id": run_id, "status": result.status, "reason": result.reason}
    data |= {"step_index": result.step_index, "model": model, "answer": answer, "message_sent": sent}
    data |= {"error": attrs.asdict(result.error, filter=_told) if result.error else None}
    invocation.output.document(SCHEMA, {**data, "next": following, "exit_status": int(status)})


def _told(attribute: attrs.Attribute[Any], _value: object) -> bool:
    return attribute.name in ("type", "message", "category")


def _failed(
    invocation: Invocation, run_id: str, error: ErrorRecord | None, following: str, hint: str | None
) -> ExitStatus:
    if not invocation.output.as_json:
        why = failure_of(error, None) or "for no recorded reason"
        again = f"when the cause is gone: {following}"
        invocation.output.error(f"run `{run_id}` failed: {why}", again if hint is None else f"{hint} · {again}")
    return ExitStatus.FAILED


def _is_your_turn(result: RunResult) -> bool:
    return result.status == "waiting" and result.reason == f"signal:{SIGNAL}"


def _answer_of(state: object) -> str | None:
    if isinstance(state, Conversation) and state.messages[-1].role == "assistant":
        return state.messages[-1].content
    return None
