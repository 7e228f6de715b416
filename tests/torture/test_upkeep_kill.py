"""kill -9 at every write of a fork, a pruning, a deletion, an import, a vacuum, and of runs that are thinned."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loom_core import AgentRunner, CheckpointPolicy, Complete, Continue, open_store
from loom_core.contracts.dumps import Part
from loom_core.runtime.forking import fork_run, plan_fork
from loom_core.runtime.pruning import PruneRule, prune
from tests.torture.crashing import CrashingVFS, Writes, in_child

pytestmark = [pytest.mark.torture, pytest.mark.timeout(900)]
STEPS = 150
FIRST = {"n": 0, "pad": "p" * 500, "items": []}


async def _step(state: dict[str, Any], ctx: Any) -> Any:
    if state["n"] == STEPS:
        return Complete(state["n"])
    return Continue({**state, "n": state["n"] + 1, "items": [*state["items"], state["n"]]})


async def _fill(db: Path) -> None:
    async with AgentRunner(step=_step, store=db) as runner:
        await runner.start(run_id="done", initial_state=FIRST)
        await runner.start(run_id="half", initial_state=FIRST, max_steps=100)


async def _with_store(db: Path, act: Callable[[Any], Any]) -> None:
    store = open_store(str(db), "create")
    await act(store)
    await store.aclose()


async def _fork(store: Any) -> None:
    await fork_run(store, await plan_fork(store, "half", 70, "new"))


async def _prune(store: Any) -> None:
    await prune(store, PruneRule())
    await store.sweep()


async def _delete(store: Any) -> None:
    await prune(store, PruneRule(whole=True))
    await store.sweep()


async def _vacuum(store: Any) -> None:
    await store.vacuum()


async def _import(store: Any) -> None:
    parts: list[Part] = []
    source = open_store(str(Path(store.location).with_name("source.sqlite")), "read")
    await source.export_runs(None, parts.append)
    await store.import_runs(lambda: parts, imported_from="source", skip_existing=True)


OPERATIONS = {"fork": _fork, "prune": _prune, "delete": _delete, "vacuum": _vacuum, "import": _import}


def _dying(db: Path, operation: str, die_at: int) -> int:
    writes = Writes(die_at=die_at)
    vfs = CrashingVFS(writes)
    asyncio.run(_with_store(db, OPERATIONS[operation]))
    assert vfs.registered
    return writes.seen


def _prepared(db: Path, operation: str) -> None:
    asyncio.run(_fill(db.with_name("source.sqlite") if operation == "import" else db))


async def _judge(db: Path, operation: str) -> None:
    """Whatever was killed: the store agrees with itself, nothing is half there, and the runs go on to their end."""
    async with AgentRunner(step=_step, store=db) as runner:
        store = runner._store("create")
        assert list(await store.verify()) == []
        runs = {record.run_id: record for record in await runner.list_runs()}
        if operation == "import":
            assert set(runs) in (set(), {"done", "half"})
        else:
            assert runs["half"].step_index == 100
            assert "done" in runs or operation == "delete"
        for run_id, record in runs.items():
            if record.status != "completed":
                assert (await runner.resume(run_id=run_id)).result == STEPS
        await OPERATIONS[operation](store) if operation != "fork" else None
        assert list(await store.verify()) == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_upkeep_that_is_killed_at_any_write_is_whole_or_not_at_all(
    tmp_path: Path, whole_torture: bool, operation: str
) -> None:
    report = tmp_path / "report"
    counted = tmp_path / "counted"
    counted.mkdir()
    in_child(lambda: _prepared(counted / "r.sqlite", operation), report)
    total = int(in_child(lambda: _dying(counted / "r.sqlite", operation, 0), report).value)
    assert total > 3
    deaths = 0
    points = range(1, total + 1, 1 if whole_torture else max(1, total // 3))
    for point in points:
        folder = tmp_path / str(point)
        folder.mkdir()
        db = folder / "r.sqlite"
        in_child(lambda d=db: _prepared(d, operation), report)
        deaths += in_child(lambda d=db, p=point: _dying(d, operation, p), report).signal == signal.SIGKILL
        ending = in_child(lambda d=db: asyncio.run(_judge(d, operation)), report)
        assert ending.raised is None, ending.raised
    assert deaths == len(points)


def _run_thinned(db: Path, mode: str, die_at: int) -> int:
    writes = Writes(die_at=die_at)
    vfs = CrashingVFS(writes)
    asyncio.run(_thinned(db, mode))
    assert vfs.registered
    return writes.seen


async def _thinned(db: Path, mode: Any) -> dict[str, Any]:
    policy = CheckpointPolicy(mode=mode, every=7 if mode == "interval" else 1)
    async with AgentRunner(step=_step, store=db, checkpoint_policy=policy) as runner:
        store = runner._store("create")
        known = [record.run_id for record in await runner.list_runs()]
        act = runner.resume(run_id="r") if known else runner.start(run_id="r", initial_state=FIRST)
        result = await act
        assert list(await store.verify()) == []
        return {"result": result.result, "steps": len(await runner.get_history("r", limit=1000))}


@pytest.mark.parametrize(("mode", "kept"), [("interval", (22, 30)), ("compact", (1, 129))])
def test_a_thinned_run_that_is_killed_at_any_write_is_resumed_exactly(
    tmp_path: Path, whole_torture: bool, mode: str, kept: tuple[int, int]
) -> None:
    report = tmp_path / "report"
    total = int(in_child(lambda: _run_thinned(tmp_path / "count.sqlite", mode, 0), report).value)
    points = range(1, total + 1, 1 if whole_torture else max(1, total // 8))
    deaths = 0
    for point in points:
        db = tmp_path / f"{point}.sqlite"
        deaths += in_child(lambda d=db, p=point: _run_thinned(d, mode, p), report).signal == signal.SIGKILL
        ending = in_child(lambda d=db: asyncio.run(_thinned(d, mode)), report)
        assert ending.raised is None, ending.raised
        assert ending.value["result"] == STEPS
        assert kept[0] <= ending.value["steps"] <= kept[1]
    assert deaths == len(points)
