"""Laws of what belongs to a run beside its history, when the run is forked, dumped, deleted or thinned."""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from loom_core.contracts.budgets import Budget, Spending
from loom_core.contracts.dumps import Part
from loom_core.contracts.people import ApprovalAnswer, ApprovalRequest, Person
from loom_core.contracts.retention import CheckpointPolicy, PayloadPolicy
from loom_core.contracts.stores import Settlement, Store
from loom_core.contracts.timers import BootTime
from loom_core.testing.store_laws import StoreLaws
from loom_core.testing.store_values import LEASE_S, OWNER, RIVAL, admit, digest, done, encode, intent, new_run

BUDGET = Budget(tool_calls=9, tokens=100, steps=20, seconds=60)
ASKING = Spending(tool_calls=1, tokens_in=7, tokens_out=5, cost_nano=11)
ANN = Person(name="ann", user="root")


async def _spent(store: Store, run_id: str) -> Spending:
    found = await store.get_budget(run_id)
    assert found is not None
    return found.spent


async def _call(writer: Any, key: str = "0") -> None:
    await writer.begin_call(attrs.evolve(intent(reserves=ASKING), key=key))
    await writer.end_call(attrs.evolve(done(), key=key))


async def _dump(store: Store, run_ids: list[str]) -> list[Part]:
    parts: list[Part] = []
    await store.export_runs(run_ids, parts.append)
    return parts


def _question() -> ApprovalRequest:
    return ApprovalRequest(
        approval_id="1/q",
        kind="tool",
        step_index=1,
        key="q",
        attempt_index=0,
        subject="send_mail",
        arguments="{}" + " " * 400,
        arguments_digest=digest("x"),
        approvers=("ann",),
        expires_at=None,
    )


async def _asking(store: Store) -> None:
    writer = (await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)).writer
    await _call(writer)
    await writer.commit(0, encode(1))
    waiting = Settlement(step_index=1, status="waiting", reason="approval:1/q", questions=(_question(),))
    await writer.settle(waiting)


