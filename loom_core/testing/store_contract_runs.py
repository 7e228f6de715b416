"""Laws of creating, claiming, fencing and reading runs."""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from loom_core.contracts.stores import Lease, RunRecord, RunWriter, Settlement, SignalRecord, Store
from loom_core.errors import BadInput, LeaseLost, RunBusy, RunExists, RunNotFound, StoreUnusable
from loom_core.testing.store_laws import StoreLaws, raises
from loom_core.testing.store_values import (
    AGENT,
    LEASE_S,
    OWNER,
    RIVAL,
    admit,
    done,
    encode,
    failed_attempt,
    intent,
    new_run,
)

Write = Callable[[RunWriter], Awaitable[None]]

WRITES: dict[str, Write] = {
    "commit": lambda w: w.commit(1, encode(99)),
    "synced commit": lambda w: w.commit(1, encode(99), 0, None, True),
    "commit with long notes": lambda w: w.commit(1, encode(99), 0, '{"events":["' + "x" * 500 + '"]}'),
    "settle": lambda w: w.settle(Settlement(step_index=1, status="paused", reason="interrupt")),
    "settle a step": lambda w: w.settle(Settlement(step_index=1, status="waiting", outcome="wait", state=encode(99))),
    "begin a call": lambda w: w.begin_call(intent(1, "9")),
    "end a call": lambda w: w.end_call(done(1, "0")),
    "fail an attempt": lambda w: w.fail_attempt(failed_attempt(1)),
}


