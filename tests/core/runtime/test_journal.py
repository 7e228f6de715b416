"""Managed calls: recorded, replayed, reconciled, doubted; a `once` effect never twice by itself."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from loom_core import Complete, Continue, Done, NotDone, NotStarted, ToolFailed, Unknown, tool
from loom_core.errors import BadInput, ManagedCallOutsideBranch, ReplayMismatch, ToolArgumentsInvalid, ToolNotFound
from loom_core.runtime.resolving import resolve_call
from tests.core.runtime.support import play, runner


class Bank:
    """Counts what happened to it."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.keys: list[str] = []


def test_a_finished_call_is_not_made_again_by_a_further_attempt(tmp_path: Path) -> None:
    bank = Bank()

    @tool(effect="once")
    def pay(amount: int) -> int:
        """Pay."""
        bank.paid.append(amount)
        return amount * 2

    async def step(state: int, ctx: Any) -> Any:
        got = await ctx.call_tool("pay", amount=5)
        if ctx.attempt_index == 0:
            raise ConnectionError("after the payment")
        return Complete(got)

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == 10
            (call,) = await r.get_tool_calls("a")
            assert (call.call_id, call.status, call.arguments, call.result) == ("0/0", "done", '{"amount":5}', "10")

    play(main)
    assert bank.paid == [5]


@pytest.mark.parametrize("effect", ["read", "idempotent"])
def test_a_failed_call_that_may_be_repeated_is_made_again_in_a_new_attempt_under_the_same_key(
    tmp_path: Path, effect: Any
) -> None:
    from loom_core import ToolContext

    keys: list[str] = []

    @tool(effect=effect)
    def look(context: ToolContext) -> str:
        """Look."""
        keys.append(context.key)
        if len(keys) == 1:
            raise ConnectionError("once")
        return "seen"

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("look"))

    async def main() -> None:
        async with runner(tmp_path, step, look) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == "seen"
            calls = await r.get_tool_calls("a")
            assert [(c.call_id, c.status) for c in calls] == [("0/0", "unknown"), ("0/0~1", "done")]
            assert len(await r.get_attempts("a")) == 1

    play(main)
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_once_call_that_failed_for_certain_is_not_made_again_but_its_error_is(tmp_path: Path) -> None:
    bank = Bank()

    @tool(effect="once")
    def pay() -> None:
        """Pay."""
        bank.paid.append(1)
        raise LookupError("no account")

    seen: list[bool] = []

    async def step(state: int, ctx: Any) -> Any:
        try:
            await ctx.call_tool("pay")
        except ToolFailed as error:
            seen.append(error.recorded)
            if ctx.attempt_index == 0:
                raise ConnectionError("try the step again") from error
            return Complete(error.error_type)

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == "LookupError"

    play(main)
    assert bank.paid == [1]
    assert seen == [False, True]


@pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError, BrokenPipeError, EOFError])
def test_a_lost_connection_of_a_once_call_is_doubt_and_waits_for_a_person(
    tmp_path: Path, error: type[Exception]
) -> None:
    bank = Bank()

    @tool(effect="once")
    async def pay() -> str:
        """Pay."""
        bank.paid.append(1)
        raise error("lost")

    async def step(state: int, ctx: Any) -> Any:
        try:
            return Complete(await ctx.call_tool("pay"))
        except Exception:  # a step that swallows everything must not swallow the doubt
            return Complete("swallowed")

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            parked = await r.start(run_id="a", initial_state=0)
            assert (parked.status, parked.reason) == ("waiting", "doubt:0/0")
            assert (await r.resume(run_id="a")).status == "waiting"
            with pytest.raises(BadInput, match="no call `7/7` in doubt"):
                await resolve_call(r._store("write"), "a", "7/7", result="1", by="me")
            decided = await resolve_call(r._store("write"), "a", "0/0", result='"paid"', by="me")
            assert (decided.status, decided.decided_by) == ("done", "me")
            assert (await r.resume(run_id="a")).result == "paid"
            assert (await r.verify_run("a")).ok

    play(main)
    assert bank.paid == [1]


def test_a_person_may_decide_that_it_did_not_happen_or_failed(tmp_path: Path) -> None:
    happened: list[int] = []

    @tool(effect="once")
    async def pay() -> str:
        """Pay."""
        happened.append(1)
        if len(happened) == 1:
            raise TimeoutError
        return "second time"

    async def step(state: int, ctx: Any) -> Any:
        try:
            return Complete(await ctx.call_tool("pay"))
        except ToolFailed as error:
            return Complete(error.detail)

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            await r.start(run_id="again", initial_state=0)
            await resolve_call(r._store("write"), "again", "0/0", retry=True, by="me")
            assert (await r.resume(run_id="again")).result == "second time"
            happened.clear()
            await r.start(run_id="failed", initial_state=0)
            await resolve_call(r._store("write"), "failed", "0/0", fail="the bank says no", by="me")
            assert (await r.resume(run_id="failed")).result == "the bank says no"

    play(main)


