"""`verify` finds answers and budgets that were tampered with; files of the first version open with all they had."""

import asyncio
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest

from loom_core import AgentRunner, Complete, tool
from loom_core.contracts.budgets import Budget, Spending
from loom_core.contracts.stores import Finding
from loom_core.testing.store_contract_people import YES, asked, claimed_again
from loom_core.testing.store_values import LEASE_S, OWNER, done, intent, new_run
from tests.plugins.store_sqlite.support import with_store


def _prepared(path: Path) -> Path:
    async def fill(store: Any) -> None:
        from loom_core.testing.store_contract_people import parked, question

        writer = (await store.create_run(new_run(budget=Budget(tool_calls=3)), OWNER, LEASE_S)).writer
        await writer.settle(parked(question(), question("0/1", key="1")))
        await store.answer_approval("run", "0/0", YES)
        writer = (await claimed_again(store)).writer
        await writer.begin_call(attrs.evolve(intent(reserves=Spending(tool_calls=1)), approval_id="0/0"))
        await writer.end_call(done())
        assert list(await store.verify()) == []
        assert asked is not None

    with_store(path, fill)
    return path


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("UPDATE approvals SET decision = 'denied' WHERE approval_id = '0/0'", "question 0/0"),
        ("UPDATE approvals SET used_at = 1, used_try = 0 WHERE approval_id = '0/1'", "question 0/1"),
        ("UPDATE approvals SET used_try = 5 WHERE approval_id = '0/0'", "question 0/0"),
        ("DELETE FROM approvals WHERE approval_id = '0/0'", "approvals"),
        ("UPDATE approvals SET note = 99 WHERE approval_id = '0/0'", "approvals 1"),
        ("UPDATE budgets SET spent_tool_calls = 0", "budget"),
        ("DELETE FROM reservations", "budget"),
    ],
)
def test_verify_finds_answers_and_budgets_that_were_changed(tmp_path: Path, sql: str, where: str) -> None:
    path = _prepared(tmp_path / "runs.sqlite")
    connection = apsw.Connection(str(path))
    connection.execute(sql).fetchall()
    connection.close()
    found: list[Finding] = list(with_store(path, lambda s: s.verify(), "read"))
    assert where in {finding.where for finding in found}


def test_a_run_of_the_first_version_goes_on_in_this_one(tmp_path: Path) -> None:
    """What version 1 had is carried over: a waiting run, its signal, its call; and it can be asked and paused now."""
    from loom_store_sqlite.files import locate
    from loom_store_sqlite.opening import open_for_writing
    from loom_store_sqlite.schema import MIGRATIONS

    path = tmp_path / "old.sqlite"
    connection = open_for_writing(locate(str(path)), may_create=True, migrations=MIGRATIONS[:1])
    digest = "x'" + "00" * 16 + "'"
    from loom_core.testing.store_values import digest as digest_of

    digest = f"x'{digest_of('2').hex()}'"
    connection.execute(
        f"""
        INSERT INTO runs VALUES(1, 'waits', 'old', '1', NULL, NULL, NULL, {digest}, 1.0);
        INSERT INTO heads VALUES(1, 'waiting', 'signal:go', 0, 0, 1, NULL, NULL, 'go', NULL, 2.0, NULL, NULL, NULL,
                                 0, 0, 0, 0, 0, 0, 0);
        INSERT INTO steps VALUES((1 << 32) + 1, 0, 0, 1, 1.0, {digest}, 0, CAST('2' AS BLOB), NULL);
        INSERT INTO claims VALUES((1 << 32) + 1, '{{"host": "h", "pid": 1, "nonce": "n"}}', 1.0, 0, 'new');
        INSERT INTO signals VALUES((1 << 32) + 1, 'go', '{{"n": 1}}', 1.5, NULL);
        """
    )
    connection.close()

    @tool(effect="read", approval=True)
    def look(n: int) -> int:
        "Look."
        return n

    async def step(state: int, ctx: Any) -> Any:
        return Complete(await ctx.call_tool("look", ctx.signal.payload["n"]))

    async def main() -> None:
        async with AgentRunner(step=step, name="old", tools=(look,), store=path) as runner:
            assert (await runner.resume(run_id="waits")).reason == "approval:0/0"
            store = runner._store("write")
            (signal,) = await store.get_signals("waits")
            assert (signal.payload, signal.sender, await store.get_budget("waits")) == ('{"n": 1}', None, None)
            await store.answer_approval("waits", "0/0", YES)
            assert (await runner.resume(run_id="waits")).result == 1
            assert list(await store.verify()) == []

    asyncio.run(main())
