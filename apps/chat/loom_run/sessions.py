"""Conversations as runs: beginning one, going on with one, and driving it until it is the person's turn."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
from pathlib import Path
from typing import Any

import attrs

from loom_core.contracts.budgets import BUDGET_REASON, Budget
from loom_core.contracts.models import Message
from loom_core.contracts.people import APPROVAL_REASON
from loom_core.contracts.stores import RunRecord, Store
from loom_core.errors import BadInput, RunBusy, RunNotFound, StoreEmpty, StoreUnusable, ToolNotFound
from loom_core.runtime.agent import Agent
from loom_core.runtime.assembly import Runtime, split_location
from loom_core.runtime.explain.text import shell
from loom_core.runtime.results import RunResult
from loom_core.runtime.runner import AgentRunner
from loom_core.runtime.services import Observer
from loom_run.conversation import AGENT_NAME, SIGNAL, Conversation, decode, encode
from loom_run.coordinator import Coordinator
from loom_run.prompts import system_prompt

REFERENCE = "loom-run"


@attrs.frozen(kw_only=True)
class Beginning:
    """What a new conversation is begun with."""

    model: str
    workspace: Path
    allowed: tuple[str, ...]
    window_chars: int


def new_run_id(now: dt.datetime | None = None) -> str:
    """Return an id for a conversation that was given none: its time, and enough chance to be its own."""
    when = now or dt.datetime.now()
    return f"chat-{when:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def make_runner(runtime: Runtime, store: Store, observer: Observer, durability: Any = "standard") -> AgentRunner:
    """Return a runner of conversations on an open store."""
    agent = Agent(name=AGENT_NAME, step=Coordinator(runtime.tool), state_type=Conversation, reference=REFERENCE)
    return AgentRunner(
        agent=agent,
        store=store,
        runtime=runtime,
        observer=observer,
        encode_state=encode,
        decode_state=decode,
        durability=durability,
    )


def first_state(runtime: Runtime, beginning: Beginning, text: str) -> Conversation:
    """Return the state of a new conversation; raises ``ToolNotFound`` for an allowed tool that is not there."""
    tools = offered_tools(runtime, beginning.allowed)
    return Conversation(
        model=beginning.model,
        workspace=str(beginning.workspace),
        tools=tools,
        window_chars=beginning.window_chars,
        messages=(
            Message(role="system", content=system_prompt(with_tools=bool(tools))),
            Message(role="user", content=text),
        ),
    )


def offered_tools(runtime: Runtime, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the tools that the model is offered: those that only read, and those allowed by name."""
    tools = runtime.tools()
    unknown = [name for name in allowed if name not in tools]
    if unknown:
        raise ToolNotFound(unknown[0], tuple(sorted(tools)))
    return tuple(sorted(name for name, tool in tools.items() if tool.effect == "read" or name in allowed))


async def read_conversation(store: Store, run_id: str) -> tuple[RunRecord, Conversation]:
    """Return a conversation's row and state; raises ``BadInput`` if the run is another agent's."""
    record = await store.get_run(run_id)
    if record.agent.name != AGENT_NAME:
        raise BadInput(
            f"run `{run_id}` is a run of agent `{record.agent.name}`, not a conversation",
            hint=f"look at it: {shell(('loom-runner', 'explain', '--run-id', run_id, '--db', store.location))}",
        )
    return record, decode(json.loads(await store.get_state(run_id)))


async def find_conversation(store: Store, run_id: str) -> tuple[RunRecord, Conversation] | None:
    """Return a conversation if there is one of that id."""
    try:
        return await read_conversation(store, run_id)
    except RunNotFound:
        return None


async def newest_conversation(store: Store) -> str:
    """Return the id of the conversation begun last; raises ``BadInput`` if there is none."""
    runs = await store.list_runs(limit=1, agent=AGENT_NAME)
    if not runs:
        raise BadInput(
            f"there is no conversation in {store.location} yet",
            hint=f"begin one: {shell(('loom-run', 'chat', 'YOUR MESSAGE', '--db', store.location))}",
        )
    return runs[0].run_id


@attrs.frozen
class Turn:
    """How a turn ended; ``sent`` is False if the conversation did not get the message."""

    result: RunResult
    sent: bool = True


async def say(runner: AgentRunner, record: RunRecord, text: str, *, max_steps: int | None = None) -> Turn:
    """Put a message into a conversation and drive it until everything said is answered.

    What an earlier, interrupted turn left undone is done first. A conversation that waits for a person's decision, or
    that somebody else is driving (``RunBusy``), gets no message.
    """
    if needs_a_person(record):
        return Turn(await runner.resume(run_id=record.run_id), sent=False)
    if record.status == "running":
        # Raises RunBusy before the message is sent, or takes over from an owner that is gone.
        try:
            result = await answer_all(runner, record.run_id, max_steps=max_steps)
        except RunBusy as busy:
            busy.hint = "the message was not sent; wait until it is done, or stop that process"
            raise
        if result.status != "waiting" or result.reason != f"signal:{SIGNAL}":
            return Turn(result, sent=False)
    await runner.send_signal(record.run_id, SIGNAL, {"role": "user", "content": text})
    try:
        return Turn(await answer_all(runner, record.run_id, retry_failed=True, max_steps=max_steps))
    except RunBusy as busy:
        busy.hint = "the message is kept and is answered there"
        raise


async def answer_all(
    runner: AgentRunner,
    run_id: str,
    *,
    retry_failed: bool = False,
    max_steps: int | None = None,
    more: Budget | None = None,
) -> RunResult:
    """Resume until nothing is left to answer, or ``max_steps`` are used up."""
    while True:
        before = await runner.get_run(run_id)
        result = await runner.resume(run_id=run_id, retry_failed=retry_failed, max_steps=max_steps, more=more)
        more = None
        after = await runner.get_run(run_id)
        if result.reason != f"signal:{SIGNAL}" or after.epoch == before.epoch:
            return result
        if max_steps is not None:
            max_steps -= after.step_index - before.step_index
            if max_steps < 1:
                return result


def needs_a_person(record: RunRecord) -> bool:
    """Return True if a person has to decide something else before the conversation can go on."""
    reason = record.reason or ""
    if record.status == "paused":
        return reason.startswith(BUDGET_REASON)
    return record.status == "cancelled" or (
        record.status == "waiting" and reason.startswith(("doubt:", APPROVAL_REASON))
    )


def checked_workspace(folder: Path) -> Path:
    """Return the workspace's real path; raises ``BadInput`` if it is no folder."""
    path = folder.expanduser().absolute()
    if not path.is_dir():
        raise BadInput(f"workspace {folder} is not a folder", hint="give the repository's folder: --workspace DIR")
    return path.resolve()


def open_existing(runtime: Runtime, db: str) -> Store | None:
    """Return the store for reading if the database is there, None if it is to be created."""
    try:
        return runtime.open_store(db, "read")
    except StoreEmpty:
        return None
    except StoreUnusable:
        scheme, location = split_location(db)
        if scheme not in ("", "sqlite") or os.path.lexists(location):
            raise
        return None


async def check_usable(runtime: Runtime, conversation: Conversation) -> None:
    """Raise, before anything is stored, if the conversation's model or one of its tools is not there."""
    backend, name = runtime.model(conversation.model)
    await backend.capabilities(name)
    for tool in conversation.tools:
        runtime.tool(tool)
