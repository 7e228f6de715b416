"""What is on disk when: counted and ordered by the system calls, and tried with kill -9."""

import asyncio
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from loom_core.testing.store_values import LEASE_S, RIVAL, admit, encode
from tests.plugins.store_sqlite.support import PREAMBLE, child, opened, said

STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="strace is not installed (apt install strace)")

STEPS = """
def state(n):
    return encode({"n": n, "total": n * 2})
"""

LARGE_STEPS = """
def state(n):
    return encode({"text": "x" * 4000, "tail": f"{n:0100d}"})
"""

RUN = """
async def main():
    store = SQLiteStore.open(path, "create")
    writer = (await store.create_run(new_run(value=0), OWNER, 30)).writer
    for n in range(int(sys.argv[2])):
        await writer.commit(n, state(n))
    os._exit(0)
asyncio.run(main())
"""

CALLS = """
async def main():
    store = SQLiteStore.open(path, "create")
    writer = (await store.create_run(new_run(value=0), OWNER, 30)).writer
    for n in range(int(sys.argv[2])):
        await writer.begin_call(intent(n))
        await writer.end_call(done(n))
        await writer.commit(n, encode(n))
    os._exit(0)
asyncio.run(main())
"""

MARKED = """
def mark(name):
    os.write(2, f"MARK {name}\\n".encode())
async def main():
    store = SQLiteStore.open(path, "create")
    mark("open")
    claimed = await store.create_run(new_run(budget=Budget(tokens=5)), OWNER, 30); mark("create_run")
    w = claimed.writer
    await w.commit(0, encode(1)); mark("commit")
    await w.begin_call(intent(1)); mark("begin_call")
    await w.end_call(done(1)); mark("end_call")
    await w.commit(1, encode(2)); mark("commit")
    await w.commit(2, encode(3), 0, None, True); mark("commit_sync")
    await w.commit(3, encode(4)); mark("commit")
    await store.send_signal("run", "go", "1"); mark("send_signal")
    await w.settle(Settlement(step_index=4, status="paused", reason="interrupt")); mark("settle")
    w = (await store.claim("run", OWNER, 30, admit)).writer; mark("claim")
    await w.commit(4, encode(5)); mark("commit")
    await w.commit(5, encode(6), 0, '"' + "n" * 500 + '"'); mark("commit")
    await w.fail_attempt(failed_attempt(6)); mark("fail_attempt")
    await w.settle(attrs.evolve(parked(question()), step_index=6)); mark("ask")
    await store.answer_approval("run", "0/0", YES); mark("answer_approval")
    await store.add_budget("run", Budget(tokens=5)); mark("add_budget")
asyncio.run(main())
"""


def _traced(code: str, path: Path, steps: int) -> Counter[str]:
    assert STRACE is not None
    command = [STRACE, "-f", "-c", "-e", "trace=pwrite64,fcntl,fdatasync,fsync,write", sys.executable, "-c"]
    process = subprocess.run(
        [*command, PREAMBLE + code, str(path), str(steps)], capture_output=True, text=True, check=True
    )
    counted: Counter[str] = Counter()
    for line in process.stderr.splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[0].replace(".", "").isdigit() and fields[-1] != "total":
            counted[fields[-1]] = int(fields[3])
    return counted


def _per_step(code: str, folder: Path, steps: int = 2_000) -> dict[str, float]:
    # What opening and creating cost cancels out.
    few, many = 100, 100 + steps
    a, b = _traced(code, folder / "a", few), _traced(code, folder / "b", many)
    return {name: (b[name] - a[name]) / (many - few) for name in ("pwrite64", "fcntl", "fdatasync", "fsync")}


@needs_strace
@pytest.mark.parametrize("states", [STEPS, LARGE_STEPS], ids=["counter", "4 KB of which 100 bytes change"])
def test_a_pure_step_costs_at_most_6_writes_and_7_lock_calls_and_no_sync(tmp_path: Path, states: str) -> None:
    cost = _per_step(states + RUN, tmp_path)
    assert cost["pwrite64"] <= 6
    assert cost["fcntl"] <= 7
    # A checkpoint every 500 steps syncs; a step does not.
    assert cost["fdatasync"] + cost["fsync"] < 0.02


@needs_strace
def test_a_call_costs_one_sync_for_its_intent_and_one_for_its_result(tmp_path: Path) -> None:
    cost = _per_step(CALLS, tmp_path, 400)
    assert 2.0 <= cost["fdatasync"] + cost["fsync"] < 2.1


