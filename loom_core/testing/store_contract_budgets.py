"""Laws of budgets: what is reserved, charged, raised, and what survives."""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

from pathlib import Path

import attrs

from loom_core.contracts.budgets import Budget, BudgetRecord, Spending
from loom_core.contracts.stores import CallEnd, Settlement, Store
from loom_core.errors import BadInput, BudgetExhausted, LeaseLost
from loom_core.testing.store_laws import StoreLaws, raises
from loom_core.testing.store_values import LEASE_S, OWNER, RIVAL, admit, done, encode, intent, new_run

BUDGET = Budget(tool_calls=2, tokens=100, cost_usd=0.5, steps=10, seconds=60)
ASKING = Spending(tokens_in=20, tokens_out=30, cost_nano=1_000)


async def budget_of(store: Store) -> BudgetRecord:
    """Return the run's budget, which there is."""
    found = await store.get_budget("run")
    assert found is not None
    return found


class BudgetLaws(StoreLaws):
    """The row of a budget is always what its calls have reserved and spent."""

    def test_a_run_has_the_budget_that_it_was_created_with_or_none(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            claimed = await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)
            assert claimed.budget == BudgetRecord(budget=BUDGET, spent=Spending(), steps=0, seconds=0.0)
            assert await store.get_budget("run") == claimed.budget
            assert (await store.claim("run", RIVAL, LEASE_S, admit)).budget == claimed.budget
            without = await store.create_run(new_run("other"), OWNER, LEASE_S)
            assert (without.budget, await store.get_budget("other")) == (None, None)
            await without.writer.begin_call(intent(reserves=Spending(tool_calls=5)))
            await without.writer.end_call(attrs.evolve(done(), spent=Spending(tool_calls=5)))

        self.try_law(tmp_path, law)

    def test_a_call_reserves_with_its_intent_and_is_charged_what_it_has_spent_with_its_end(
        self, tmp_path: Path
    ) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)).writer
            await writer.begin_call(intent(kind="model", reserves=ASKING))
            assert (await budget_of(store)).spent == ASKING
            spent = Spending(tokens_in=18, tokens_out=5, cost_nano=300)
            await writer.end_call(attrs.evolve(done(), spent=spent))
            assert (await budget_of(store)).spent == spent

        self.try_law(tmp_path, law)

    def test_a_call_of_which_nobody_knows_what_it_has_spent_is_charged_what_it_reserved(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)).writer
            await writer.begin_call(intent(kind="model", reserves=ASKING))
            await writer.end_call(CallEnd(step_index=0, key="0", try_index=0, status="unknown"))
            assert (await budget_of(store)).spent == ASKING
            # Lost with its owner: no end will ever be written.
            await writer.begin_call(intent(key="1", kind="model", reserves=ASKING))
            claimed = await store.claim("run", RIVAL, LEASE_S, admit)
            twice = Spending(tokens_in=40, tokens_out=60, cost_nano=2_000)
            assert claimed.budget is not None and claimed.budget.spent == twice

        self.try_law(tmp_path, law)

    def test_a_call_that_certainly_did_not_start_gives_back_what_it_reserved(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)).writer
            await writer.begin_call(intent(reserves=Spending(tool_calls=1)))
            await writer.end_call(CallEnd(step_index=0, key="0", try_index=0, status="failed", not_started=True))
            assert (await budget_of(store)).spent == Spending()
            # Decided otherwise by a person, it has been made after all.
            await writer.end_call(
                CallEnd(step_index=0, key="0", try_index=0, status="done", result="1", decided_by="ann")
            )
            assert (await budget_of(store)).spent == Spending(tool_calls=1)

        self.try_law(tmp_path, law)

    def test_a_call_that_needs_more_than_is_left_is_not_recorded_and_takes_nothing(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)).writer
            await writer.begin_call(intent(kind="model", reserves=ASKING))
            for amount, which in (
                (Spending(tool_calls=3), "tool_calls"),
                (Spending(tokens_in=20, tokens_out=31), "tokens"),
                (Spending(cost_nano=500_000_000), "cost"),
            ):
                with raises(BudgetExhausted) as refused:
                    await writer.begin_call(intent(key="1", reserves=amount))
                assert isinstance(refused.error, BudgetExhausted) and refused.error.budget == which
            assert len(await store.get_calls("run")) == 1
            assert (await budget_of(store)).spent == ASKING
            await writer.begin_call(intent(key="1", reserves=Spending(tool_calls=2, tokens_in=50)))

        self.try_law(tmp_path, law)

    def test_a_writer_that_was_fenced_out_spends_nothing(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            late = (await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)).writer
            await late.begin_call(intent(kind="model", reserves=ASKING))
            await store.claim("run", RIVAL, LEASE_S, admit)
            with raises(LeaseLost):
                await late.begin_call(intent(key="1", reserves=Spending(tool_calls=1)))
            with raises(LeaseLost):
                await late.end_call(attrs.evolve(done(), spent=Spending()))
            assert (await budget_of(store)).spent == ASKING

        self.try_law(tmp_path, law)

    def test_steps_and_the_time_of_living_and_of_dead_owners_are_counted(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)).writer
            self.clocks.advance(4)
            await writer.commit(0, encode(1))
            self.clocks.advance(100)
            claimed = await store.claim("run", RIVAL, LEASE_S, admit)
            assert claimed.budget is not None
            assert (claimed.budget.steps, claimed.budget.seconds) == (1, 4.0)
            self.clocks.advance(5)
            await claimed.writer.settle(Settlement(step_index=1, status="paused", reason="budget:seconds"))
            self.clocks.advance(1_000)
            assert (await budget_of(store)).seconds == 9.0

        self.try_law(tmp_path, law)

    def test_a_child_draws_from_the_budget_of_its_root(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            root = (await store.create_run(new_run(budget=BUDGET), OWNER, LEASE_S)).writer
            child = await store.create_run(new_run("run:sub:a"), OWNER, LEASE_S)
            stranger = await store.create_run(new_run("runs:sub:a"), OWNER, LEASE_S)
            assert stranger.budget is None
            assert child.budget is not None and child.budget.budget == BUDGET
            await child.writer.begin_call(intent(reserves=Spending(tool_calls=1)))
            await root.begin_call(intent(reserves=Spending(tool_calls=1)))
            with raises(BudgetExhausted):
                await child.writer.begin_call(intent(key="1", reserves=Spending(tool_calls=1)))
            await child.writer.end_call(done())
            await child.writer.commit(0, encode(1))
            found = await budget_of(store)
            assert (found.spent.tool_calls, found.steps) == (2, 1)
            assert await store.get_budget("run:sub:a") == found
            await root.end_call(done())

        self.try_law(tmp_path, law)

    def test_a_budget_is_raised_by_what_it_limits_and_queues_the_run_that_waits_for_that(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            budget = Budget(tool_calls=2, cost_usd=0.5, seconds=1.5)
            writer = (await store.create_run(new_run(budget=budget), OWNER, LEASE_S)).writer
            await writer.settle(Settlement(step_index=0, status="paused", reason="budget:cost"))
            with raises(BadInput):
                await store.add_budget("run", Budget(tool_calls=1, tokens=5))
            assert (await budget_of(store)).budget == budget
            await store.add_budget("run", Budget(tool_calls=1))
            assert ((await store.get_run("run")).status, (await budget_of(store)).budget.tool_calls) == ("paused", 3)
            told = await store.add_budget("run", Budget(cost_usd=0.25, seconds=1))
            assert told.budget == Budget(tool_calls=3, cost_usd=0.75, seconds=2.5)
            assert await store.get_budget("run") == told
            record = await store.get_run("run")
            assert (record.status, record.reason) == ("queued", "budget raised")
            await store.create_run(new_run("other"), OWNER, LEASE_S)
            with raises(BadInput):
                await store.add_budget("other", Budget(tokens=5))

        self.try_law(tmp_path, law)
