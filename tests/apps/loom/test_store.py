"""`loom store`: what it prints, what it changes, what it refuses."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import apsw
import pytest
from loom_app.main import main
from loom_store_sqlite.schema import MIGRATIONS

from loom_core import AgentRunner, Complete, Continue, open_store


async def _step(state: dict[str, Any], ctx: Any) -> Any:
    return Complete("done") if state["n"] == 200 else Continue({**state, "n": state["n"] + 1})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in ("LOOM_DB", "LOOM_CONFIG"):
        monkeypatch.delenv(variable, raising=False)

    async def fill() -> None:
        async with AgentRunner(step=_step, store=tmp_path / "runs.sqlite") as runner:
            for run_id in ("one", "two"):
                await runner.start(run_id=run_id, initial_state={"n": 0, "pad": "p" * 900})
            await runner.start(run_id="three", initial_state={"n": 0, "pad": "p" * 900}, max_steps=150)

    asyncio.run(fill())
    return tmp_path


@pytest.fixture
def loom(place: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(("store", *argv))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def _runs(db: Path) -> list[str]:
    async def ask() -> list[str]:
        store = open_store(str(db), "read")
        assert list(await store.verify()) == []
        return [record.run_id for record in await store.list_runs()]

    return asyncio.run(ask())


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_info_and_verify_change_nothing(loom: Any, place: Path) -> None:
    before = _content(place)
    status, out, _ = loom("info")
    assert status == 0
    assert "2 completed, 1 paused" in out
    data = json.loads(loom("info", "--json")[1])
    assert (data["schema"], data["rows"]["runs"], data["version"]) == ("loom.store.info/1", 3, len(MIGRATIONS))
    assert loom("verify")[:2] == (0, "everything in runs.sqlite agrees with itself\n")
    assert json.loads(loom("verify", "--json")[1])["ok"]
    assert _content(place) == before


def test_verify_ends_with_1_and_says_what_a_fault_means(loom: Any, place: Path) -> None:
    connection = apsw.Connection(str(place / "runs.sqlite"))
    connection.execute("UPDATE runs SET agent_name = 'other' WHERE run_id = 'one'")
    connection.close()
    status, out, _ = loom("verify")
    assert status == 1
    assert out.startswith("run `one`, ")
    assert len(json.loads(loom("verify", "--json")[1])["findings"]) == 1


def test_prune_says_first_what_would_go(loom: Any, place: Path) -> None:
    before = _content(place)
    status, out, err = loom("prune", "--status", "completed", "--dry-run")
    assert (status, "would go" in err) == (0, True)
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["two", "one"]
    assert _content(place) == before
    data = json.loads(loom("prune", "--status", "completed", "--json")[1])
    assert (data["schema"], data["dry_run"]) == ("loom.store.prune/1", False)
    assert data["steps"] == sum(run["steps"] for run in data["runs"]) > 200
    assert loom("prune", "--runs", "--status", "completed", "--keep-runs", "1")[0] == 0
    assert _runs(place / "runs.sqlite") == ["three", "two"]
    size = (place / "runs.sqlite").stat().st_size
    assert loom("vacuum")[0] == 0
    assert (place / "runs.sqlite").stat().st_size < size
    assert _runs(place / "runs.sqlite") == ["three", "two"]


@pytest.mark.parametrize(
    "argv",
    [
        ("prune",),
        ("prune", "--runs"),
        ("prune", "--older-than", "soon"),
        ("prune", "--run-id", "never"),
        ("prune", "--runs", "--run-id", "three"),
        ("export", "--run-id", "never", "-o", "x.jsonl"),
        ("export", "-o", "runs.sqlite"),
        ("export", "-o", "no/folder/x.jsonl"),
        ("export", "--json"),
        ("import", "runs.sqlite", "--db", "new.sqlite"),
        ("import", "missing.jsonl", "--db", "new.sqlite"),
        ("copy", "--to", "runs.sqlite"),
        ("info", "--db", "missing.sqlite"),
        ("vacuum", "--db", "missing.sqlite"),
    ],
)
def test_bad_input_changes_nothing(loom: Any, place: Path, argv: tuple[str, ...]) -> None:
    before = _content(place)
    status, out, _ = loom(*argv)
    assert (status, out if "--json" not in argv else "") == (2, "")
    assert _content(place) == before


def test_runs_go_through_a_file_into_another_database(loom: Any, place: Path) -> None:
    assert loom("export", "-o", "runs.jsonl")[0] == 0
    assert stat.S_IMODE((place / "runs.jsonl").stat().st_mode) == 0o600
    status, out, err = loom("import", "runs.jsonl", "--db", "other.sqlite")
    assert (status, out) == (0, "")
    assert "next: loom-runner list --db other.sqlite" in err
    assert _runs(place / "other.sqlite") == ["three", "two", "one"]
    status, _, err = loom("import", "runs.jsonl", "--db", "other.sqlite")
    assert (status, "exists already" in err) == (2, True)
    data = json.loads(loom("import", "runs.jsonl", "--db", "other.sqlite", "--skip-existing", "--json")[1])
    assert (data["added"], data["left_out"]) == ([], ["one", "two", "three"])


def test_a_damaged_file_is_refused_before_a_database_is_made(loom: Any, place: Path) -> None:
    loom("export", "-o", "runs.jsonl")
    data = (place / "runs.jsonl").read_bytes()
    (place / "runs.jsonl").write_bytes(data.replace(b'"n\\":\\"5', b'"n\\":\\"6', 1)[:-3])
    status, _, err = loom("import", "runs.jsonl", "--db", "other.sqlite")
    assert status == 2
    assert err.startswith("error: runs.jsonl is damaged at line ")
    assert not (place / "other.sqlite").exists()


def test_copy_goes_between_databases_and_names_those_left_out(loom: Any, place: Path) -> None:
    assert loom("copy", "--to", "b.sqlite", "--run-id", "two")[0] == 0
    assert _runs(place / "b.sqlite") == ["two"]
    assert loom("copy", "--to", "sqlite:///b.sqlite")[0] == 2
    assert _runs(place / "b.sqlite") == ["two"]
    data = json.loads(loom("copy", "--to", "b.sqlite", "--skip-existing", "--json")[1])
    assert (data["added"], data["left_out"]) == (["one", "three"], ["two"])
