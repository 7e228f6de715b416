"""Drives a run from the command line: an agent, a runner, Ctrl-C, and what it came to."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from loom_cli import ExitStatus, Invocation
from loom_cli.interrupts import Stopper, run_interruptible

from loom_core.contracts.stores import RunRecord
from loom_core.errors import BadInput, ErrorCategory, LeaseLost, LoomError, RunBusy, RunExists, RunNotFound
from loom_core.runtime.failures import to_record
from loom_core.runtime.loading import LoadedAgent
from loom_core.runtime.results import RunResult
from loom_core.runtime.runner import AgentRunner
from loom_core.runtime.services import Observation
from loom_runner.outcome import busy_hint, explain_command, next_command, report
from loom_runner.reading import database, with_store

Act = Callable[[AgentRunner], Awaitable[RunResult]]


@attrs.frozen(kw_only=True)
class Driven:
    """What the run's row says afterwards, the exception that its step failed with, if it did, and if it was stopped."""

    record: RunRecord
    cause: BaseException | None = None
    stopped: bool = False


def drive(
    invocation: Invocation, loaded: LoadedAgent, run_id: str, act: Act, *, schema: str, durability: str | None
) -> int:
    """Do ``act`` with a runner of ``loaded``, report, and return the exit status.

    What the agent prints goes to stderr: stdout is the command's result.
    """

    async def main(stopper: Stopper) -> Driven:
        runtime = invocation.runtime()
        try:
            options: dict[str, Any] = {"runtime": runtime, "observer": _observer(invocation)}
            if durability is not None:
                options["durability"] = durability
            async with loaded.runner(database(invocation), **options) as runner:
                stopper.on_stop(runner.request_stop)
                driven = await _driven(runner, run_id, act)
                return attrs.evolve(driven, stopped=stopper.requested)
        finally:
            await runtime.aclose()

    try:
        with contextlib.redirect_stdout(sys.stderr):
            driven = run_interruptible(main, output=invocation.output)
    except KeyboardInterrupt:
        left = _left_behind(invocation, run_id)
        in_doubt = (left.reason or "").startswith("doubt:")
        interrupted = left.status in ("running", "paused") or in_doubt
        return report(invocation, left, schema, status=ExitStatus.INTERRUPTED if interrupted else None)
    except (RunExists, RunBusy, LeaseLost) as error:
        error.hint = _hint(invocation, run_id, error)
        raise
    # Ctrl-C during the wait for a timer leaves the run waiting; a shell loop on "waiting" must end all the same.
    cut = driven.stopped and driven.record.status == "waiting" and driven.record.wake_at is not None
    return report(invocation, driven.record, schema, driven.cause, status=ExitStatus.INTERRUPTED if cut else None)


async def _driven(runner: AgentRunner, run_id: str, act: Act) -> Driven:
    try:
        await act(runner)
    except Exception as error:
        record = await _failed_record(runner, run_id, error)
        if record is None:
            raise
        return Driven(record=record, cause=error)
    return Driven(record=await runner.get_run(run_id))


async def _failed_record(runner: AgentRunner, run_id: str, error: Exception) -> RunRecord | None:
    """Return the run's row if ``error`` is what its step failed with; None if it came from elsewhere."""
    if isinstance(error, (RunExists, RunNotFound, RunBusy)):
        return None
    try:
        record = await runner.get_run(run_id)
    except LoomError:
        return None
    raised = to_record(error, ErrorCategory.UNKNOWN)
    stored = record.error
    same = stored is not None and (stored.type, stored.message) == (raised.type, raised.message)
    return record if record.status == "failed" and same else None


def _left_behind(invocation: Invocation, run_id: str) -> RunRecord:
    """Read the run after a second Ctrl-C; if there is none yet, the interrupt is all there is to say."""
    try:
        return with_store(invocation, lambda store: store.get_run(run_id))
    except BadInput as nothing:
        raise KeyboardInterrupt from nothing


def _hint(invocation: Invocation, run_id: str, error: RunExists | RunBusy | LeaseLost) -> str:
    explain = explain_command(invocation, run_id)
    if isinstance(error, RunBusy):
        return busy_hint(invocation, run_id)
    if isinstance(error, LeaseLost):
        return f"see who has it: {explain}"
    try:
        record = with_store(invocation, lambda store: store.get_run(run_id))
    except LoomError:
        return f"look at it: {explain}"
    following = next_command(invocation, record)
    if following is None and record.status == "running":
        return busy_hint(invocation, run_id)
    if following is None or following == explain:
        return f"look at it: {explain}; or choose another id"
    return f"go on with it: {following}; look at it: {explain}"


def _observer(invocation: Invocation) -> Callable[[Observation], None]:
    """Tell of calls on stderr, which only ``-v`` asks for."""

    def observe(observation: Observation) -> None:
        if observation.kind == "model_event":
            return
        status = getattr(observation.data, "status", "")
        words = {"call_started": "begins", "call_ended": status, "call_replayed": "is taken from the record"}
        if observation.kind in words:
            invocation.output.detail(f"call {observation.call_id} {observation.name} {words[observation.kind]}")

    return observe
