"""Two runs compared: the first place where they part is named, whatever differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loom_core import CheckpointPolicy, Complete, Continue, RunNotFound, open_store, tool
from loom_core.runtime.diffing import MAX_TOLD, RunDiff, diff_runs
from loom_core.runtime.forking import fork_run, plan_fork
from loom_core.runtime.json_differences import differing
from tests.core.runtime.support import play, runner


@tool(effect="read")
async def look(at: int, sharp: bool = True) -> Any:
    """Look."""
    return {"seen": at, "sharp": sharp}


def counting(**change: Any) -> Any:
    """Return a step that counts to ten, and does one thing differently at step ``at``."""

    async def step(state: dict[str, Any], ctx: Any) -> Any:
        n = state["n"]
        here = change.get("at") == n
        if n == change.get("end", 10):
            return Complete({"n": n, **(change if "result" in change else {})})
        if n % 2 == 0 and not (here and change.get("skip")):
            await ctx.call_tool("look", at=n, sharp=not (here and change.get("blunt")))
        extra = {"odd": change["odd"]} if here and "odd" in change else {}
        return Continue({**state, **extra, "n": n + 1})

    return step


async def _run(place: Path, run_id: str, step: Any, **options: Any) -> None:
    async with runner(place, step, look, **options) as agent:
        await agent.start(run_id=run_id, initial_state={"n": 0, "items": [1, 2]})


async def _diff(place: Path, a: str = "a", b: str = "b") -> RunDiff:
    store = open_store(str(place / "runs.sqlite"), "read")
    return await diff_runs(store, a, store, b)


def test_runs_that_did_the_same_are_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        for run_id in ("a", "b"):
            await _run(tmp_path, run_id, counting())
        found = await _diff(tmp_path)
        assert found.same
        assert (found.steps, found.calls, found.unkept, found.more) == (12, 5, 0, 0)

    play(main)


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"at": 4, "odd": 1}, (4, "state", "state.odd", None, "1", None)),
        ({"at": 4, "blunt": True}, (4, "call", "arguments.sharp", "true", "false", "4/0")),
        ({"at": 4, "skip": True}, (4, "call", "call", 'look({"at":4,"sharp":true}) done', None, "4/0")),
        ({"end": 7}, (7, "outcome", "outcome", "continue", "complete", None)),
        ({"result": 1}, (10, "result", "result.result", None, "1", None)),
    ],
)
def test_the_first_divergence_is_named(tmp_path: Path, change: dict[str, Any], first: tuple[Any, ...]) -> None:
    async def main() -> None:
        await _run(tmp_path, "a", counting())
        await _run(tmp_path, "b", counting(**change))
        found = (await _diff(tmp_path)).differences[0]
        assert (found.step_index, found.what, found.path, found.a, found.b, found.call_id) == first

    play(main)


def test_a_fork_is_compared_from_where_it_began(tmp_path: Path) -> None:
    async def main() -> None:
        await _run(tmp_path, "a", counting())
        store = open_store(str(tmp_path / "runs.sqlite"), "write")
        await fork_run(store, await plan_fork(store, "a", 4, "b"))
        await store.aclose()
        assert (await _diff(tmp_path)).differences[0].what == "steps"
        async with runner(tmp_path, counting(at=6, odd=True), look) as agent:
            await agent.resume(run_id="b")
        found = await _diff(tmp_path)
        assert found.first == 4
        assert (found.differences[0].step_index, found.differences[0].path) == (6, "state.odd")

    play(main)


def test_what_a_history_no_longer_has_is_counted_and_not_called_a_difference(tmp_path: Path) -> None:
    async def main() -> None:
        await _run(tmp_path, "a", counting())
        await _run(tmp_path, "b", counting(), checkpoint_policy=CheckpointPolicy(mode="interval", every=4))
        found = await _diff(tmp_path)
        assert (found.same, found.unkept, found.steps) == (True, 6, 6)

    play(main)


def test_a_long_divergence_is_cut_and_counted(tmp_path: Path) -> None:
    async def long(state: int, ctx: Any) -> Any:
        return Complete(0) if state >= 3000 else Continue(state + 1)

    async def longer(state: int, ctx: Any) -> Any:
        return Complete(0) if state >= 3000 else Continue(state + (1 if state else 2))

    async def main() -> None:
        async with runner(tmp_path, long) as agent:
            await agent.start(run_id="a", initial_state=0)
        async with runner(tmp_path, longer) as agent:
            await agent.start(run_id="b", initial_state=0)
        found = await _diff(tmp_path)
        assert len(found.differences) == MAX_TOLD
        assert found.more > 2000
        assert (found.differences[0].step_index, found.differences[0].path) == (0, "state")

    play(main)


def test_runs_of_two_databases_are_compared_and_unknown_ones_refused(tmp_path: Path) -> None:
    async def main() -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            await _run(tmp_path / name, "r", counting())
        stores = [open_store(str(tmp_path / name / "runs.sqlite"), "read") for name in ("one", "two")]
        assert (await diff_runs(stores[0], "r", stores[1], "r")).same
        with pytest.raises(RunNotFound):
            await diff_runs(stores[0], "r", stores[1], "never")

    play(main)


def test_places_are_the_innermost_ones_and_depth_is_no_limit() -> None:
    a, b = '{"a":[1,{"b":2}],"c d":0,"same":{}}', '{"a":[1,{"b":3},4],"e":null,"same":{}}'
    assert list(differing("state", a, b)) == [
        ("state.a[1].b", "2", "3"),
        ("state.a[2]", None, "4"),
        ('state["c d"]', "0", None),
        ("state.e", None, "null"),
    ]
    assert [place[0] for place in differing("x", "true", "1")] == ["x"]