class MoveLaws(StoreLaws):
    """Questions, budgets, timers and senders go where their run goes."""

    def test_a_dump_has_questions_budgets_timers_and_senders(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _asking(store)
            await store.answer_approval("run", "1/q", ApprovalAnswer(decision="denied", by=ANN, note="n" * 300))
            await store.send_signal("run", "go", "1", sender=ANN)
            other = (await store.create_run(new_run("timer"), OWNER, LEASE_S)).writer
            wake = BootTime(boot_id="boot", at_s=7.0)
            await other.settle(Settlement(step_index=0, status="waiting", reason="timer", wake_at=9.0, wake_boot=wake))
            before = [await self._all_of(store, run_id) for run_id in ("run", "timer")]
            parts = await _dump(store, ["run", "timer"])
            for run_id in ("run", "timer"):
                await store.delete_run(run_id, lambda record: None)
            assert await store.get_approvals() == []
            await store.import_runs(lambda: parts, imported_from=None)
            assert [await self._all_of(store, run_id) for run_id in ("run", "timer")] == before
            assert await _dump(store, ["run", "timer"]) == parts
            assert list(await store.verify()) == []

        self.try_law(tmp_path, law)

    async def _all_of(self, store: Store, run_id: str) -> list[object]:
        return [
            await store.get_run(run_id),
            await store.get_budget(run_id),
            [*await store.get_approvals(run_id)],
            [*await store.get_signals(run_id)],
        ]

    def test_what_a_child_has_spent_stays_spent_when_it_is_deleted_and_is_not_spent_twice_when_it_comes_back(
        self, tmp_path: Path
    ) -> None:
        async def law(store: Store) -> None:
            root = (await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)).writer
            await _call(root)
            child = (await store.create_run(new_run("run:sub:1"), OWNER, LEASE_S)).writer
            await _call(child)
            for writer in (root, child):
                await writer.settle(Settlement(step_index=0, status="paused", reason="interrupt"))
            spent = await _spent(store, "run")
            assert spent == Spending(tool_calls=2, tokens_in=14, tokens_out=10, cost_nano=22)
            both = await _dump(store, ["run", "run:sub:1"])
            of_child = await _dump(store, ["run:sub:1"])
            await store.delete_run("run:sub:1", lambda record: None)
            assert await _spent(store, "run") == spent
            assert list(await store.verify()) == []
            await store.import_runs(lambda: of_child, imported_from=None)
            assert await _spent(store, "run") == spent
            for run_id in ("run", "run:sub:1"):
                await store.delete_run(run_id, lambda record: None)
            await store.import_runs(lambda: both, imported_from=None)
            assert await _spent(store, "run") == spent
            claimed = await store.claim("run:sub:1", RIVAL, LEASE_S, admit)
            await _call(claimed.writer, "1")
            assert (await _spent(store, "run")).tool_calls == 3
            assert list(await store.verify()) == []

        self.try_law(tmp_path, law)

    def test_a_fork_has_the_limits_of_its_source_and_has_spent_nothing(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _asking(store)
            record = await store.fork_run("run", 1, "fork", RIVAL, admit)
            assert (record.status, record.reason) == ("queued", "forked")
            budget = await store.get_budget("fork")
            assert budget is not None
            assert (budget.budget, budget.spent, budget.steps, budget.seconds) == (BUDGET, Spending(), 0, 0.0)
            assert await store.get_approvals("fork") == []
            claimed = await store.claim("fork", RIVAL, LEASE_S, admit)
            await claimed.writer.commit(1, encode(2))
            budget = await store.get_budget("fork")
            assert budget is not None
            assert budget.steps == 1
            assert (await _spent(store, "run")).tool_calls == 1
            assert list(await store.verify()) == []

        self.try_law(tmp_path, law)

    def test_a_fork_begins_as_its_step_began_with_its_signal_without_it_or_waiting(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            wait = Settlement(
                step_index=0, status="waiting", reason="signal:go", outcome="wait", state=encode(1), wake_signal="go",
                wake_at=9.0,
            )  # fmt: skip
            await writer.settle(wait)
            await store.send_signal("run", "loom:pause", "{}", sender=ANN)
            claimed = await store.claim("run", OWNER, LEASE_S, lambda _record, _signal: "timeout")
            paused = Settlement(step_index=1, status="paused", reason="person:ann", takes=(1,))
            await claimed.writer.settle(paused)
            record = await store.fork_run("run", 1, "head", RIVAL, admit)
            assert (record.wake_signal, record.timed_out, record.status) == ("go", True, "queued")
            claimed = await store.claim("run", OWNER, LEASE_S, admit)
            await claimed.writer.commit(1, encode(2), 0, '{"timed_out":"go"}')
            record = await store.fork_run("run", 1, "later", RIVAL, admit)
            assert (record.wake_signal, record.timed_out, record.status) == ("go", True, "queued")
            assert [await store.get_signals(name) for name in ("head", "later")] == [[], []]
            record = await store.fork_run("run", 2, "plain", RIVAL, lambda _record, _signal: None)
            assert (record.wake_signal, record.timed_out) == (None, False)
            assert list(await store.verify()) == []

        self.try_law(tmp_path, law)

    def test_a_failed_run_is_forked_with_the_signal_that_its_step_was_given(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            wait = Settlement(
                step_index=0, status="waiting", reason="signal:go", outcome="wait", state=encode(1), wake_signal="go"
            )
            await writer.settle(wait)
            await store.send_signal("run", "go", '"now"', sender=ANN)
            claimed = await store.claim("run", OWNER, LEASE_S, admit)
            await claimed.writer.settle(Settlement(step_index=1, status="failed"))
            record = await store.fork_run("run", 1, "fork", RIVAL, admit)
            assert (record.status, record.wake_signal) == ("queued", "go")
            claimed = await store.claim("fork", RIVAL, LEASE_S, admit)
            assert claimed.signal is not None
            assert (claimed.signal.payload, claimed.signal.sender) == ('"now"', ANN)
            assert list(await store.verify()) == []

        self.try_law(tmp_path, law)

    def test_policies_hold_for_steps_that_are_written_later(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            for mode, kept in (("interval", [-1, 4, 9, 14, 19, 24, 25, 26, 27, 28]), ("compact", None)):
                writer = (await store.create_run(new_run(mode), OWNER, LEASE_S)).writer
                every = 5 if mode == "interval" else None
                policy = CheckpointPolicy(mode="interval", every=5) if every else CheckpointPolicy(mode="compact")
                writer.keep_to(policy, PayloadPolicy(max_inline_bytes=0))
                for number in range(29 if kept else 140):
                    notes = '{"events":["x"]}' if number % 3 == 0 else None
                    await writer.commit(number, encode({"n": number, "pad": "p" * 300}), 0, notes, False, True)
                last = (await store.get_run(mode)).step_index
                await writer.settle(Settlement(step_index=29 if kept else 140, status="paused", reason="interrupt"))
                assert last <= (29 if kept else 140)
                steps = await store.get_steps(mode, limit=1000, states=True)
                assert [s.step_index for s in steps] == (kept or [*range(steps[0].step_index, 140)])
                assert kept or len(steps) <= 128
                assert all(s.state == encode({"n": s.step_index, "pad": "p" * 300}).text for s in steps[1:])
            assert list(await store.verify()) == []

        self.try_law(tmp_path, law)
