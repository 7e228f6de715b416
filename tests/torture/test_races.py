"""Two processes at one run at the same moment: one works, the other is told who does, and nothing is written twice."""

from __future__ import annotations

import asyncio
import collections
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from loom_core import AgentRunner, open_store
from loom_core.errors import RunBusy, RunExists
from loom_core.runtime.runner import LEASE_S
from tests.torture import commanding, ledger_agent
from tests.torture.crashing import at_once, in_child
from tests.torture.judging import judge

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1500)]


def drive(db: Path, ledger: Path, method: str) -> dict[str, Any]:
    """Start or resume in this process, and say who worked, or whom the error named."""

    async def main() -> dict[str, Any]:
        async with AgentRunner(agent=ledger_agent.make_agent(ledger), store=db) as runner:
            try:
                result = await getattr(runner, method)(run_id=ledger_agent.RUN_ID)
            except (RunExists, RunBusy) as error:
                return {"told": type(error).__name__, "words": str(error), "exit": error.exit_status}
            return {"status": result.status, "result": result.result, "pid": os.getpid()}

    return asyncio.run(main())


def pause_after(db: Path, ledger: Path, steps: int) -> None:
    async def main() -> None:
        async with AgentRunner(agent=ledger_agent.make_agent(ledger), store=db) as runner:
            await runner.start(run_id=ledger_agent.RUN_ID, max_steps=steps)

    asyncio.run(main())


def owners(db: Path) -> list[int]:
    async def main() -> list[int]:
        store = open_store(str(db), "read")
        try:
            return [claim.owner.pid for claim in await store.get_claims(ledger_agent.RUN_ID)]
        finally:
            await store.aclose()

    return asyncio.run(main())


def judge_nothing_twice(db: Path, ledger: Path) -> None:
    judge(db, ledger)
    # Nobody died, so that not even a call that may be repeated was.
    assert len(ledger_agent.lines(ledger)) == ledger_agent.STEPS


def test_of_two_processes_that_start_a_run_at_once_one_works_and_the_other_is_told(
    tmp_path: Path, whole_torture: bool
) -> None:
    for round_ in range(150 if whole_torture else 12):
        db, ledger = tmp_path / f"{round_}.sqlite", tmp_path / f"{round_}.ledger"
        endings = at_once([lambda d=db, f=ledger: drive(d, f, "start")] * 2, tmp_path)
        values = [ending.value for ending in endings]
        assert all(values), endings
        (winner,) = [v for v in values if v.get("status") == "completed"]
        (loser,) = [v for v in values if "told" in v]
        assert winner["result"] == ledger_agent.expected_result()
        assert (loser["told"], loser["exit"]) == ("RunExists", 2)
        assert owners(db) == [winner["pid"]]
        judge_nothing_twice(db, ledger)


def test_of_two_processes_that_resume_a_run_at_once_one_works_and_the_other_is_told_who(
    tmp_path: Path, whole_torture: bool
) -> None:
    told = 0
    rounds = 150 if whole_torture else 12
    for round_ in range(rounds):
        db, ledger = tmp_path / f"{round_}.sqlite", tmp_path / f"{round_}.ledger"
        in_child(lambda d=db, f=ledger: pause_after(d, f, 4), tmp_path / "report")
        endings = at_once([lambda d=db, f=ledger: drive(d, f, "resume")] * 2, tmp_path)
        values = [ending.value for ending in endings]
        assert all(values), endings
        pids = owners(db)
        assert len(pids) == 2, "the run was claimed by more than one of the two"
        for value in values:
            if "told" in value:
                told += 1
                assert (value["told"], value["exit"]) == ("RunBusy", 1)
                assert f"process {pids[1]} " in value["words"]
            else:
                # Of the one who came when everything was done: the stored result.
                assert (value["status"], value["result"]) == ("completed", ledger_agent.expected_result())
        judge_nothing_twice(db, ledger)
    assert told > rounds / 2, "the two did not meet"


def test_of_eight_processes_that_resume_an_orphan_at_once_one_takes_it_over(tmp_path: Path, whole_torture: bool) -> None:
    report = tmp_path / "report"
    for round_ in range(40 if whole_torture else 4):
        db, ledger = tmp_path / f"{round_}.sqlite", tmp_path / f"{round_}.ledger"
        _leave_an_orphan(db, ledger, report)
        endings = at_once([lambda d=db, f=ledger: drive(d, f, "resume")] * 8, tmp_path)
        kinds = collections.Counter((e.value or {}).get("told", (e.value or {}).get("status")) for e in endings)
        assert set(kinds) <= {"RunBusy", "completed"} and kinds["completed"] >= 1, endings
        assert len(owners(db)) == 3, "the orphan was claimed by more than one of the eight"
        judge(db, ledger)


def test_commands_that_meet_end_with_2_or_1_and_name_what_is_the_matter(tmp_path: Path, whole_torture: bool) -> None:
    met = collections.Counter[str]()
    for round_ in range(30 if whole_torture else 4):
        db, ledger = tmp_path / f"{round_}.sqlite", tmp_path / f"{round_}.ledger"
        for command, status, words in ((commanding.run, 2, "exists already"), (commanding.resume, 1, "is held by")):
            if command is commanding.resume:
                db, ledger = db.with_stem(f"{round_}r"), ledger.with_stem(f"{round_}r")
                in_child(lambda d=db, f=ledger: pause_after(d, f, 4), tmp_path / "report")
            endings = at_once([lambda d=db, f=ledger, c=command: c(d, f)] * 2, tmp_path)
            assert all(e.value for e in endings), endings
            done, other = sorted((e.value for e in endings), key=lambda v: v["status"])
            assert done["status"] == 0, endings
            # 0 for both only if the second one came after the end: it prints the result that is stored.
            if other["status"] != 0:
                met[command.__name__] += 1
                assert other["status"] == status, other
                assert words in other["err"]
                assert command is commanding.run or f"process {done['pid']} " in other["err"]
            judge_nothing_twice(db, ledger)
    assert met["run"] and met["resume"], met


def _leave_an_orphan(db: Path, ledger: Path, report: Path) -> None:
    def work() -> None:
        pause_after(db, ledger, 4)

        async def main() -> None:
            async with AgentRunner(agent=ledger_agent.make_agent(ledger), store=db) as runner:
                store = runner._store("write")
                await store.claim(ledger_agent.RUN_ID, runner._owner, LEASE_S, lambda _record, _signal: None)
                os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())

    assert in_child(work, report).signal == signal.SIGKILL


def test_after_kill_of_its_owner_a_run_is_taken_over_without_waiting_for_the_lease(tmp_path: Path) -> None:
    report = tmp_path / "report"
    db, ledger = tmp_path / "run.sqlite", tmp_path / "run.ledger"
    _leave_an_orphan(db, ledger, report)
    ending = in_child(lambda: commanding.resume(db, ledger), report)
    assert ending.value["status"] == 0, ending
    assert ending.seconds < LEASE_S / 3
    judge_nothing_twice(db, ledger)
