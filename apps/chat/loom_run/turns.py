"""One turn from the command line: which conversation, which model, drive it until it is the person's turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import attrs
from loom_cli.exits import ExitStatus
from loom_cli.interrupts import Stopper, run_interruptible
from loom_cli.invocation import Invocation

from loom_core.contracts.budgets import Budget
from loom_core.contracts.stores import RunRecord
from loom_core.errors import BadInput, ErrorCategory, LoomError, RunBusy
from loom_core.runtime.assembly import Runtime
from loom_core.runtime.failures import to_record
from loom_core.runtime.run_ids import check_run_id
from loom_core.runtime.runner import AgentRunner
from loom_run.choosing import choose_model, window_chars
from loom_run.conversation import Conversation
from loom_run.reporting import command, database, report, report_failure, say_your_turn
from loom_run.request import Request, check_same
from loom_run.sessions import (
    Beginning,
    Turn,
    answer_all,
    check_usable,
    checked_workspace,
    find_conversation,
    first_state,
    make_runner,
    new_run_id,
    newest_conversation,
    open_existing,
    read_conversation,
    say,
)
from loom_run.view import TurnView

Act = Callable[[AgentRunner], Awaitable[Turn]]


def take_turn(invocation: Invocation, request: Request, text: str) -> int:
    """Say ``text`` in the conversation that is meant, print the answer, and return the exit status."""
    request = _named(invocation, request)
    return run_interruptible(lambda stopper: _take_turn(invocation, request, text, stopper), output=invocation.output)


def hold_conversation(invocation: Invocation, request: Request) -> int:
    """Read messages from the terminal until its end, each one a turn of the same conversation."""
    output = invocation.output
    request = attrs.evolve(_named(invocation, request), in_dialogue=True)
    said = False
    output.note("an empty line or Ctrl-D ends the dialogue")
    while True:
        # Not as input()'s own prompt, which goes to standard output, where the answers go.
        output.stderr.write("you> ")
        output.stderr.flush()
        try:
            text = input()
        except EOFError:
            output.stderr.write("\n")
            text = ""
        except UnicodeDecodeError as error:
            raise BadInput("the message is not valid UTF-8 text") from error
        if not text.strip():
            if said:
                say_your_turn(invocation, str(request.run_id))
            return ExitStatus.DONE
        status = take_turn(invocation, request, text)
        said = True
        if status != ExitStatus.DONE:
            return status


def finish_turn(
    invocation: Invocation, run_id: str, *, retry_failed: bool, max_steps: int | None, more: Budget | None = None
) -> int:
    """Resume a conversation until everything said is answered, and return the exit status."""

    async def finish(stopper: Stopper) -> int:
        runtime, conversation = await _runtime_of(invocation, run_id)

        async def act(runner: AgentRunner) -> Turn:
            try:
                return Turn(await answer_all(runner, run_id, retry_failed=retry_failed, max_steps=max_steps, more=more))
            except RunBusy as busy:
                busy.hint = "wait until it is done, or stop that process"
                raise

        return await _drive(invocation, runtime, "write", run_id, conversation, act, stopper)

    return run_interruptible(finish, output=invocation.output)


def _named(invocation: Invocation, request: Request) -> Request:
    """Return the request with the id of the conversation that is meant, so that all its turns are in one."""
    if request.newest:
        return attrs.evolve(request, newest=False, run_id=asyncio.run(_newest(invocation)))
    run_id = new_run_id() if request.run_id is None else request.run_id
    check_run_id(run_id)
    return attrs.evolve(request, run_id=run_id)


async def _newest(invocation: Invocation) -> str:
    runtime = invocation.runtime()
    try:
        return await newest_conversation(runtime.open_store(None, "read"))
    finally:
        await runtime.aclose()


async def _take_turn(invocation: Invocation, request: Request, text: str, stopper: Stopper) -> int:
    run_id = str(request.run_id)
    found = await _look_up(invocation, run_id)
    if found is None:
        return await _begin(invocation, request, run_id, text, stopper)
    record, conversation = found
    check_same(request, invocation.flags.get("model"), run_id, conversation)
    runtime = invocation.runtime(workspace=Path(conversation.workspace))
    return await _drive(
        invocation,
        runtime,
        "write",
        run_id,
        conversation,
        lambda runner: say(runner, record, text, max_steps=request.max_steps),
        stopper,
        goes_on=request.in_dialogue,
    )


async def _look_up(invocation: Invocation, run_id: str) -> tuple[RunRecord, Conversation] | None:
    runtime = invocation.runtime()
    try:
        store = open_existing(runtime, database(invocation))
        return None if store is None else await find_conversation(store, run_id)
    finally:
        await runtime.aclose()


async def _runtime_of(invocation: Invocation, run_id: str) -> tuple[Runtime, Conversation]:
    runtime = invocation.runtime()
    try:
        _, conversation = await read_conversation(runtime.open_store(None, "read"), run_id)
    finally:
        await runtime.aclose()
    return invocation.runtime(workspace=Path(conversation.workspace)), conversation


async def _begin(invocation: Invocation, request: Request, run_id: str, text: str, stopper: Stopper) -> int:
    workspace = checked_workspace(request.workspace or Path.cwd())
    model = choose_model(asked=invocation.config.model, mock=request.mock)
    runtime = invocation.runtime(workspace=workspace)
    try:
        backend, name = runtime.model(model)
        beginning = Beginning(
            model=model,
            workspace=workspace,
            allowed=request.allow,
            window_chars=window_chars(await backend.capabilities(name)),
        )
        state = first_state(runtime, beginning, text)
    except BaseException:
        await runtime.aclose()
        raise

    async def act(runner: AgentRunner) -> Turn:
        return Turn(
            await runner.start(run_id=run_id, initial_state=state, max_steps=request.max_steps, budget=request.budget)
        )

    return await _drive(invocation, runtime, "create", run_id, state, act, stopper, goes_on=request.in_dialogue)


async def _drive(
    invocation: Invocation,
    runtime: Runtime,
    mode: Literal["write", "create"],
    run_id: str,
    conversation: Conversation,
    act: Act,
    stopper: Stopper,
    *,
    goes_on: bool = False,
) -> int:
    """Do ``act`` with a runner on the database, and say where the conversation stands then."""
    view = TurnView(invocation.output)
    try:
        await check_usable(runtime, conversation)
        runner = make_runner(runtime, runtime.open_store(None, mode), view)
        stopper.on_stop(runner.request_stop)
        try:
            turn = await act(runner)
        except (KeyboardInterrupt, asyncio.CancelledError):
            view.end_line()
            await _say_how_to_go_on(invocation, runner, run_id)
            raise
        except RunBusy as busy:
            busy.hint = f"{busy.hint}; what it does: {command(invocation, 'explain', run_id)}"
            raise
        except Exception as error:
            view.end_line()
            record = await _failed_record(runner, run_id, error)
            if record is None:
                raise
            return report_failure(invocation, record, conversation.model, error)
        return report(invocation, view, run_id, conversation.model, turn, stopped=stopper.requested, goes_on=goes_on)
    finally:
        await runtime.aclose()


async def _failed_record(runner: AgentRunner, run_id: str, error: Exception) -> RunRecord | None:
    """Return the run's row if its turn failed; None if ``error`` came from elsewhere and nothing was recorded."""
    try:
        record = await runner.get_run(run_id)
    except LoomError:
        return None
    raised = to_record(error, ErrorCategory.UNKNOWN)
    stored = record.error
    same = stored is not None and (stored.type, stored.message) == (raised.type, raised.message)
    return record if record.status == "failed" and same else None


async def _say_how_to_go_on(invocation: Invocation, runner: AgentRunner, run_id: str) -> None:
    try:
        await runner.get_run(run_id)
    except LoomError:
        return  # It was interrupted before there was a conversation.
    invocation.output.note(f"next: {command(invocation, 'resume', run_id)}")