class RunLaws(StoreLaws):
    """Creation and claims."""

    def test_a_created_run_is_owned_by_its_creator_and_starts_at_step_0(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            claimed = await store.create_run(new_run(value={"n": 0}), OWNER, LEASE_S)
            record = claimed.record
            assert record == await store.get_run("run")
            assert (record.status, record.step_index, record.attempt_index, record.epoch) == ("running", 0, 0, 1)
            assert (record.owner, record.agent) == (OWNER, AGENT)
            assert record.lease == Lease(wall_s=self.clocks.wall_s + LEASE_S, boot_s=1_000 + LEASE_S)
            assert record.created_at == record.updated_at == self.clocks.wall_s
            assert record.input_digest == encode({"n": 0}).digest
            assert (claimed.state, claimed.calls, claimed.signal) == ('{"n":0}', (), None)
            assert (claimed.writer.run_id, claimed.writer.epoch) == ("run", 1)
            assert (await store.get_claims("run"))[0].owner == OWNER

        self.try_law(tmp_path, law)

    def test_a_run_id_in_use_is_refused_and_its_run_unchanged(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            before = (await store.create_run(new_run(), OWNER, LEASE_S)).record
            with raises(RunExists) as caught:
                await store.create_run(new_run(value="other"), RIVAL, LEASE_S)
            assert isinstance(caught.error, RunExists)
            assert (caught.error.run_id, caught.error.status) == ("run", "running")
            assert await store.get_run("run") == before
            assert await store.get_state("run") == "0"

        self.try_law(tmp_path, law)

    def test_every_reader_and_writer_knows_no_unknown_run(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            call = intent()
            claimed = await store.create_run(new_run("other"), OWNER, LEASE_S)
            await claimed.writer.begin_call(call)
            record = (await store.get_calls("other"))[0]
            questions: list[Callable[[], Awaitable[object]]] = [
                lambda: store.get_run("run"),
                lambda: store.get_steps("run"),
                lambda: store.get_state("run"),
                lambda: store.get_attempts("run"),
                lambda: store.get_calls("run"),
                lambda: store.get_messages("run", record),
                lambda: store.get_signals("run"),
                lambda: store.get_claims("run"),
                lambda: store.verify("run"),
                lambda: store.claim("run", OWNER, LEASE_S, admit),
                lambda: store.send_signal("run", "go", "1"),
                lambda: store.keep_late_result("run", 0, "0", 0, "1"),
            ]
            for question in questions:
                with raises(RunNotFound):
                    await question()
            assert [r.run_id for r in await store.list_runs()] == ["other"]

        self.try_law(tmp_path, law)

    def test_a_claim_raises_the_epoch_and_hands_over_what_is_needed_to_go_on(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            first = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await first.commit(0, encode({"n": 1}))
            await first.settle(Settlement(step_index=1, status="paused", reason="slice:steps"))
            self.clocks.advance(5)
            claimed = await store.claim("run", RIVAL, 60, admit)
            record = claimed.record
            assert record == await store.get_run("run")
            assert (record.status, record.reason, record.epoch, record.owner) == ("running", None, 2, RIVAL)
            assert record.lease == Lease(wall_s=self.clocks.wall_s + 60, boot_s=1_005 + 60)
            assert (claimed.state, record.step_index) == ('{"n":1}', 1)
            found = [(c.epoch, c.owner, c.found, c.step_index) for c in await store.get_claims("run")]
            assert found[1:] == [(2, RIVAL, "paused", 1)]
            assert (await store.get_run("run")).counters.claims == 2

        self.try_law(tmp_path, law)

    def test_admit_sees_the_run_as_it_was_found_and_what_it_raises_changes_nothing(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await store.create_run(new_run(), OWNER, LEASE_S)
            before = await store.get_run("run")
            seen: list[tuple[RunRecord, SignalRecord | None]] = []

            def refuse(record: RunRecord, signal: SignalRecord | None) -> None:
                seen.append((record, signal))
                raise RunBusy(record.run_id, str(record.owner))

            with raises(RunBusy):
                await store.claim("run", RIVAL, LEASE_S, refuse)
            assert seen == [(before, None)]
            assert await store.get_run("run") == before
            assert len(await store.get_claims("run")) == 1

        self.try_law(tmp_path, law)

    def test_a_claim_of_an_ended_run_starts_with_a_clean_row_and_the_last_state(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.commit(0, encode("kept"))
            attempt = failed_attempt(1)
            await writer.settle(Settlement(step_index=1, status="failed", error=attempt.error, attempt=attempt))
            claimed = await store.claim("run", OWNER, LEASE_S, admit)
            record = claimed.record
            assert (record.error, record.result, record.ended_at, record.attempt_index) == (None, None, None, 1)
            assert claimed.state == '"kept"'

        self.try_law(tmp_path, law)

    def test_of_two_claims_at_once_the_second_sees_the_first(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.settle(Settlement(step_index=0, status="queued"))

            def if_free(record: RunRecord, signal: SignalRecord | None) -> None:
                if record.status == "running":
                    raise RunBusy(record.run_id, str(record.owner))

            async with self.opened(tmp_path) as other:
                claims = [s.claim("run", OWNER, LEASE_S, if_free) for s in (store, other)]
                results = await asyncio.gather(*claims, return_exceptions=True)
            assert sorted(isinstance(r, RunBusy) for r in results) == [False, True]
            assert (await store.get_run("run")).epoch == 2

        self.try_law(tmp_path, law)

    def test_runs_are_listed_newest_first_by_status_by_agent_and_in_pages(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            for n in range(5):
                agent = type(AGENT)(name="even" if n % 2 == 0 else "odd")
                writer = (await store.create_run(new_run(f"r{n}", agent=agent), OWNER, LEASE_S)).writer
                if n < 3:
                    await writer.settle(Settlement(step_index=0, status="paused", reason="interrupt"))
                self.clocks.advance(1)

            async def ids(**chosen: object) -> list[str]:
                return [r.run_id for r in await store.list_runs(**chosen)]  # type: ignore[arg-type]

            assert await ids() == ["r4", "r3", "r2", "r1", "r0"]
            assert await ids(limit=2, offset=1) == ["r3", "r2"]
            assert await ids(status="paused") == ["r2", "r1", "r0"]
            assert await ids(status="paused", agent="even") == ["r2", "r0"]
            assert await ids(agent="nobody") == []
            assert (await store.list_runs())[4] == await store.get_run("r0")

        self.try_law(tmp_path, law)

    def test_a_closed_store_says_so_and_closing_again_is_allowed(self, tmp_path: Path) -> None:
        async def trial() -> None:
            store = self.open_store(tmp_path)
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await store.aclose()
            await store.aclose()
            with raises(StoreUnusable):
                await store.get_run("run")
            assert store.protected_files() == frozenset()
            assert writer.epoch == 1

        asyncio.run(trial())

    def test_another_opening_gives_the_same_answers(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(value={"n": 0}), OWNER, LEASE_S)).writer
            await writer.commit(0, encode({"n": 1}), 0, '{"facts":{}}')
            await writer.begin_call(intent(1, kind="model", messages=('"hi"',)))
            async with self.opened(tmp_path) as other:
                assert await other.get_run("run") == await store.get_run("run")
                assert list(await other.get_steps("run", states=True)) == list(
                    await store.get_steps("run", states=True)
                )
                calls = await other.get_calls("run")
                assert list(calls) == list(await store.get_calls("run"))
                assert list(await other.get_messages("run", calls[0])) == ['"hi"']

        self.try_law(tmp_path, law)


class FenceLaws(StoreLaws):
    """One writer, and nobody else."""

    def test_a_writer_that_was_fenced_out_changes_nothing_whatever_it_writes(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            stale = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await stale.commit(0, encode(1))
            await stale.begin_call(intent(1))
            await store.claim("run", RIVAL, LEASE_S, admit)
            before = await _everything(store)
            for name, write in WRITES.items():
                with raises(LeaseLost) as caught:
                    await write(stale)
                assert isinstance(caught.error, LeaseLost), name
                assert (caught.error.run_id, caught.error.epoch) == ("run", 1), name
            assert await asyncio.to_thread(stale.beat) is False
            assert await _everything(store) == before

        self.try_law(tmp_path, law)

    def test_a_writer_cannot_be_used_after_it_settled(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.commit(0, encode(1))
            await writer.settle(Settlement(step_index=1, status="paused", reason="interrupt"))
            before = await _everything(store)
            for write in WRITES.values():
                with raises(LeaseLost):
                    await write(writer)
            assert await asyncio.to_thread(writer.beat) is False
            assert await _everything(store) == before

        self.try_law(tmp_path, law)

    def test_a_step_is_committed_once_and_only_in_its_turn(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.commit(0, encode(1))
            before = await _everything(store)
            for step_index in (0, 2, 7):
                with raises(LeaseLost):
                    await writer.commit(step_index, encode("never"))
                with raises(LeaseLost):
                    outcome = Settlement(step_index=step_index, status="completed", outcome="complete", result="1")
                    await writer.settle(outcome)
            assert await _everything(store) == before
            await writer.commit(1, encode(2))
            assert await store.get_state("run") == "2"

        self.try_law(tmp_path, law)

    def test_after_a_refused_write_the_history_goes_on_exactly(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            text = "a state that is long enough to be stored as a difference " * 20
            writer = (await store.create_run(new_run(value={"text": text, "n": 0}), OWNER, LEASE_S)).writer
            await writer.commit(0, encode({"text": text, "n": 1}))
            with raises(LeaseLost):
                await writer.commit(5, encode({"text": text, "n": "never stored"}))
            await writer.commit(1, encode({"text": text, "n": 2}))
            await writer.commit(2, encode({"text": text + "!", "n": 2}))
            assert await store.get_state("run", 2) == encode({"text": text, "n": 2}).text
            assert await store.get_state("run") == encode({"text": text + "!", "n": 2}).text

        self.try_law(tmp_path, law)

    def test_an_expired_lease_alone_stops_no_writer_and_every_write_renews_it(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            writes: list[Write] = [
                lambda w: w.commit(0, encode(1)),
                lambda w: w.begin_call(intent(1)),
                lambda w: w.end_call(done(1)),
                lambda w: w.fail_attempt(failed_attempt(1)),
                lambda w: w.commit(1, encode(2), 1, None, True),
            ]
            for write in writes:
                self.clocks.advance(3 * LEASE_S)
                assert writer.lease_age_s() == 3 * LEASE_S
                await write(writer)
                assert writer.lease_age_s() == 0
                assert self.clocks.boot_s is not None
                expected = Lease(wall_s=self.clocks.wall_s + LEASE_S, boot_s=self.clocks.boot_s + LEASE_S)
                record = await store.get_run("run")
                assert (record.lease, record.updated_at) == (expected, self.clocks.wall_s)

        self.try_law(tmp_path, law)

    def test_a_beat_from_another_thread_renews_the_lease_and_nothing_else(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            before = await store.get_run("run")
            self.clocks.advance(20)
            assert await asyncio.to_thread(writer.beat) is True
            assert writer.lease_age_s() == 0
            after = await store.get_run("run")
            assert after.lease == Lease(wall_s=self.clocks.wall_s + LEASE_S, boot_s=1_020 + LEASE_S)
            assert (after.status, after.step_index, after.epoch) == (before.status, before.step_index, before.epoch)
            await writer.commit(0, encode(1))

        self.try_law(tmp_path, law)

    def test_without_a_boot_clock_leases_are_of_wall_time(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            self.clocks.advance(7)
            assert writer.lease_age_s() == 7
            await writer.commit(0, encode(1))
            assert (await store.get_run("run")).lease == Lease(wall_s=self.clocks.wall_s + LEASE_S)

        self.clocks.boot_s = None
        self.try_law(tmp_path, law)

    def test_runs_do_not_fence_each_other(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writers = [(await store.create_run(new_run(f"r{n}"), OWNER, LEASE_S)).writer for n in range(3)]
            await store.claim("r1", RIVAL, LEASE_S, admit)
            for step_index in range(70):
                await writers[0].commit(step_index, encode({"n": step_index}))
                await writers[2].commit(step_index, encode({"n": -step_index}))
            assert await store.get_state("r0") == '{"n":69}'
            assert await store.get_state("r2") == '{"n":-69}'
            assert await store.get_state("r1") == "0"

        self.try_law(tmp_path, law)

    def test_a_call_of_another_step_cannot_begin(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            for step_index in (-1, 1):
                with raises(ValueError):
                    await writer.begin_call(intent(step_index))
            with raises(BadInput):
                await writer.end_call(done(0, "unheard of"))
            assert list(await store.get_calls("run")) == []
            assert (await store.get_run("run")).counters.calls == 0

        self.try_law(tmp_path, law)


async def _everything(store: Store) -> list[object]:
    return [
        await store.get_run("run"),
        list(await store.get_steps("run", states=True)),
        list(await store.get_calls("run")),
        list(await store.get_attempts("run")),
        list(await store.get_signals("run")),
        list(await store.get_claims("run")),
    ]