@needs_strace
def test_what_must_be_on_disk_is_synced_after_its_last_write_and_before_it_returns(tmp_path: Path) -> None:
    assert STRACE is not None
    log = tmp_path / "log"
    trace = [STRACE, "-f", "-o", str(log), "-e", "trace=pwrite64,fdatasync,fsync,write"]
    child_command = [sys.executable, "-c", PREAMBLE + MARKED, str(tmp_path / "r")]
    subprocess.run([*trace, *child_command], check=True, capture_output=True)
    calls: list[str] = []
    seen: list[tuple[str, bool]] = []
    for line in log.read_text().splitlines():
        mark = re.search(r'write\(2, "MARK (\w+)', line)
        if mark is None:
            found = re.search(r"\b(pwrite64|fdatasync|fsync)\(", line)
            calls += [found.group(1)] if found else []
            continue
        if mark.group(1) != "open":
            assert "pwrite64" in calls, mark.group(1)
            seen.append((mark.group(1), calls[-1] != "pwrite64"))
        calls = []
    expected = ["create_run", "begin_call", "end_call", "commit_sync", "send_signal", "settle", "claim", "fail_attempt"]
    expected += ["ask", "answer_approval", "add_budget"]
    assert [name for name, synced in seen if synced] == expected
    assert {name for name, synced in seen if not synced} == {"commit"}


WORKER = """
async def main():
    store = SQLiteStore.open(path, "create")
    try:
        claimed = await store.create_run(new_run(value={"n": 0, "pad": "p" * 400}), OWNER, 30)
    except LoomError:
        claimed = await store.claim("run", OWNER, 30, admit)
    n, writer = claimed.record.step_index, claimed.writer
    while True:
        if n % 5 == 0:
            tries = sum(c.key == "0" for c in claimed.calls if c.step_index == n)
            await writer.begin_call(intent(n, "0", try_index=tries))
            print("begun", n, flush=True)
            await writer.end_call(done(n, "0", try_index=tries))
            print("ended", n, flush=True)
        await writer.commit(n, encode({"n": n + 1, "pad": "p" * 400}))
        n += 1
        print("committed", n, flush=True)
asyncio.run(main())
"""


def test_kill_9_at_any_instant_loses_nothing_that_was_told(tmp_path: Path) -> None:
    chance = random.Random(20260)
    head = 0
    for epoch in range(1, 13):
        with child(WORKER, tmp_path / "r") as worker:
            told: list[list[str]] = []
            for _ in range(chance.randrange(1, 200)):
                told.append(said(worker).split())
            # Not at the end of what it said: a little later, in the middle of something.
            for _ in range(chance.randrange(20_000)):
                pass
            worker.kill()
            rest, _ = worker.communicate()
        told += [line.split() for line in rest.splitlines() if len(line.split()) == 2]
        head = asyncio.run(_check_after_kill(tmp_path / "r", told, head, epoch))
    assert head > 100


async def _check_after_kill(path: Path, told: list[list[str]], before: int, epoch: int) -> int:
    # As a reader first: what it sees must already be whole.
    reading = opened(path, "read")
    record = await reading.get_run("run")
    assert record.epoch == epoch
    assert [f for f in await reading.verify() if "`started`" not in f.what] == []
    for what, number in told:
        if what == "committed":
            assert int(number) <= record.step_index
    calls = await reading.get_calls("run", limit=100_000)
    done = {call.step_index for call in calls if call.status == "done"}
    begun = {call.step_index for call in calls}
    assert {int(n) for what, n in told if what == "ended"} <= done
    assert {int(n) for what, n in told if what == "begun"} <= begun
    assert record.step_index >= before
    pad = "p" * 400
    assert await reading.get_state("run") == encode({"n": record.step_index, "pad": pad}).text
    return record.step_index


def test_after_a_kill_the_next_owner_finds_the_call_under_way_in_doubt(tmp_path: Path) -> None:
    code = """
async def main():
    store = SQLiteStore.open(path, "create")
    writer = (await store.create_run(new_run(), OWNER, 30)).writer
    await writer.begin_call(intent())
    print("begun", flush=True)
    input()
asyncio.run(main())
"""
    with child(code, tmp_path / "r") as worker:
        assert said(worker) == "begun"
        worker.kill()
        worker.wait()

    async def check() -> None:
        store = opened(tmp_path / "r", "write")
        claimed = await store.claim("run", RIVAL, LEASE_S, admit)
        assert [(c.call_id, c.status) for c in claimed.calls] == [("0/0", "unknown")]
        assert list(await store.verify()) == []
        await store.aclose()

    asyncio.run(check())
