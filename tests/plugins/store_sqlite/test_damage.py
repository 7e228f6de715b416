"""Damaged files: found out, said clearly, and told apart by verify."""

import asyncio
import os
from pathlib import Path

import apsw
import pytest

from loom_core.contracts.stores import CallEnd, Finding, Settlement
from loom_core.errors import LoomError, StoreUnusable
from loom_core.testing.store_values import ERROR, LEASE_S, OWNER, done, encode, failed_attempt, intent, new_run
from tests.plugins.store_sqlite.support import contents, opened, with_store


def _prepared(path: Path) -> Path:
    async def fill(store):  # type: ignore[no-untyped-def]
        for run_id in ("run", "other"):
            writer = (await store.create_run(new_run(run_id, {"n": 0, "pad": "p" * 300}), OWNER, LEASE_S)).writer
            for n in range(80):
                await writer.commit(n, encode({"n": n + 1, "pad": "p" * 300}))
            await writer.fail_attempt(failed_attempt(80))
            long = '"' + "long argument " * 50 + '"'
            await writer.begin_call(intent(80, "0", kind="model", arguments=long, messages=("1", long, "3")))
            await writer.end_call(done(80, "0", result=long + " "))
            await writer.begin_call(intent(80, "1"))
            await writer.end_call(CallEnd(step_index=80, key="1", try_index=0, status="failed", error=ERROR))
            await store.send_signal(run_id, "go", long)
            await store.send_signal(run_id, "go", "2")
            await writer.settle(Settlement(step_index=80, status="completed", outcome="complete", result='"end"'))
        assert list(await store.verify()) == []

    with_store(path, fill)
    return path


def _tampered(path: Path, sql: str) -> list[Finding]:
    connection = apsw.Connection(str(path))
    connection.execute(sql).fetchall()
    connection.close()
    found: list[Finding] = list(with_store(path, lambda s: s.verify(), "read"))
    return found


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("DELETE FROM steps WHERE id = (1 << 32) + 40", "step 38"),
        ("DELETE FROM steps WHERE id = (1 << 32) + 1", "step -1"),
        ("DELETE FROM steps WHERE id = (1 << 32) + 82", "head"),
        ("UPDATE steps SET digest = x'00' WHERE id = (1 << 32) + 40", "step 38"),
        ("UPDATE steps SET body = x'7b7d' WHERE id = (1 << 32) + 40", "step 38"),
        ("UPDATE steps SET form = 77 WHERE id = (1 << 32) + 40", "step 38"),
        ("UPDATE heads SET step_index = 50 WHERE run_no = 1", "head"),
        ("UPDATE heads SET result = '\"another\"' WHERE run_no = 1", "step 80"),
        ("UPDATE heads SET tokens_in = 5 WHERE run_no = 1", "counter tokens_in"),
        ("UPDATE heads SET failed_attempts = 0 WHERE run_no = 1", "counter failed_attempts"),
        ("DELETE FROM calls WHERE id = (1 << 32) + 1", "calls"),
        ("DELETE FROM signals WHERE id = (1 << 32) + 1", "signals"),
        ("DELETE FROM claims WHERE id = (1 << 32) + 1", "counter claims"),
        ("UPDATE calls SET status = 'started' WHERE id = (1 << 32) + 1", "call 80/0~0"),
        ("UPDATE calls SET step_index = 90 WHERE id = (1 << 32) + 2", "call 90/1~0"),
        ("UPDATE calls SET key = '0' WHERE id = (1 << 32) + 2", "call 80/0~0"),
        ("UPDATE calls SET epoch = 9 WHERE id = (1 << 32) + 2", "call 80/1~0"),
        ("UPDATE calls SET messages = 999 WHERE id = (1 << 32) + 1", "call 80/0~0"),
        ("DELETE FROM messages WHERE parent = -1", "call 80/0~0"),
        ("UPDATE calls SET result = 999 WHERE id = (1 << 32) + 1", "calls 1"),
        ("UPDATE calls SET error = 999 WHERE id = (1 << 32) + 2", "calls 2"),
        ("UPDATE heads SET run_no = 9 WHERE run_no = 1", "head"),
        ("UPDATE payloads SET body = 'changed', form = 0 WHERE id = 2", "payload 2"),
        ("UPDATE payloads SET body = x'00', form = 1 WHERE id = 2", "payload 2"),
        ("UPDATE payloads SET body = 5 WHERE id = 2", "payload 2"),
    ],
)
def test_verify_names_what_was_changed_and_what_it_means(tmp_path: Path, sql: str, where: str) -> None:
    findings = _tampered(_prepared(tmp_path / "r"), sql)
    assert where in [finding.where for finding in findings]
    assert {finding.run_id for finding in findings} <= {"run", None}
    assert all(finding.what and finding.meaning for finding in findings)


