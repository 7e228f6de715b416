"""One turn from the command line: which conversation, which model, drive it, say where it stands."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from loom_cli.exits import ExitStatus
from loom_cli.interrupts import run_interruptible
from loom_cli.invocation import Invocation

from loom_core.contracts.stores import RunRecord
from loom_core.runtime.assembly import DEFAULT_DB, Runtime
from loom_core.runtime.results import RunResult
from loom_core.runtime.run_ids import check_run_id
from loom_core.runtime.runner import AgentRunner
from loom_run.choosing import choose_model, window_chars
from loom_run.conversation import SIGNAL, Conversation
from loom_run.sessions import (
    Beginning,
    answer_all,
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

Act = Callable[[AgentRunner], Awaitable[RunResult]]


@attrs.frozen(kw_only=True)
class Request:
    """What the command line asked for."""

    run_id: str | None = None
    newest: bool = False
    mock: bool = False
    workspace: Path | None = None
    allow: tuple[str, ...] = ()
    max_steps: int | None = None


def take_turn(invocation: Invocation, request: Request, text: str) -> int:
    """Say ``text`` in the conversation that is meant, print the answer, and return the exit status."""
    run_id = request.run_id or new_run_id()
    check_run_id(run_id)
    return run_interruptible(
        lambda stopper: _take_turn(invocation, attrs.evolve(request, run_id=run_id), text, stopper),
        output=invocation.output,
    )


def hold_conversation(invocation: Invocation, request: Request) -> int:
    """Read messages from the terminal until its end, each one a turn."""
    output = invocation.output
    request = attrs.evolve(request, run_id=request.run_id or (None if request.newest else new_run_id()))
    output.note("an empty line or Ctrl-D ends the dialogue")
    status = int(ExitStatus.DONE)
    while True:
        try:
            text = input("you> ")
        except EOFError:
            output.stderr.write("\n")
            return status
        if not text.strip():
            return status
        status = run_interruptible(functools.partial(_take_turn, invocation, request, text), output=output)
        if status != ExitStatus.DONE:
            return status


def finish_turn(invocation: Invocation, run_id: str, *, retry_failed: bool, max_steps: int | None) -> int:
    """Resume a conversation until everything said is answered, and return the exit status."""

    async def finish(stopper: Any) -> int:
        runtime, conversation = await _runtime_of(invocation, run_id)

        def act(runner: AgentRunner) -> Awaitable[RunResult]:
            return answer_all(runner, run_id, retry_failed=retry_failed, max_steps=max_steps)

        return await _drive(invocation, runtime, "write", run_id, conversation.model, act, stopper)

    return run_interruptible(finish, output=invocation.output)


async def _take_turn(invocation: Invocation, request: Request, text: str, stopper: Any) -> int:
    found, run_id = await _look_up(invocation, request)
    if found is None:
        return await _begin(invocation, request, run_id, text, stopper)
    record, conversation = found
    runtime = invocation.runtime(workspace=Path(conversation.workspace))
    return await _drive(
        invocation, runtime, "write", run_id, conversation.model, lambda runner: say(runner, record, text), stopper
    )


async def _look_up(invocation: Invocation, request: Request) -> tuple[tuple[RunRecord, Conversation] | None, str]:
    """Return the conversation that is meant, None for one that is to be begun, and its id."""
    runtime = invocation.runtime()
    try:
        store = open_existing(runtime, invocation.config.db or DEFAULT_DB)
        if store is None and not request.newest:
            return None, request.run_id or new_run_id()
        store = store or runtime.open_store(None, "read")
        run_id = await newest_conversation(store) if request.newest else str(request.run_id)
        return await find_conversation(store, run_id), run_id
    finally:
        await runtime.aclose()


async def _runtime_of(invocation: Invocation, run_id: str) -> tuple[Runtime, Conversation]:
    runtime = invocation.runtime()
    try:
        _, conversation = await read_conversation(runtime.open_store(None, "read"), run_id)
    finally:
        await runtime.aclose()
    return invocation.runtime(workspace=Path(conversation.workspace)), conversation


async def _begin(invocation: Invocation, request: Request, run_id: str, text: str, stopper: Any) -> int:
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
    return await _drive(
        invocation,
        runtime,
        "create",
        run_id,
        model,
        lambda runner: runner.start(run_id=run_id, initial_state=state, max_steps=request.max_steps),
        stopper,
    )


async def _drive(
    invocation: Invocation, runtime: Runtime, mode: Any, run_id: str, model: str, act: Act, stopper: Any
) -> int:
    """Do ``act`` with a runner on the database, and say where the conversation stands then."""
    view = TurnView(invocation.output)
    try:
        runner = make_runner(runtime, runtime.open_store(None, mode), view)
        stopper.on_stop(runner.request_stop)
        try:
            result = await act(runner)
        except Exception:
            view.end_line()
            invocation.output.hint(f"the conversation is kept: loom-run explain --run-id {run_id}")
            raise
        return _report(invocation, view, run_id, model, result)
    finally:
        await runtime.aclose()


def _report(invocation: Invocation, view: TurnView, run_id: str, model: str, result: RunResult) -> int:
    output = invocation.output
    answer = _answer_of(result.state)
    if output.as_json:
        data = {"run_id": run_id, "status": result.status, "reason": result.reason, "step_index": result.step_index}
        output.document("loom.run.chat/1", {**data, "model": model, "answer": answer})
    if result.status == "waiting" and result.reason == f"signal:{SIGNAL}":
        view.answer(answer or "")
        output.note(f'run `{run_id}` · your turn: loom-run chat "…" --run-id {run_id}')
        return ExitStatus.DONE
    if result.status == "waiting":
        output.note(f"run `{run_id}` waits for a person ({result.reason}): loom-run explain --run-id {run_id}")
        return ExitStatus.WAITING
    if result.status == "failed":
        why = f"{result.error.type}: {result.error.message}" if result.error else "for no recorded reason"
        output.error(f"run `{run_id}` failed: {why}", f"try again: loom-run resume --retry-failed --run-id {run_id}")
        return ExitStatus.FAILED
    output.note(f"run `{run_id}` is {result.status}: loom-run resume --run-id {run_id}")
    return ExitStatus.INTERRUPTED if result.reason == "interrupt" else ExitStatus.DONE


def _answer_of(state: Any) -> str | None:
    if isinstance(state, Conversation) and state.messages[-1].role == "assistant":
        return state.messages[-1].content
    return None
