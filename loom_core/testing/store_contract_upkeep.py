"""Laws of upkeep: what may go, what never goes, and that runs come into another store as they left the first."""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from loom_core.contracts.dumps import CallNode, Part
from loom_core.contracts.retention import CheckpointPolicy, PayloadPolicy
from loom_core.contracts.stores import CallEnd, RunRecord, Settlement, StepRecord, Store
from loom_core.errors import BadInput, LeaseLost, RunExists, RunNotFound
from loom_core.testing.store_laws import StoreLaws, raises
from loom_core.testing.store_values import (
    ERROR,
    LEASE_S,
    NASTY_TEXTS,
    OWNER,
    RIVAL,
    admit,
    done,
    encode,
    failed_attempt,
    intent,
    new_run,
)


def _allow(record: RunRecord) -> None:
    """Agree to everything."""


def _state(number: int) -> dict[str, object]:
    return {"n": number, "pad": "p" * 400}


async def _everything(store: Store, run_id: str = "run", *, end: bool = True) -> Any:
    """Make a run with something of every kind."""
    writer = (await store.create_run(new_run(run_id, _state(0)), OWNER, LEASE_S)).writer
    for number in range(150):
        await writer.commit(number, encode(_state(number + 1)))
    sent: tuple[str, ...] = ('"hello"',)
    for number, text in enumerate(NASTY_TEXTS[:7], start=150):
        sent = (*sent, text)
        await writer.begin_call(intent(number, "0", kind="model", arguments=text, messages=sent, facts='{"f":1}'))
        await writer.end_call(attrs.evolve(done(number, "0", result=text), tokens_in=3, tokens_out=1))
        await writer.begin_call(intent(number, "=mine", idempotency_key="mine"))
        await writer.end_call(CallEnd(step_index=number, key="=mine", try_index=0, status="failed", error=ERROR))
        await writer.fail_attempt(failed_attempt(number, retry_at=5.0))
        await writer.commit(number, encode(_state(number + 1)), 1, '{"events":["' + "e" * 200 + '"]}')
    await store.keep_late_result(run_id, 150, "0", 0, '"late"')
    await store.send_signal(run_id, "go", '"' + "payload" * 40 + '"')
    await store.send_signal(run_id, "later", "1")
    waiting: dict[str, Any] = {"status": "waiting", "outcome": "wait", "wake_signal": "go", "reason": "signal:go"}
    await writer.settle(Settlement(step_index=157, state=encode(_state(158)), **waiting))
    newer = attrs.evolve(new_run().agent, version="9")
    writer = (await store.claim(run_id, RIVAL, LEASE_S, admit, newer)).writer
    await writer.commit(158, encode(_state(159)))
    if end:
        await writer.settle(Settlement(step_index=159, status="completed", outcome="complete", result=NASTY_TEXTS[5]))
    return writer


async def _answers(store: Store, run_id: str) -> list[object]:
    record = await store.get_run(run_id)
    calls = await store.get_calls(run_id, limit=1000)
    return [
        record,
        list(await store.get_steps(run_id, limit=1000, states=True)),
        list(calls),
        [list(await store.get_messages(run_id, call)) for call in calls],
        list(await store.get_attempts(run_id, limit=1000)),
        list(await store.get_claims(run_id)),
        list(await store.get_signals(run_id)),
        list(await store.get_gaps(run_id)),
    ]


def _with_another_state(part: Part) -> Part:
    return attrs.evolve(part, state='"x"') if isinstance(part, StepRecord) and part.outcome == "wait" else part


async def _dump(store: Store, *run_ids: str) -> list[Part]:
    parts: list[Part] = []
    await store.export_runs(run_ids or None, parts.append)
    return parts


