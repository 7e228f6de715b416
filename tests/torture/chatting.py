"""`loom-run chat --mock-llm` in forked children, with every request that reaches the model written to a ledger."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import loom_llm_mock.backend
from loom_run.main import main

from loom_core import open_store
from loom_core.contracts.models import ModelEvent, ModelRequest
from loom_core.contracts.stores import CallRecord
from loom_core.errors import RunNotFound, StoreEmpty, StoreUnusable
from tests.torture.crashing import CrashingVFS, Ending, Writes, in_child

RUN_ID = "talk"
DONE = 0
TURNS = ("read notes.txt and list files", "search horizon")


@attrs.frozen
class Table:
    """One conversation's place: a database, a ledger of what the model was asked, and the shared workspace."""

    folder: Path
    name: str

    @property
    def db(self) -> Path:
        return self.folder / f"{self.name}.sqlite"

    @property
    def ledger(self) -> Path:
        return self.folder / f"{self.name}.asked"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def report(self) -> Path:
        return self.folder / f"{self.name}.report"


def make_workspace(folder: Path) -> Path:
    workspace = folder / "workspace"
    workspace.mkdir()
    (workspace / "notes.txt").write_text("remember the horizon\n")
    (workspace / "guide.md").write_text("# Guide\n\nThe horizon is where the sky begins.\n")
    return workspace


def say(table: Table, turn: int, **how: Any) -> Ending:
    """Say the words of ``turn`` in a child; its value is the exit status and what was printed."""
    words = ("chat", TURNS[turn], "--run-id", RUN_ID, "--db", str(table.db))
    more = ("--mock-llm", "--workspace", str(table.workspace)) if turn == 0 else ()
    return _command(table, (*words, *more), **how)


def resume(table: Table, **how: Any) -> Ending:
    """Resume the conversation in a child."""
    return _command(table, ("resume", "--run-id", RUN_ID, "--db", str(table.db)), **how)


def _command(table: Table, argv: tuple[str, ...], writes: Writes | None = None, **how: Any) -> Ending:
    def work() -> dict[str, Any]:
        vfs = None if writes is None else CrashingVFS(writes)
        said = _main(table, argv)
        return {**said, "writes": 0 if vfs is None or writes is None else writes.seen}

    return in_child(work, table.report, **how)


def _main(table: Table, argv: tuple[str, ...]) -> dict[str, Any]:
    for name in [name for name in os.environ if name.startswith("LOOM_")]:
        del os.environ[name]
    os.environ.update(HOME=str(table.folder), XDG_CONFIG_HOME=str(table.folder), XDG_CACHE_HOME=str(table.folder))
    os.chdir(table.workspace)
    out, err = io.StringIO(), io.StringIO()
    with _asked_written_to(table.ledger), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(argv)
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


@contextlib.contextmanager
def _asked_written_to(ledger: Path) -> Iterator[None]:
    """Let the mock model write a line before it answers; the answer itself is the mock's own."""
    stream: Callable[..., AsyncIterator[ModelEvent]] = loom_llm_mock.backend.MockBackend.stream

    async def writing(self: Any, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, (json.dumps(len(request.messages)) + "\n").encode())
        os.close(descriptor)
        async for event in stream(self, request):
            yield event

    loom_llm_mock.backend.MockBackend.stream = writing  # type: ignore[method-assign]
    try:
        yield
    finally:
        loom_llm_mock.backend.MockBackend.stream = stream  # type: ignore[method-assign]


@attrs.frozen
class Facts:
    """What the store holds of a conversation; ``status`` None if it was never begun."""

    status: str | None
    reason: str | None = None
    state: Any = None
    signals: int = 0
    calls: tuple[CallRecord, ...] = ()
    findings: tuple[Any, ...] = ()

    @property
    def is_persons_turn(self) -> bool:
        return (self.status, self.reason) == ("waiting", "signal:message")


def facts(table: Table) -> Facts:
    return asyncio.run(_facts(table))


async def _facts(table: Table) -> Facts:
    try:
        store = open_store(str(table.db), "read")
    except StoreEmpty:
        return Facts(status=None)
    except StoreUnusable:
        assert not table.db.exists()
        return Facts(status=None)
    try:
        record = await store.get_run(RUN_ID)
        return Facts(
            status=record.status,
            reason=record.reason,
            state=json.loads(await store.get_state(RUN_ID)),
            signals=len(await store.get_signals(RUN_ID)),
            calls=tuple(await store.get_calls(RUN_ID, limit=1000)),
            findings=tuple(await store.verify(RUN_ID)),
        )
    except RunNotFound:
        return Facts(status=None)
    finally:
        await store.aclose()


def bring_to_turn(table: Table, turn: int) -> tuple[Ending, int]:
    """Do what a person does after a crash until ``turn`` is answered; return the last ending and how many it took."""
    for tries in range(1, 6):
        found = facts(table)
        begun = found.status is not None if turn == 0 else found.signals >= turn
        ending = resume(table) if begun else say(table, turn)
        assert ending.signal is None and ending.raised is None, ending
        assert ending.value["status"] == DONE, ending.value
        if facts(table).is_persons_turn and (begun or turn == 0 or facts(table).signals >= turn):
            return ending, tries
    raise AssertionError("the conversation did not come to the person's turn")


def judge(table: Table, undisturbed: Facts) -> int:
    """Raise unless the transcript is the undisturbed one and nothing recorded was asked again; return the lost asks."""
    found = facts(table)
    assert found.is_persons_turn
    assert found.findings == ()
    assert found.state == undisturbed.state
    assert found.signals == undisturbed.signals
    tries: dict[tuple[int, str], list[str]] = {}
    for call in found.calls:
        tries.setdefault((call.step_index, call.key), []).append(call.status)
    # The last try of a call is the one whose answer was recorded; before it are only tries that nobody knew the end of.
    assert all(each == ["unknown"] * (len(each) - 1) + ["done"] for each in tries.values()), tries
    assert tries.keys() == {(call.step_index, call.key) for call in undisturbed.calls}
    asked = len(table.ledger.read_text().splitlines())
    recorded = [call for call in found.calls if call.kind == "model"]
    # Never asked without an intent on disk, so the ledger cannot be longer than the journal.
    assert asked <= len(recorded)
    return len(recorded) - sum(call.status == "done" for call in recorded)