def test_a_person_may_let_a_failed_once_call_of_a_failed_run_be_made_again(tmp_path: Path) -> None:
    tries: list[int] = []

    @tool(effect="once")
    def pay() -> str:
        """Pay."""
        tries.append(1)
        if len(tries) == 1:
            raise LookupError("no such account")
        return "paid"

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("pay"))

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            with pytest.raises(ToolFailed):
                await r.start(run_id="a", initial_state=0)
            with pytest.raises(ToolFailed):
                await r.resume(run_id="a", retry_failed=True)
            assert tries == [1]
            await resolve_call(r._store("write"), "a", "0/0", retry=True, by="me")
            assert (await r.resume(run_id="a")).result == "paid"
            assert (await r.verify_run("a")).ok

    play(main)


@pytest.mark.parametrize(
    ("answer", "status", "result", "times"),
    [(Done("found"), "completed", "found", 1), (NotDone(), "completed", "paid", 2), (Unknown(), "waiting", None, 1)],
)
def test_reconcile_decides_a_doubt_where_it_can(
    tmp_path: Path, answer: Any, status: str, result: Any, times: int
) -> None:
    happened: list[int] = []

    async def reconcile(call: Any) -> Any:
        assert call.arguments == {"amount": 3}
        return answer

    @tool(effect="once", reconcile=reconcile)
    async def pay(amount: int) -> str:
        """Pay."""
        happened.append(amount)
        if len(happened) == 1:
            raise TimeoutError
        return "paid"

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("pay", 3))

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            ended = await r.start(run_id="a", initial_state=0)
            assert (ended.status, ended.result) == (status, result)

    play(main)
    assert len(happened) == times


def test_not_started_lets_even_a_once_call_be_made_again(tmp_path: Path) -> None:
    tries: list[int] = []

    @tool(effect="once")
    def pay() -> str:
        """Pay."""
        tries.append(1)
        if len(tries) < 3:
            raise NotStarted("the queue was full")
        return "paid"

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("pay"))

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == "paid"

    play(main)
    assert len(tries) == 3


def test_a_blocking_tool_that_times_out_freezes_nothing_and_its_late_result_is_evidence(tmp_path: Path) -> None:
    release = threading.Event()

    @tool(effect="once", timeout_s=0.05)
    def pay() -> str:
        """Pay."""
        assert release.wait(20)
        return "late"

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("pay"))

    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        async with runner(tmp_path, step, pay) as r:
            parked = await r.start(run_id="a", initial_state=0)
            assert (parked.status, parked.reason) == ("waiting", "doubt:0/0")
            assert ticks >= 3
            release.set()
            while (call := (await r.get_tool_calls("a"))[0]).late_result is None:
                await asyncio.sleep(0.005)
            assert (call.status, call.late_result, call.result) == ("unknown", '"late"', None)
        ticking.cancel()

    play(main)


def test_another_tool_or_other_arguments_under_a_recorded_key_fail_before_any_effect(tmp_path: Path) -> None:
    bank = Bank()

    @tool(effect="once")
    def pay(amount: int) -> int:
        """Pay."""
        bank.paid.append(amount)
        return amount

    async def step(state: int, ctx: Any) -> Any:
        await ctx.call_tool("pay", amount=ctx.attempt_index)
        raise ConnectionError

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            with pytest.raises(ReplayMismatch, match="was `pay`"):
                await r.start(run_id="a", initial_state=0)

    play(main)
    assert bank.paid == [0]


def test_a_key_of_the_users_is_one_call_over_steps_and_is_checked(tmp_path: Path) -> None:
    bank = Bank()

    @tool(effect="once")
    def pay(amount: int) -> int:
        """Pay."""
        bank.paid.append(amount)
        return amount

    async def step(state: int, ctx: Any) -> Any:
        got = await ctx.call_tool("pay", amount=7, idempotency_key="invoice-1")
        if state == 0:
            return Continue(1)
        with pytest.raises(ReplayMismatch, match="was `pay`"):
            await ctx.call_tool("pay", amount=8, idempotency_key="invoice-1")
        return Complete(got)

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == 7
            assert (await r.start(run_id="b", initial_state=0)).result == 7

    play(main)
    assert bank.paid == [7, 7], "a key belongs to its run"


def test_what_a_tool_raises_reaches_the_step_which_may_go_on(tmp_path: Path) -> None:
    @tool(effect="read")
    def look(path: str) -> str:
        """Look."""
        raise FileNotFoundError(f"no {path}")

    async def step(state: int, ctx: Any) -> Any:
        with pytest.raises(ToolNotFound, match="glance"):
            await ctx.call_tool("glance")
        with pytest.raises(ToolArgumentsInvalid, match="path"):
            await ctx.call_tool("look", path=3)
        try:
            await ctx.call_tool("look", path="x")
        except ToolFailed as error:
            return Complete([error.tool, error.error_type, error.detail])

    async def main() -> None:
        async with runner(tmp_path, step, look) as r:
            ended = await r.start(run_id="a", initial_state=0)
            assert ended.result == ["look", "FileNotFoundError", "no x"]

    play(main)