class PruneLaws(StoreLaws):
    """Pruning takes what is behind, and never breaks resume."""

    def test_pruned_history_keeps_the_newest_states_and_every_call(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = await _everything(store, end=False)
            before = await _answers(store, "run")
            would = await store.prune_history("run", dry_run=True)
            assert await _answers(store, "run") == before
            assert await store.prune_history("run") == would > 90
            after = await _answers(store, "run")
            steps: Any = after[1]
            assert steps == before[1][would:]  # type: ignore[index]
            assert (after[0], after[2:7]) == (before[0], before[2:7])
            assert await store.get_state("run") == encode(_state(159)).text
            assert await store.prune_history("run") == 0
            # Whoever owns the run goes on meanwhile, and so does whoever takes it over.
            await writer.commit(159, encode(_state(160)))
            claimed = await store.claim("run", OWNER, LEASE_S, admit)
            assert claimed.state == encode(_state(160)).text
            with raises(BadInput):
                await store.get_state("run", 1)

        self.try_law(tmp_path, law)

    def test_the_newest_steps_that_are_asked_for_stay(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _everything(store)
            await store.prune_history("run", keep_steps=40)
            kept = [s.step_index for s in await store.get_steps("run", limit=1000)]
            assert kept[0] <= 160 - 40
            assert kept == [*range(kept[0], 160)]
            assert await store.prune_history("run", keep_steps=10**9) == 0
            with raises(RunNotFound):
                await store.prune_history("never")

        self.try_law(tmp_path, law)

    def test_a_deleted_run_is_gone_with_everything_and_its_name_is_free(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = await _everything(store, end=False)
            await _everything(store, "other")
            before = await _answers(store, "other")

            def refuse(record: RunRecord) -> None:
                raise BadInput(f"{record.run_id} stays")

            with raises(BadInput):
                await store.delete_run("run", refuse)
            await store.delete_run("run", _allow)
            for question in (store.get_run, store.get_state, store.get_calls, store.get_gaps):
                with raises(RunNotFound):
                    await question("run")
            with raises(RunNotFound):
                await store.delete_run("run", _allow)
            await store.sweep()
            assert await _answers(store, "other") == before
            # A writer of the run that is gone writes neither into nothing nor into a run of the same name.
            await store.create_run(new_run("run"), OWNER, LEASE_S)
            for write in (writer.commit(159, encode(1)), writer.begin_call(intent(0)), writer.commit(0, encode(1))):
                with raises(LeaseLost):
                    await write
            assert not writer.beat()
            assert len(await store.get_steps("run")) == 1

        self.try_law(tmp_path, law)

    def test_the_number_of_a_deleted_run_is_not_given_again(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            for _ in range(3):
                claimed = await store.create_run(new_run(), OWNER, LEASE_S)
                await store.delete_run("run", _allow)
                fresh = await store.create_run(new_run(), RIVAL, LEASE_S)
                with raises(LeaseLost):
                    await claimed.writer.begin_call(intent(0))
                await fresh.writer.begin_call(intent(0))
                await store.delete_run("run", _allow)

        self.try_law(tmp_path, law)

    def test_upkeep_of_a_store_leaves_its_runs_as_they_are(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = await _everything(store, end=False)
            before = await _answers(store, "run")
            await store.sweep()
            await store.vacuum()
            assert await _answers(store, "run") == before
            assert await store.sweep() == 0
            await writer.commit(159, encode(_state(160)))
            found = await store.info()
            assert (found.runs, found.rows["runs"], found.rows["calls"]) == ({"running": 1}, 1, 14)

        self.try_law(tmp_path, law)


class DumpLaws(StoreLaws):
    """Runs leave a store and come into another one whole."""

    def test_runs_come_into_another_store_as_they_left(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _everything(store)
            await store.fork_run("run", 155, "fork", RIVAL, admit)
            writer = (await store.create_run(new_run("thin", _state(0)), OWNER, LEASE_S)).writer
            writer.keep_to(CheckpointPolicy(mode="interval", every=7), PayloadPolicy())
            for number in range(20):
                await writer.commit(number, encode(_state(number + 1)))
            await writer.settle(Settlement(step_index=20, status="failed", error=ERROR, attempt=failed_attempt(20)))
            parts = await _dump(store)
            await self._in_another(
                tmp_path,
                lambda other: self._check_same(store, other, parts, ["run", "fork", "thin"]),
            )

        self.try_law(tmp_path, law)

    async def _check_same(self, store: Store, other: Store, parts: list[Part], run_ids: list[str]) -> None:
        assert list(await other.import_runs(lambda: parts, imported_from=None)) == run_ids
        for run_id in run_ids:
            assert await _answers(other, run_id) == await _answers(store, run_id)
        assert await _dump(other) == await _dump(store)

    def test_a_run_that_somebody_owns_arrives_without_an_owner_and_with_its_calls_in_doubt(
        self, tmp_path: Path
    ) -> None:
        async def law(store: Store) -> None:
            writer = await _everything(store, end=False)
            await writer.begin_call(intent(159))
            parts = await _dump(store, "run")

            async def check(other: Store) -> None:
                await other.import_runs(lambda: parts, imported_from="elsewhere")
                record = await other.get_run("run")
                assert (record.status, record.reason, record.owner, record.lease) == ("paused", "imported", None, None)
                assert record.counters.unknown_calls == 1
                assert record.origin is not None
                assert (record.origin.imported_from, record.origin.imported_at) == ("elsewhere", self.clocks.wall_s)
                claimed = await other.claim("run", OWNER, LEASE_S, admit)
                assert [call.status for call in claimed.calls] == ["unknown"]
                await claimed.writer.end_call(done(159))
                await claimed.writer.commit(159, encode("goes on"))

            await self._in_another(tmp_path, check)
            assert (await store.get_run("run")).status == "running"

        self.try_law(tmp_path, law)

    def test_an_import_adds_all_runs_or_none(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _everything(store, "one")
            await _everything(store, "two")
            parts = await _dump(store)
            with raises(RunExists):
                await store.import_runs(lambda: parts, imported_from=None)

            async def check(other: Store) -> None:
                await other.create_run(new_run("two", "mine"), OWNER, LEASE_S)
                with raises(RunExists):
                    await other.import_runs(lambda: parts, imported_from=None)
                assert [r.run_id for r in await other.list_runs()] == ["two"]
                assert list(await other.import_runs(lambda: parts, imported_from=None, skip_existing=True)) == ["one"]
                assert await other.get_state("two") == '"mine"'

            await self._in_another(tmp_path, check)

        self.try_law(tmp_path, law)

    def test_a_dump_that_contradicts_itself_is_refused_and_adds_nothing(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _everything(store)
            parts = await _dump(store)
            wrong = [
                parts[1:],
                [p for p in parts if getattr(p, "step_index", None) != 100 or isinstance(p, RunRecord)],
                [_with_another_state(part) for part in parts],
                [attrs.evolve(parts[0], step_index=3), *parts[1:]],  # type: ignore[arg-type]
                [p for p in parts if not isinstance(p, CallNode)],
                [p for p in parts if type(p).__name__ != "MessageNode"],
            ]

            async def check(other: Store) -> None:
                for dump in wrong:
                    with raises(BadInput):
                        await other.import_runs(lambda dump=dump: dump, imported_from=None)  # type: ignore[misc]
                assert list(await other.list_runs()) == []

            await self._in_another(tmp_path, check)
            with raises(RunNotFound):
                await _dump(store, "never")

        self.try_law(tmp_path, law)

    async def _in_another(self, folder: Path, check: Callable[[Store], Any]) -> None:
        other_folder = folder / "another"
        other_folder.mkdir()
        async with self.opened(other_folder) as other:
            await check(other)
            assert list(await other.verify()) == []
