"""Random operations on two stores at once: whatever is done, both must answer alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, cast

import attrs

from loom_core.contracts.budgets import Budget, Spending
from loom_core.contracts.people import CONTROLS, ApprovalAnswer, ApprovalRecord, ApprovalRequest, Person
from loom_core.contracts.stores import (
    CallEnd,
    ClaimedRun,
    OutcomeKind,
    RunRecord,
    RunStatus,
    RunWriter,
    Settlement,
    SignalRecord,
    Store,
)
from loom_core.contracts.timers import BootTime, Moment, Woken
from loom_core.errors import LoomError, RunBusy
from loom_core.testing.clocks import FakeClocks
from loom_core.testing.store_values import (
    AGENT,
    LEASE_S,
    OWNER,
    RIVAL,
    digest,
    encode,
    failed_attempt,
    intent,
    new_run,
    schedule_record,
)

RUN_IDS = ("a", "b")


async def compare(
    tried: Sequence[Store], oracles: Sequence[Store], clocks: FakeClocks, random: Random, operations: int
) -> None:
    """Do ``operations`` random things to both; the stores of one sequence are openings of the same runs."""
    machine = _Machine(tried, oracles, clocks, random)
    for number in range(operations):
        await machine.do_something()
        if number % 10 == 9:
            await machine.compare_answers()
    await machine.compare_answers()


@attrs.define
class _Writers:
    """The writers of one claim, one in each store; ``started`` has the calls that this claim has not ended."""

    tried: RunWriter
    oracle: RunWriter
    started: list[tuple[int, str, int]] = attrs.field(factory=list)


class _Machine:
    def __init__(self, tried: Sequence[Store], oracles: Sequence[Store], clocks: FakeClocks, random: Random) -> None:
        self._stores = [*zip(tried, oracles, strict=True)]
        self._clocks = clocks
        self._random = random
        self._writers: list[_Writers] = []
        self._keys = 0
        self._operations: list[Callable[[], Awaitable[None]]] = [
            self._create,
            *[self._claim] * 3,
            *[self._commit] * 6,
            self._settle,
            *[self._call] * 4,
            self._end_call,
            self._fail_attempt,
            self._signal,
            self._ask,
            *[self._answer] * 2,
            self._raise_budget,
            self._late_result,
            self._pass_time,
            self._schedule,
        ]

    async def do_something(self) -> None:
        await self._random.choice(self._operations)()

    async def compare_answers(self) -> None:
        for run_id in RUN_IDS:
            for question in self._questions(run_id):
                await self._both(question)
        await self._both(self._claimable)
        await self._both(lambda s: s.list_schedules())
        for status in (None, "running", "waiting"):
            await self._both(lambda s, status=status: s.list_runs(status=status))  # type: ignore[misc]

    async def _claimable(self, store: Store) -> Sequence[RunRecord]:
        boot_s = self._clocks.boot_s
        boot = None if boot_s is None else BootTime(boot_id="boot", at_s=boot_s)
        now = Moment(wall_s=self._clocks.wall_s, boot=boot)
        return await store.find_claimable([AGENT.name], now, lambda _record, _signal: True)

    def _questions(self, run_id: str) -> list[Callable[[Store], Awaitable[Any]]]:
        step_index = self._random.randint(-2, 12)
        limit, offset = self._random.randint(0, 20), self._random.randint(0, 6)
        return [
            lambda s: s.get_run(run_id),
            lambda s: s.get_state(run_id),
            lambda s: s.get_state(run_id, step_index),
            lambda s: s.get_steps(run_id, states=True, limit=1000),
            lambda s: s.get_steps(run_id, first=step_index, limit=limit, states=limit % 2 == 0),
            lambda s: s.get_calls(run_id, limit=1000),
            lambda s: s.get_calls(run_id, limit=limit, offset=offset, newest=True),
            lambda s: s.get_calls(run_id, status="unknown", newest=offset % 2 == 0),
            lambda s: s.get_calls(run_id, status="started"),
            lambda s: s.get_attempts(run_id, offset=offset),
            lambda s: s.get_signals(run_id),
            lambda s: s.get_approvals(run_id),
            lambda s: s.get_budget(run_id),
            lambda s: s.get_approvals(pending=offset % 2 == 0, limit=limit, offset=offset),
            lambda s: s.get_claims(run_id, limit=1000),
            lambda s: _messages_of_all(s, run_id),
        ]

    async def _create(self) -> None:
        budget = self._random.choice((None, Budget(tool_calls=6, tokens=40, seconds=9), Budget(tokens=90)))
        new = new_run(self._random.choice(RUN_IDS), self._value(), budget=budget)
        await self._claimed(lambda s: s.create_run(new, OWNER, LEASE_S))

    async def _claim(self) -> None:
        run_id, owner = self._random.choice(RUN_IDS), self._random.choice((OWNER, RIVAL))
        forced = self._random.random() < 0.5
        woken: Woken | None = self._random.choice((None, "timer", "timeout"))

        def admit(record: RunRecord, signal: SignalRecord | None) -> Woken | None:
            if record.status == "running" and not forced:
                raise RunBusy(record.run_id, str(record.owner))
            return woken if record.status == "waiting" else None

        await self._claimed(lambda s: s.claim(run_id, owner, LEASE_S, admit))

    async def _claimed(self, claim: Callable[[Store], Awaitable[ClaimedRun]]) -> None:
        tried, oracle = await self._both(claim)
        if isinstance(tried, ClaimedRun) and isinstance(oracle, ClaimedRun):
            self._writers.append(_Writers(tried.writer, oracle.writer))
            self._writers = self._writers[-4:]

    async def _commit(self) -> None:
        state, notes = encode(self._value()), self._random.choice((None, None, '{"events":["' + "e" * 200 + '"]}'))
        sync = self._random.random() < 0.2
        writers, head = await self._writer_and_head()
        if writers is not None:
            await self._end_all(writers)
            await self._write(writers, lambda w: w.commit(head, state, 0, notes, sync))

    async def _settle(self) -> None:
        writers, head = await self._writer_and_head()
        if writers is None:
            return
        await self._end_all(writers)
        settlement = self._settlement(head)
        await self._write(writers, lambda w: w.settle(settlement))

    async def _call(self) -> None:
        writers, head = await self._writer_and_head()
        if writers is None:
            return
        self._keys += 1
        texts = tuple(f'"message {self._random.randrange(3)}"' for _ in range(self._random.randrange(5)))
        asked = intent(
            head,
            f"k{self._keys}",
            kind="model" if texts else "tool",
            arguments=encode(self._value()).text,
            idempotency_key=self._random.choice((None, "mine")),
            messages=texts,
            reserves=self._spending() if self._random.random() < 0.7 else None,
        )
        if await self._write(writers, lambda w: w.begin_call(asked)):
            writers.started.append((head, asked.key, 0))

    async def _end_call(self) -> None:
        writers, _ = await self._writer_and_head()
        if writers is not None and writers.started:
            await self._end(writers, self._random.choice(writers.started))

    async def _fail_attempt(self) -> None:
        writers, head = await self._writer_and_head()
        if writers is not None:
            attempt = failed_attempt(head, 0)
            await self._write(writers, lambda w: w.fail_attempt(attempt))

    async def _signal(self) -> None:
        run_id, name = self._random.choice(RUN_IDS), self._random.choice(("go", "stop", *CONTROLS))
        payload = encode(self._value()).text
        await self._both(lambda s: s.send_signal(run_id, name, payload))

    async def _ask(self) -> None:
        writers, head = await self._writer_and_head()
        if writers is None:
            return
        await self._end_all(writers)
        self._keys += 1
        now = self._clocks.wall_s
        request = ApprovalRequest(
            approval_id=f"{head}/q{self._keys}",
            kind=self._random.choice(("tool", "question")),
            step_index=head,
            key=f"q{self._random.randrange(2)}",
            attempt_index=0,
            subject="send_mail",
            arguments=encode(self._value()).text,
            arguments_digest=digest("x"),
            approvers=self._random.choice(((), ("ann",))),
            expires_at=self._random.choice((None, now + 10)),
        )
        reason = self._random.choice((request.approval_id, f"{head}/q{self._keys - 1}"))
        settlement = Settlement(step_index=head, status="waiting", reason=f"approval:{reason}", questions=(request,))
        await self._write(writers, lambda w: w.settle(settlement))

    def _spending(self) -> Spending:
        return Spending(
            tool_calls=self._random.randrange(2),
            tokens_in=self._random.randrange(9),
            tokens_out=self._random.randrange(9),
            cost_nano=self._random.randrange(1000),
        )

    async def _raise_budget(self) -> None:
        run_id = self._random.choice(RUN_IDS)
        more = self._random.choice((Budget(tokens=5), Budget(tool_calls=1), Budget(tokens=1, seconds=2)))
        await self._both(lambda s: s.add_budget(run_id, more))

    async def _answer(self) -> None:
        asked = [a for r in RUN_IDS for a in await _questions_of(self._stores[0][1], r)]
        if not asked:
            return
        one = self._random.choice(asked[-3:])
        by = Person(name=self._random.choice(("ann", "bob")), user=self._random.choice((None, "root")))
        answer = ApprovalAnswer(decision=self._random.choice(("approved", "denied")), by=by)
        await self._both(lambda s: s.answer_approval(one.run_id, one.approval_id, answer))

    async def _late_result(self) -> None:
        writers, _ = await self._writer_and_head()
        if writers is None:
            return
        run_id = writers.oracle.run_id
        calls = await self._stores[0][1].get_calls(run_id, limit=1000)
        made = [(c.step_index, c.key) for c in calls] + [(0, "never made")]
        step_index, key = self._random.choice(made)
        await self._both(lambda s: s.keep_late_result(run_id, step_index, key, 0, '"late"'))

    async def _schedule(self) -> None:
        name, version = self._random.choice(("daily", "hourly")), self._random.choice((1, 2, 3))
        schedule = schedule_record(name, version=version, backlog=(self._clocks.wall_s,) * self._random.randrange(3))
        if self._random.random() < 0.2:
            await self._both(lambda s: s.remove_schedule(name))
        else:
            await self._both(lambda s: s.save_schedule(schedule))

    async def _pass_time(self) -> None:
        self._clocks.advance(self._random.choice((0.5, 20.0)))

    async def _end_all(self, writers: _Writers) -> None:
        for call in [*writers.started]:
            await self._end(writers, call)

    async def _end(self, writers: _Writers, call: tuple[int, str, int]) -> None:
        writers.started.remove(call)
        status = self._random.choice(("done", "failed", "unknown"))
        end = CallEnd(
            step_index=call[0],
            key=call[1],
            try_index=call[2],
            status=cast(Any, status),
            result=encode(self._value()).text if status == "done" else None,
            tokens_in=self._random.randrange(9),
            not_started=status == "failed" and self._random.random() < 0.5,
            spent=self._spending() if self._random.random() < 0.5 else None,
        )
        await self._write(writers, lambda w: w.end_call(end))

    async def _writer_and_head(self) -> tuple[_Writers | None, int]:
        if not self._writers:
            return None, 0
        # Mostly the newest, sometimes one that may be fenced out.
        writers = self._writers[-1] if self._random.random() < 0.8 else self._random.choice(self._writers)
        record = await self._stores[0][1].get_run(writers.oracle.run_id)
        wrong = self._random.random() < 0.05
        return writers, record.step_index + (self._random.choice((-1, 1)) if wrong else 0)

    def _settlement(self, head: int) -> Settlement:
        status = self._random.choice(("queued", "paused", "waiting", "completed", "failed"))
        outcome: OutcomeKind | None = None
        if status == "completed":
            outcome = "complete"
        elif status == "waiting":
            outcome = self._random.choice((None, "sleep", "wait"))
        result = encode(self._value()).text if status == "completed" else None
        wake_at = self._random.choice((None, 5.0, self._clocks.wall_s + 30.0))
        boot_ids: tuple[str | None, ...] = (None, "boot", "another boot")
        boot_id = None if wake_at is None else self._random.choice(boot_ids)
        wake_boot = None if boot_id is None else BootTime(boot_id=boot_id, at_s=self._random.choice((5.0, 1_030.0)))
        return Settlement(
            step_index=head,
            status=cast(RunStatus, status),
            reason="budget:tokens" if status == "paused" else None,
            outcome=cast(Any, outcome),
            state=encode(self._value()) if outcome in ("sleep", "wait") else None,
            wake_signal=self._random.choice((None, "go")) if outcome == "wait" else None,
            wake_at=wake_at,
            wake_boot=wake_boot,
            result=result,
            attempt=failed_attempt(head, 0) if status == "failed" else None,
        )

    def _value(self) -> object:
        kind = self._random.randrange(5)
        if kind == 0:
            return self._random.randrange(100)
        if kind == 1:
            return "é🦉" * self._random.randrange(200)
        base = {"log": [f"line {n} of the log" for n in range(self._random.randrange(40))], "n": 1}
        return {**base, "n": self._random.randrange(10)} if kind < 4 else {"n": 2, **base}

    async def _write(self, writers: _Writers, write: Callable[[RunWriter], Awaitable[None]]) -> bool:
        tried, oracle = await _outcome(write(writers.tried)), await _outcome(write(writers.oracle))
        assert tried == oracle, (tried, oracle)
        return tried is None

    async def _both(self, question: Callable[[Store], Awaitable[Any]]) -> tuple[Any, Any]:
        tried_store, oracle_store = self._random.choice(self._stores)
        tried, oracle = await _outcome(question(tried_store)), await _outcome(question(oracle_store))
        assert _comparable(tried) == _comparable(oracle), (tried, oracle)
        return tried, oracle


async def _questions_of(store: Store, run_id: str) -> Sequence[ApprovalRecord]:
    try:
        return await store.get_approvals(run_id)
    except LoomError:
        return ()


async def _messages_of_all(store: Store, run_id: str) -> list[list[str]]:
    return [[*await store.get_messages(run_id, call)] for call in await store.get_calls(run_id, limit=1000)]


async def _outcome(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except (LoomError, ValueError) as error:
        return type(error).__name__


def _comparable(answer: Any) -> Any:
    if isinstance(answer, ClaimedRun):
        asked_of_it = (answer.approvals, answer.controls, answer.budget)
        return (answer.record, digest(answer.state), answer.calls, answer.signal, *asked_of_it, answer.writer.epoch)
    return [*answer] if isinstance(answer, Sequence) and not isinstance(answer, str) else answer