def test_verify_of_one_run_leaves_the_others_alone(tmp_path: Path) -> None:
    path = _prepared(tmp_path / "r")
    assert _tampered(path, "UPDATE heads SET step_index = 50 WHERE run_no = 1") != []
    assert list(with_store(path, lambda s: s.verify("other"), "read")) == []


@pytest.mark.parametrize("page", range(1, 12))
def test_a_page_full_of_garbage_is_damage_in_every_mode_and_nothing_else(tmp_path: Path, page: int) -> None:
    path = _prepared(tmp_path / "r")
    with open(path, "r+b") as file:
        file.seek(page * 4096)
        file.write(os.urandom(4096))
    before = contents(tmp_path)

    async def ask(mode: str) -> None:
        store = opened(path, mode)
        try:
            for run_id in ("run", "other"):
                await store.get_run(run_id)
                await store.get_steps(run_id, states=True, limit=1000)
                for call in await store.get_calls(run_id):
                    await store.get_messages(run_id, call)
                await store.get_attempts(run_id)
                await store.get_signals(run_id)
                await store.get_claims(run_id)
        finally:
            await store.aclose()

    for mode in ("read", "write"):
        try:
            asyncio.run(ask(mode))
        except LoomError as error:
            assert isinstance(error, StoreUnusable | type(None)) or error.code == "run_not_found"
            assert error.hint is not None
    assert list(with_store(path, lambda s: s.verify(), "read")) != []
    assert contents(tmp_path) == before


def test_a_state_that_is_not_the_one_that_was_stored_is_never_handed_out(tmp_path: Path) -> None:
    path = _prepared(tmp_path / "r")
    _tampered(
        path, "UPDATE steps SET body = CAST(replace(CAST(body AS TEXT), '8', '9') AS BLOB) WHERE id = (1 << 32) + 81"
    )

    async def ask(store):  # type: ignore[no-untyped-def]
        with pytest.raises(StoreUnusable, match="damaged"):
            await store.get_state("run")
        with pytest.raises(StoreUnusable, match="damaged"):
            await store.claim("run", OWNER, LEASE_S, lambda record, signal: None)
        assert (await store.get_run("run")).epoch == 1

    with_store(path, ask, "write")


def test_a_full_disk_is_said_and_rolled_back(tmp_path: Path) -> None:
    async def main() -> None:
        store = opened(tmp_path / "r")
        writer = (await store.create_run(new_run(value={"n": 0}), OWNER, LEASE_S)).writer
        connection = store._writing().connection
        used = connection.pragma("page_count")
        connection.pragma("max_page_count", used)
        big = {"n": 1, "noise": os.urandom(40_000).hex()}
        with pytest.raises(StoreUnusable, match="disk is full") as caught:
            await writer.commit(0, encode(big))
        assert caught.value.hint is not None
        with pytest.raises(StoreUnusable, match="disk is full"):
            await writer.settle(Settlement(step_index=0, status="waiting", outcome="wait", state=encode(big)))
        assert connection.get_autocommit()
        assert (await store.get_run("run")).step_index == 0
        connection.pragma("max_page_count", 1_000_000)
        await writer.commit(0, encode(big))
        assert await store.get_state("run") == encode(big).text
        assert list(await store.verify()) == []
        await store.aclose()

    asyncio.run(main())


def test_verify_of_a_file_with_destroyed_pages_says_so_in_words_and_what_to_do(tmp_path: Path) -> None:
    path = _prepared(tmp_path / "r")
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    (size,) = connection.execute("PRAGMA page_size").fetchall()[0]
    roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'").fetchall())
    connection.close()
    for table in ("heads", "runs", "calls", "payloads"):
        damaged = tmp_path / f"{table}.sqlite"
        data = bytearray(path.read_bytes())
        start = (roots[table] - 1) * size
        data[start : start + size] = b"\xff" * size
        damaged.write_bytes(data)
        findings = list(with_store(damaged, lambda s: s.verify(), "read"))
        assert findings
        assert not [finding for finding in findings if "run number" in finding.where + finding.what]
        file = [finding for finding in findings if finding.where == "file"]
        assert all(finding.meaning == file[0].meaning for finding in file)
        assert file[0].what.startswith("the file is damaged: ") and "a copy" in file[0].meaning
        assert 'sqlite3 FILE ".recover"' in file[0].meaning


def test_what_cannot_be_read_of_one_run_hides_no_finding_of_another(tmp_path: Path) -> None:
    path = _prepared(tmp_path / "r")
    found = _tampered(path, "UPDATE heads SET result = 999999 WHERE run_no = 1; UPDATE heads SET tokens_in = 5")
    assert {finding.run_id for finding in found} == {"run", "other"}
