"""Budgets of a run: reserved before a call, charged after it, running out is a pause that says which."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from loom_core import Agent, AgentRunner, Budget, Complete, Continue, Message, NotStarted, Runtime, tool
from loom_core.config import Config
from loom_core.contracts.budgets import Spending
from loom_core.contracts.models import Finish, ModelEvent, ModelRequest, TextDelta, Usage
from loom_core.errors import BadInput, ConfigError, ErrorCategory, ModelFailed, PriceUnknown
from loom_core.runtime.prices import price_finder
from tests.core.runtime.support import AT_ONCE, play


class Model:
    """A backend that answers with as many tokens as it is told to use, and remembers what it was asked."""

    def __init__(self, *usages: Usage | Exception | None) -> None:
        self.usages = list(usages)
        self.asked: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        self.asked.append(request)
        usage = self.usages.pop(0) if self.usages else Usage(input_tokens=10, output_tokens=10)
        if isinstance(usage, Exception):
            raise usage
        yield TextDelta("yes")
        if usage is not None:
            yield usage
        yield Finish("stop")


def made(place: Path, step: Any, *tools: Any, budget: Budget | None = None, model: Model | None = None) -> AgentRunner:
    agent = Agent(name="spender", step=step, initial_state=0, tools=tools, budget=budget, retry_policy=AT_ONCE)
    runner = AgentRunner(agent=agent, store=place / "runs.sqlite")
    if model is not None:
        runner._find_model = lambda name: (model, name.partition(":")[2])  # type: ignore[method-assign]
    return runner


async def spent(runner: AgentRunner, run_id: str = "r") -> Any:
    found = await runner._store("read").get_budget(run_id)
    assert found is not None
    return found


async def ask(ctx: Any, text: str = "hello", model: str = "mock:any") -> Any:
    return await ctx.call_model(model, [Message(role="user", content=text)])


def test_when_its_tool_calls_are_used_up_a_run_is_paused_before_the_next_and_goes_on_with_more(tmp_path: Path) -> None:
    calls = []

    @tool
    def work(n: int) -> int:
        "Work."
        calls.append(n)
        return n

    async def step(state: int, ctx: Any) -> Any:
        for n in range(4):
            await ctx.call_tool("work", n)
        return Complete(ctx.budget.spent.tool_calls)

    async def main() -> None:
        async with made(tmp_path, step, work, budget=Budget(tool_calls=2)) as runner:
            left = await runner.start(run_id="r")
            assert (left.status, left.reason, calls) == ("paused", "budget:tool_calls", [0, 1])
            again = await runner.resume(run_id="r")
            assert (again.status, again.reason, calls) == ("paused", "budget:tool_calls", [0, 1])
            with pytest.raises(BadInput, match="has no budget of tokens"):
                await runner.resume(run_id="r", more=Budget(tokens=5))
            left = await runner.resume(run_id="r", more=Budget(tool_calls=1))
            assert (left.reason, calls) == ("budget:tool_calls", [0, 1, 2])
            result = await runner.resume(run_id="r", more=Budget(tool_calls=1))
            assert (result.result, calls) == (4, [0, 1, 2, 3])
            assert (await runner.verify_run("r")).ok
            with pytest.raises(BadInput, match="is completed; it spends nothing"):
                await runner.resume(run_id="r", more=Budget(tool_calls=1))

    play(main)


def test_a_tool_that_did_not_start_costs_nothing_and_a_recorded_result_costs_nothing_again(tmp_path: Path) -> None:
    tries = []

    @tool
    def work() -> int:
        "Work."
        tries.append(1)
        if len(tries) == 1:
            raise NotStarted("busy")
        return 1

    async def step(state: int, ctx: Any) -> Any:
        await ctx.call_tool("work")
        if ctx.attempt_index < 2:
            raise ConnectionError("after the call")
        return Complete(0)

    async def main() -> None:
        async with made(tmp_path, step, work, budget=Budget(tool_calls=1)) as runner:
            assert (await runner.start(run_id="r")).status == "completed"
            assert (await spent(runner)).spent == Spending(tool_calls=1)
            assert len(tries) == 2

    play(main)


def test_tokens_are_reserved_before_a_model_is_asked_and_its_answer_cannot_have_more(tmp_path: Path) -> None:
    model = Model(Usage(input_tokens=12, output_tokens=30), Usage(input_tokens=12, output_tokens=20))

    async def step(state: int, ctx: Any) -> Any:
        await ask(ctx)
        return Continue(state + 1)

    async def main() -> None:
        async with made(tmp_path, step, budget=Budget(tokens=100), model=model) as runner:
            left = await runner.start(run_id="r")
            assert (left.status, left.reason) == ("paused", "budget:tokens")
            assert left.step_index == len(model.asked) >= 2
            caps = [request.max_tokens for request in model.asked]
            # What is left after the request itself, which is taken for a little longer than it is.
            assert all(cap is not None and 0 < cap < 100 for cap in caps)
            assert caps == sorted(caps, reverse=True)
            found = await spent(runner)
            assert found.spent.tokens_in + found.spent.tokens_out <= 100
            assert (found.spent.tokens_in, found.spent.tokens_out) == (
                sum((12, 12, *[10] * (len(caps) - 2))),
                sum((30, 20, *[10] * (len(caps) - 2))),
            )
            counters = (await runner.get_run("r")).counters
            assert (counters.tokens_in, counters.tokens_out) == (found.spent.tokens_in, found.spent.tokens_out)

    play(main)


def test_a_run_without_a_budget_sets_no_limit_to_an_answer(tmp_path: Path) -> None:
    model = Model()

    async def step(state: int, ctx: Any) -> Any:
        assert ctx.budget is None
        return Complete((await ask(ctx)).text)

    async def main() -> None:
        async with made(tmp_path, step, model=model) as runner:
            assert (await runner.start(run_id="r")).result == "yes"
            assert [request.max_tokens for request in model.asked] == [None]
            with pytest.raises(BadInput, match="is completed"):
                await runner.resume(run_id="r", more=Budget(tokens=5))

    play(main)


@pytest.mark.parametrize(
    ("outcome", "charged"),
    [
        (None, "reserved"),
        (ModelFailed("lost", error_category=ErrorCategory.TRANSIENT), "reserved"),
        (ModelFailed("no key", error_category=ErrorCategory.PERMISSION), "nothing"),
    ],
)
def test_what_nobody_knows_the_cost_of_is_charged_as_it_was_reserved(
    tmp_path: Path, outcome: Any, charged: str
) -> None:
    model = Model(outcome)

    async def step(state: int, ctx: Any) -> Any:
        try:
            await ask(ctx)
        except ModelFailed:
            return Complete("failed")
        return Complete("answered")

    async def main() -> None:
        async with made(tmp_path, step, budget=Budget(tokens=5000, answer_tokens=40), model=model) as runner:
            await runner.start(run_id="r")
            found = (await spent(runner)).spent
            assert found.tokens_out == (40 if charged == "reserved" else 0)
            assert (found.tokens_in > 10) == (charged == "reserved")

    play(main)


def test_a_budget_of_money_refuses_a_model_whose_price_nobody_knows(tmp_path: Path) -> None:
    model = Model()

    async def step(state: int, ctx: Any) -> Any:
        return Complete((await ask(ctx, model="openai:no-such-model")).text)

    async def main() -> None:
        async with made(tmp_path, step, budget=Budget(cost_usd=1), model=model) as runner:
            with pytest.raises(PriceUnknown, match="what model `openai:no-such-model` costs is not known"):
                await runner.start(run_id="r")
            assert model.asked == []
            record = await runner.get_run("r")
            assert (record.status, record.counters.calls, record.counters.failed_attempts) == ("failed", 0, 1)

    play(main)


def test_money_is_reserved_and_charged_by_the_price_and_running_out_says_so(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "openai:dear"\ninput = 1000\noutput = 2000\nas_of = 2026-02-01\n')
    model = Model(*[Usage(input_tokens=20, output_tokens=15)] * 9)

    async def step(state: int, ctx: Any) -> Any:
        await ask(ctx, model="openai:dear")
        return Continue(state + 1)

    async def main() -> None:
        async with made(tmp_path, step, budget=Budget(cost_usd=0.15), model=model) as runner:
            runner._price_of = price_finder(str(prices))
            left = await runner.start(run_id="r")
            assert (left.status, left.reason) == ("paused", "budget:cost")
            found = await spent(runner)
            assert found.amount("cost") == pytest.approx(0.05 * len(model.asked)) and found.amount("cost") <= 0.15
            assert model.asked[0].max_tokens is not None and model.asked[0].max_tokens < 75

    play(main)


def test_a_call_that_a_dead_process_had_begun_counts_as_spent(tmp_path: Path) -> None:
    from loom_core import open_store
    from loom_core.contracts.stores import AgentRecord, NewRun, Owner
    from loom_core.testing.store_values import encode, intent

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("work"))

    @tool(effect="idempotent")
    def work() -> int:
        "Work."
        return 1

    async def main() -> None:
        store = open_store(str(tmp_path / "runs.sqlite"))
        new = NewRun(run_id="r", agent=AgentRecord(name="spender"), state=encode(0), budget=Budget(tool_calls=1))
        writer = (await store.create_run(new, Owner(host="gone", pid=1, nonce="x"), 0.0)).writer
        await writer.begin_call(
            attrs.evolve(intent(reserves=Spending(tool_calls=1), arguments="{}"), name="work", effect="idempotent")
        )
        await store.aclose()
        async with made(tmp_path, step, work) as runner:
            left = await runner.resume(run_id="r")
            assert (left.status, left.reason) == ("paused", "budget:tool_calls")
            assert (await runner.resume(run_id="r", more=Budget(tool_calls=1))).result == 1
            assert (await spent(runner)).spent == Spending(tool_calls=2)

    play(main)


def test_steps_are_counted_over_resumes_and_a_slice_is_no_budget(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(state) if state == 5 else Continue(state + 1)

    async def main() -> None:
        async with made(tmp_path, step, budget=Budget(steps=3)) as runner:
            assert (await runner.start(run_id="r", max_steps=2)).reason == "slice:steps"
            left = await runner.resume(run_id="r", max_steps=2)
            assert (left.step_index, left.reason) == (3, "budget:steps")
            assert (await runner.resume(run_id="r")).step_index == 3
            left = await runner.resume(run_id="r", more=Budget(steps=1), max_steps=1)
            assert (left.step_index, left.reason) == (4, "budget:steps")
            assert (await runner.resume(run_id="r", more=Budget(steps=2))).result == 5

    play(main)


def test_seconds_are_counted_over_resumes(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Continue(state + 1)

    async def main() -> None:
        async with made(tmp_path, step, budget=Budget(seconds=0.05)) as runner:
            left = await runner.start(run_id="r")
            assert (left.status, left.reason) == ("paused", "budget:seconds")
            found = await spent(runner)
            assert 0.05 <= found.seconds < 20
            assert (await runner.resume(run_id="r")).step_index == left.step_index
            more = await runner.resume(run_id="r", more=Budget(seconds=found.seconds))
            assert more.reason == "budget:seconds" and more.step_index > left.step_index

    play(main)


def test_limits_of_a_start_take_the_place_of_the_agents(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        return Complete(ctx.budget.budget.limits)

    async def main() -> None:
        async with made(tmp_path, step, budget=Budget(tool_calls=3, tokens=10, answer_tokens=7)) as runner:
            result = await runner.start(run_id="r", budget=Budget(tokens=50, cost_usd=0.5))
            assert result.result == {"tool_calls": 3, "tokens": 50, "cost": 0.5}
            assert (await spent(runner)).budget.answer_tokens == 7

    play(main)


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"tokens": 1.5}, {"cost_usd": -1}, {"steps": True}, {"seconds": "1"}])
def test_a_budget_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="it has to be a number above 0"):
        Budget(**wrong)


def test_branches_reserve_before_they_are_made_so_that_together_they_cannot_spend_too_much(tmp_path: Path) -> None:
    model = Model(*[Usage(input_tokens=10, output_tokens=40)] * 5)

    async def step(state: int, ctx: Any) -> Any:
        await ctx.gather(*(ask(ctx) for _ in range(5)))
        return Complete(0)

    async def main() -> None:
        async with made(tmp_path, step, budget=Budget(tokens=200, answer_tokens=40), model=model) as runner:
            left = await runner.start(run_id="r")
            assert (left.status, left.reason) == ("paused", "budget:tokens")
            found = (await spent(runner)).spent
            assert found.tokens_in + found.tokens_out <= 200
            made_calls = len(model.asked)
            left = await runner.resume(run_id="r", more=Budget(tokens=300))
            assert left.status == "completed"
            assert len(model.asked) == 5 > made_calls

    play(main)


def test_the_prices_that_come_with_loom_have_a_date_a_source_and_a_price_or_none(tmp_path: Path) -> None:
    find = price_finder(None)
    free = find("local:smollm2")
    assert free is not None and free.cost_nano(Usage(input_tokens=10**6, output_tokens=10**6)) == 0
    mini = find("openai:gpt-4o-mini")
    assert mini is not None and isinstance(mini.as_of, dt.date) and mini.source.startswith("https://")
    usage = Usage(input_tokens=1000, output_tokens=500, cached_tokens=400)
    assert mini.cost_nano(usage) == 600 * 150 + 400 * 75 + 500 * 600
    assert find("openai:gpt-99") is None
    cloud = find("ollama:gpt-oss:120b-cloud")
    assert cloud is not None and cloud.cost_nano(usage) is None

    own = tmp_path / "own.toml"
    own.write_text(
        '[[price]]\nmodel = "local:*"\ninput = 1\noutput = 2\nas_of = 2026-03-01\nsource = "my power bill"\n'
    )
    dearer = price_finder(str(own))("local:smollm2")
    assert dearer is not None and (dearer.input, dearer.source) == (1.0, "my power bill")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("[", "is not TOML"),
        ("x = 1", "something else than"),
        ('[[price]]\nmodel = "a:b"\ninput = 1', "without `as_of`"),
        ('[[price]]\nmodel = "a:b"\ninput = "1"\nas_of = 2026-01-01', "whose `input` is '1'"),
        ('[[price]]\nmodel = "ab"\nas_of = 2026-01-01', "no PREFIX:MODEL"),
        ('[[price]]\nmodel = "a:b"\nprice = 3\nas_of = 2026-01-01', "unknown field `price`"),
    ],
)
def test_a_file_of_prices_that_cannot_be_used_is_named_with_what_is_wrong(
    tmp_path: Path, text: str | None, said: str
) -> None:
    place = tmp_path / "prices.toml"
    if text is not None:
        place.write_text(text)
    with pytest.raises(ConfigError, match=said) as wrong:
        price_finder(str(place))
    assert str(place) in str(wrong.value)


def test_the_file_of_prices_is_the_setting_of_that_name(tmp_path: Path) -> None:
    from loom_core.config import load_config

    config = tmp_path / "config.toml"
    config.write_text('prices = "p.toml"\n')
    loaded = load_config(flags={}, environ={}, config_file=config, user_file=tmp_path / "none.toml")
    assert loaded.prices == "p.toml"
    assert load_config(flags={}, environ={"LOOM_PRICES": "e.toml"}, user_file=tmp_path / "none.toml").prices == "e.toml"
    assert Config().prices is None and Runtime is not None
