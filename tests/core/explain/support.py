"""Runs of every kind in a memory store with a clock that tests move, written as an owner would write them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from loom_core.contracts.stores import (
    AgentRecord,
    AttemptRecord,
    CallEnd,
    CallIntent,
    ClaimedRun,
    EncodedState,
    ErrorRecord,
    NewRun,
    Owner,
    RunWriter,
)
from loom_core.runtime.admission import Admission
from loom_core.runtime.explain import RunExplanation, explain
from loom_core.testing import FakeClocks, MemoryStore
from loom_core.values import digest

LEASE_S = 30.0
AGENT = AgentRecord(name="counter", reference="/srv/agent.py")
FIRST = Owner(host="box", pid=101, nonce="a")
SECOND = Owner(host="box", pid=202, nonce="b")
TRACEBACK = """Traceback (most recent call last):
  File "/srv/venv/site-packages/loom_core/runtime/active.py", line 10, in perform
    outcome = await self._step(state, context)
  File "/srv/agent.py", line 42, in step
    await ctx.call_tool("charge")
  File "/srv/venv/site-packages/loom_core/runtime/context.py", line 20, in call_tool
    raise failure
ValueError: no such customer
"""


def encoded(text: str) -> EncodedState:
    return EncodedState(text, digest(text))


@attrs.define
class Scene:
    """One run under way; each method is one thing that happens, a second after the one before."""

    clocks: FakeClocks
    store: MemoryStore
    writer: RunWriter
    run_id: str

    @classmethod
    async def begin(cls, agent: AgentRecord = AGENT, run_id: str = "r", state: str = "0") -> Scene:
        clocks = FakeClocks()
        store = MemoryStore(wall=clocks.wall, boot=clocks.boot)
        claimed = await store.create_run(NewRun(run_id=run_id, agent=agent, state=encoded(state)), FIRST, LEASE_S)
        return cls(clocks, store, claimed.writer, run_id)

    async def commit(self, *steps: int) -> None:
        for step in steps:
            self.clocks.advance(1)
            await self.writer.commit(step, encoded(str(step)))

    async def call(
        self,
        step: int,
        end: CallEnd | None = None,
        *,
        key: str = "0",
        try_index: int = 0,
        took_s: float = 0.5,
        **changes: Any,
    ) -> None:
        self.clocks.advance(1)
        fields: dict[str, Any] = {
            "step_index": step,
            "key": key,
            "try_index": try_index,
            "attempt_index": 0,
            "kind": "tool",
            "name": "charge",
            "effect": "once",
            "arguments": '{"amount":12.5}',
            "arguments_digest": b"0" * 16,
        }
        await self.writer.begin_call(CallIntent(**(fields | changes)))
        if end is not None:
            self.clocks.advance(took_s)
            await self.writer.end_call(end)

    async def fail_attempt(self, step: int, attempt: int, *, delay_s: float | None = 0.5) -> AttemptRecord:
        self.clocks.advance(1)
        now = self.clocks.wall()
        record = AttemptRecord(
            step_index=step,
            attempt_index=attempt,
            epoch=self.writer.epoch,
            started_at=now - 0.25,
            ended_at=now,
            error=error("ConnectionError", "the line broke", "transient"),
            retry_at=None if delay_s is None else now + delay_s,
        )
        if delay_s is not None:
            await self.writer.fail_attempt(record)
        return record

    async def claim(self, owner: Owner = SECOND, **admission: bool) -> ClaimedRun:
        self.clocks.advance(1)
        admit = Admission(wall=self.clocks.wall, boot=self.clocks.boot, **admission)
        claimed = await self.store.claim(self.run_id, owner, LEASE_S, admit)
        self.writer = claimed.writer
        return claimed

    async def explained(self, **options: Any) -> RunExplanation:
        self.clocks.advance(1)
        return await explain(self.store, self.run_id, wall=self.clocks.wall, boot=self.clocks.boot, **options)


def end(step: int, status: Any = "done", *, key: str = "0", try_index: int = 0, **changes: Any) -> CallEnd:
    if status == "done":
        changes.setdefault("result", '"ok"')
    return CallEnd(step_index=step, key=key, try_index=try_index, status=status, **changes)


def error(kind: str = "ValueError", message: str = "no such customer", category: str = "validation") -> ErrorRecord:
    return ErrorRecord(type=kind, message=message, category=category, traceback=TRACEBACK)


def play(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


def text_of(explanation: RunExplanation, **options: Any) -> str:
    options.setdefault("width", 200)
    return "\n".join(explanation.lines(**options))