def test_branches_have_keys_of_their_own_however_they_interleave(tmp_path: Path) -> None:
    bank = Bank()

    @tool(effect="once")
    async def pay(amount: int) -> int:
        """Pay."""
        await asyncio.sleep(0.01 if amount % 2 else 0)
        bank.paid.append(amount)
        return amount

    async def step(state: int, ctx: Any) -> Any:
        async def branch(i: int) -> int:
            await asyncio.sleep(0.005 * (ctx.attempt_index ^ (i % 2)))
            first = await ctx.call_tool("pay", amount=i)
            second = await ctx.call_tool("pay", amount=i + 10)
            return int(first + second)

        got = await ctx.gather(*(branch(i) for i in range(4)), limit=3)
        if ctx.attempt_index == 0:
            raise ConnectionError
        return Complete(got)

    async def main() -> None:
        async with runner(tmp_path, step, pay) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == [10, 12, 14, 16]
            keys = {c.key for c in await r.get_tool_calls("a")}
            assert keys == {f"g0.{i}/{n}" for i in range(4) for n in range(2)}

    play(main)
    assert sorted(bank.paid) == [0, 1, 2, 3, 10, 11, 12, 13]


def test_a_failed_branch_lets_the_others_finish_and_starts_no_more(tmp_path: Path) -> None:
    finished: list[int] = []

    async def step(state: int, ctx: Any) -> Any:
        async def branch(i: int) -> int:
            if i == 0:
                await asyncio.sleep(0)
                raise LookupError("zero")
            await asyncio.sleep(0.01)
            finished.append(i)
            return i

        collected = await ctx.gather(branch(0), branch(1), on_error="collect")
        assert isinstance(collected[0], LookupError)
        with pytest.raises(LookupError):
            await ctx.gather(branch(0), branch(2), branch(3), limit=2)
        return Complete(None)

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            assert (await r.start(run_id="a", initial_state=0)).status == "completed"

    play(main)
    assert finished == [1, 2]


def test_a_managed_call_from_a_task_of_ones_own_names_gather(tmp_path: Path) -> None:
    @tool(effect="read")
    async def look() -> int:
        """Look."""
        return 1

    async def step(state: int, ctx: Any) -> Any:
        with pytest.raises(ManagedCallOutsideBranch) as error:
            await asyncio.create_task(ctx.call_tool("look"))
        assert "ctx.gather" in str(error.value.hint)
        keyed = await asyncio.create_task(ctx.call_tool("look", idempotency_key="own"))
        return Complete(keyed)

    async def main() -> None:
        async with runner(tmp_path, step, look) as r:
            assert (await r.start(run_id="a", initial_state=0)).result == 1

    play(main)


def test_a_context_kept_after_its_step_can_do_nothing(tmp_path: Path) -> None:
    kept: list[Any] = []

    @tool(effect="read")
    async def look() -> int:
        """Look."""
        return 1

    async def step(state: int, ctx: Any) -> Any:
        if kept:
            with pytest.raises(ManagedCallOutsideBranch, match="has ended"):
                await kept[0].call_tool("look")
            return Complete(None)
        kept.append(ctx)
        return Continue(1)

    async def main() -> None:
        async with runner(tmp_path, step, look) as r:
            assert (await r.start(run_id="a", initial_state=0)).status == "completed"

    play(main)


def test_facts_are_the_same_in_every_attempt_once_a_call_depends_on_them(tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []

    @tool(effect="read")
    async def look(at: str) -> str:
        """Look."""
        return at

    async def step(state: int, ctx: Any) -> Any:
        facts = (ctx.now(), ctx.random(), ctx.uuid4())
        seen.append(facts)
        await ctx.call_tool("look", at=str(facts))
        if state == 0 and ctx.attempt_index == 0:
            raise ConnectionError
        return Complete(None)

    async def main() -> None:
        async with runner(tmp_path, step, look) as r:
            await r.start(run_id="a", initial_state=0)

    play(main)
    assert seen[0] == seen[1]


def test_emitted_events_are_in_the_history(tmp_path: Path) -> None:
    async def step(state: int, ctx: Any) -> Any:
        ctx.emit({"at": state})
        return Complete(None) if state else Continue(1)

    async def main() -> None:
        async with runner(tmp_path, step) as r:
            await r.start(run_id="a", initial_state=0)
            notes = [s.record.notes for s in await r.get_history("a")]
            assert notes == [None, '{"events":[{"at":0}]}', '{"events":[{"at":1}]}']

    play(main)
