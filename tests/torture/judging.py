"""Brings a run that died to its end, as an operator would, and judges what is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs

from loom_core import open_store
from loom_core.errors import RunNotFound, StoreEmpty, StoreUnusable
from loom_core.runtime.resolving import resolve_call
from tests.torture import ledger_agent
from tests.torture.crashing import in_child


@attrs.define
class Verdict:
    """What it took to bring a run to its end."""

    resumes: int = 0
    doubts: int = 0


def bring_to_end(db: Path, ledger: Path, report: Path) -> Verdict:
    """Resume (or start again, if the creation was lost) until the run is completed; decide doubts by the ledger."""
    verdict = Verdict()
    for _ in range(20):
        begun = asyncio.run(is_begun(db, ledger_agent.RUN_ID))
        act = ledger_agent.resume if begun else ledger_agent.start
        ending = in_child(lambda act=act: act(db, ledger), report)
        verdict.resumes += 1
        assert ending.signal is None and ending.raised is None, ending
        if ending.value["status"] == "completed":
            assert ending.value["result"] == ledger_agent.expected_result()
            return verdict
        assert ending.value["status"] == "waiting", ending
        verdict.doubts += 1
        asyncio.run(_decide(db, ledger, ending.value["reason"]))
    raise AssertionError("the run did not come to its end")


def judge(db: Path, ledger: Path) -> None:
    """Every step is committed once, every `once` effect happened exactly once, and the store is consistent."""
    happened = ledger_agent.effects(ledger)
    repeated = {effect: count for effect, count in happened.items() if effect[0] == "pay" and count > 1}
    assert not repeated, repeated
    amounts = {(line["tool"], line["amount"]) for line in ledger_agent.lines(ledger)}
    assert len(amounts) == ledger_agent.STEPS == len(happened)
    asyncio.run(_judge_store(db))


async def is_begun(db: Path, run_id: str) -> bool:
    """Return True if the run is stored; False if not even the database is."""
    try:
        store = open_store(str(db), "read")
    except StoreEmpty:
        return False
    except StoreUnusable:
        assert not db.exists() or is_unfinished(db), "the file cannot be opened any more"
        return False
    try:
        await store.get_run(run_id)
    except RunNotFound:
        return False
    finally:
        await store.aclose()
    return True


def is_unfinished(database: Path) -> bool:
    """Return True for a file whose creation was cut off: opening it to write starts anew or rolls back."""
    journal = database.with_name(database.name + "-journal")
    return database.stat().st_size == 0 or (journal.exists() and journal.stat().st_size > 0)


async def _decide(db: Path, ledger: Path, reason: str) -> None:
    """Do what an operator does: look into the ledger whether the doubtful payment is there."""
    assert reason.startswith("doubt:"), reason
    call_id = reason.removeprefix("doubt:")
    store = open_store(str(db), "write")
    try:
        (call,) = [c for c in await store.get_calls(ledger_agent.RUN_ID, status="unknown") if c.call_id == call_id]
        assert (call.name, call.effect) == ("pay", "once")
        made = [line for line in ledger_agent.lines(ledger) if line["call"] == call_id]
        decision: dict[str, Any] = {"result": str(made[0]["amount"])} if made else {"retry": True}
        await resolve_call(store, ledger_agent.RUN_ID, call_id, by="operator", **decision)
    finally:
        await store.aclose()


async def _judge_store(db: Path) -> None:
    store = open_store(str(db), "read")
    try:
        assert not await store.verify(ledger_agent.RUN_ID)
        steps = await store.get_steps(ledger_agent.RUN_ID, first=-1, limit=1000)
        assert [s.step_index for s in steps] == list(range(-1, ledger_agent.STEPS + 1))
        assert (await store.get_run(ledger_agent.RUN_ID)).status == "completed"
    finally:
        await store.aclose()
