"""Runs of every released schema, kept as files, can be read, verified and resumed by this version."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import apsw
import pytest
from loom_store_sqlite.schema import MIGRATIONS

from loom_core import open_store
from loom_core.contracts.dumps import Part
from loom_core.runtime.diffing import diff_runs
from loom_core.runtime.explain import explain
from loom_core.runtime.forking import fork_run, plan_fork
from loom_core.runtime.loading import load_agent
from loom_core.runtime.resolving import resolve_call

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("version-*.sqlite"))
STANDING = {
    "completed": ("completed", 80),
    "waiting": ("waiting", 31),
    "failed": ("failed", 41),
    "doubt": ("waiting", 12),
    "killed": ("running", 70),
    "short": ("completed", 1),
    "paused": ("paused", 66),
}
DIGEST = "64f011b1"
"""Of what a reader of version 1 was told of these runs: states, calls, results (``_told``, run by the code of then)."""


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(request.param, tmp_path / "runs.sqlite"))


def _asked(path: Path, question: Any, mode: Any = "read") -> Any:
    async def main() -> Any:
        store = open_store(str(path), mode)
        try:
            return await question(store)
        finally:
            await store.aclose()

    return asyncio.run(main())


async def _told(store: Any) -> str:
    """Return everything of the runs that must stay as it is."""
    found = []
    for record in await store.list_runs():
        steps = await store.get_steps(record.run_id, limit=1000, states=True)
        calls = await store.get_calls(record.run_id, limit=1000)
        found.append(
            [
                *(record.run_id, record.status, record.step_index, record.result, record.created_at),
                [(s.step_index, s.outcome, s.state, s.at) for s in steps],
                [(c.call_id, c.name, c.arguments, c.status, c.result, c.started_at) for c in calls],
                [(a.step_index, a.error.message) for a in await store.get_attempts(record.run_id)],
                [(c.epoch, str(c.owner)) for c in await store.get_claims(record.run_id)],
            ]
        )
    return hashlib.blake2b(json.dumps(found).encode(), digest_size=4).hexdigest()


def test_the_file_of_every_released_schema_is_kept() -> None:
    versions = {int(path.stem.removeprefix("version-")) for path in FILES}
    assert versions >= {1}
    for path in FILES:
        connection = apsw.Connection(
            path.as_uri() + "?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        assert path.stem == f"version-{connection.pragma('user_version')}"
        connection.close()


def test_it_is_read_and_verified_without_being_changed(golden: Path) -> None:
    before = golden.read_bytes()

    async def ask(store: Any) -> None:
        assert {r.run_id: (r.status, r.step_index) for r in await store.list_runs()} == STANDING
        assert await _told(store) == DIGEST
        assert list(await store.verify()) == []
        for run_id in STANDING:
            assert (await explain(store, run_id)).lines()
        assert (await diff_runs(store, "completed", store, "completed")).same
        parts: list[Part] = []
        await store.export_runs(None, parts.append)
        assert len(parts) > 300

    _asked(golden, ask)
    assert golden.read_bytes() == before
    assert [path.name for path in golden.parent.iterdir()] == ["runs.sqlite"]


def test_it_is_brought_up_to_date_by_whoever_writes_and_every_run_goes_on(golden: Path) -> None:
    async def prepare(store: Any) -> None:
        assert await _told(store) == DIGEST
        await store.send_signal("waiting", "go", "1")
        await resolve_call(store, "doubt", "12/0", result="5", by="somebody")
        await fork_run(store, await plan_fork(store, "completed", 40, "fork"))
        assert list(await store.verify()) == []

    _asked(golden, prepare, "write")
    (golden.parent / "mended").write_text("")

    async def resume() -> dict[str, Any]:
        async with load_agent(str(HERE / "agent.py")).runner(str(golden)) as runner:
            results = {}
            for run_id in (*STANDING, "fork"):
                result = await runner.resume(run_id=run_id, retry_failed=True)
                results[run_id] = (result.status, result.result)
            return results

    results = asyncio.run(resume())
    assert results.pop("short") == ("completed", {"count": 1, "seen": 1})
    assert set(results) == {*STANDING, "fork"} - {"short"}
    assert {json.dumps(value) for value in results.values()} == {'["completed", {"count": 80, "seen": 8}]'}

    async def check(store: Any) -> None:
        assert list(await store.verify()) == []
        assert (await store.info()).version == len(MIGRATIONS)
        for run_id in ("waiting", "failed", "doubt", "killed", "paused", "fork"):
            found = await diff_runs(store, "completed", store, run_id)
            assert {d.step_index for d in found.differences if d.what == "state"} <= {-1, *range(80)}

    _asked(golden, check)


def test_it_comes_into_a_new_database_and_out_of_an_old_one(golden: Path, tmp_path: Path) -> None:
    parts: list[Part] = []
    _asked(golden, lambda store: store.export_runs(None, parts.append))

    async def check(store: Any) -> None:
        await store.import_runs(lambda: parts, imported_from=None)
        assert list(await store.verify()) == []
        assert (await store.get_run("killed")).status == "paused"

    _asked(tmp_path / "new.sqlite", check, "create")
