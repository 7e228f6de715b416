"""Laws of histories that begin later or have gaps: forks, and what a policy thins out."""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from loom_core.contracts.origins import RunOrigin
from loom_core.contracts.retention import CheckpointPolicy, Gap, PayloadPolicy, is_gone
from loom_core.contracts.stores import CallEnd, RunRecord, Settlement, SignalRecord, Store
from loom_core.errors import BadInput, RunBusy, RunExists, RunNotFound
from loom_core.testing.store_laws import StoreLaws, raises
from loom_core.testing.store_values import (
    AGENT,
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

PAD = "p" * 400


def _state(number: int) -> dict[str, object]:
    return {"n": number, "pad": PAD, "seen": [*range(number % 7)]}


async def _run_of(store: Store, steps: int, policy: CheckpointPolicy | None = None, run_id: str = "run") -> Any:
    writer = (await store.create_run(new_run(run_id, _state(0)), OWNER, LEASE_S)).writer
    if policy is not None:
        writer.keep_to(policy, PayloadPolicy())
    for number in range(steps):
        await writer.commit(number, encode(_state(number + 1)))
    return writer


class ForkLaws(StoreLaws):
    """A fork starts with the state of a step, and the run it was made of stays as it was."""

    def test_a_fork_starts_with_the_state_of_the_step_and_counts_on_from_it(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = await _run_of(store, 9)
            await writer.settle(Settlement(step_index=9, status="paused", reason="slice:steps"))
            before = await store.get_run("run")
            for step_index in (0, 1, 6, 9):
                self.clocks.advance(1)
                name = f"fork {step_index}"
                record = await store.fork_run("run", step_index, name, RIVAL, admit)
                assert record == await store.get_run(name)
                assert (record.status, record.reason) == ("queued", "forked")
                assert (record.step_index, record.epoch, record.owner, record.lease) == (step_index, 1, None, None)
                assert record.origin == RunOrigin(forked_from="run", forked_step=step_index)
                assert record.created_at == record.updated_at == self.clocks.wall_s
                assert record.agent == AGENT
                assert await store.get_state(name) == encode(_state(step_index)).text
                assert await store.get_state(name, step_index) == encode(_state(step_index)).text
                steps = await store.get_steps(name)
                assert [(s.step_index, s.outcome) for s in steps] == [(step_index - 1, "initial")]
                claims = [(c.epoch, c.owner, c.step_index, c.found) for c in await store.get_claims(name)]
                assert claims == [(1, RIVAL, step_index, "fork")]
                gaps = [Gap(first=-1, last=step_index - 2)] if step_index else []
                assert list(await store.get_gaps(name)) == gaps
            assert await store.get_run("run") == before

        self.try_law(tmp_path, law)

    def test_a_fork_is_claimed_and_goes_on_like_any_run(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _run_of(store, 5)
            await store.fork_run("run", 3, "fork", RIVAL, admit)
            claimed = await store.claim("fork", OWNER, LEASE_S, admit)
            assert (claimed.record.epoch, claimed.record.step_index, claimed.calls) == (2, 3, ())
            assert claimed.state == encode(_state(3)).text
            await claimed.writer.begin_call(intent(3))
            await claimed.writer.end_call(done(3))
            await claimed.writer.commit(3, encode({"other": 1}))
            await claimed.writer.settle(Settlement(step_index=4, status="completed", outcome="complete", result="1"))
            assert await store.get_state("fork", 4) == encode({"other": 1}).text
            assert await store.get_state("run", 4) == encode(_state(4)).text
            again = await store.fork_run("fork", 4, "again", RIVAL, admit)
            assert again.origin == RunOrigin(forked_from="fork", forked_step=4)

        self.try_law(tmp_path, law)

    def test_a_completed_run_keeps_its_result_when_it_is_forked(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = await _run_of(store, 2)
            await writer.settle(Settlement(step_index=2, status="completed", outcome="complete", result='"end"'))
            before = await store.get_run("run")
            await store.fork_run("run", 2, "fork", RIVAL, admit)
            assert await store.get_state("fork") == encode(_state(2)).text
            assert await store.get_run("run") == before
            with raises(BadInput):
                await store.fork_run("run", 3, "other", RIVAL, admit)

        self.try_law(tmp_path, law)

    def test_a_fork_that_is_refused_leaves_nothing(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _run_of(store, 3)

            def busy(record: RunRecord, signal: SignalRecord | None) -> None:
                raise RunBusy(record.run_id, str(record.owner))

            with raises(RunBusy):
                await store.fork_run("run", 1, "fork", RIVAL, busy)
            for step_index in (-1, 4, 10**9):
                with raises(BadInput):
                    await store.fork_run("run", step_index, "fork", RIVAL, admit)
            with raises(RunNotFound):
                await store.fork_run("never", 0, "fork", RIVAL, admit)
            with raises(RunExists):
                await store.fork_run("run", 1, "run", RIVAL, admit)
            with raises(RunNotFound):
                await store.get_run("fork")
            assert len(await store.list_runs()) == 1

        self.try_law(tmp_path, law)

    def test_the_calls_of_the_step_are_not_taken_over_but_those_under_a_key_of_the_users_before_it_are(
        self, tmp_path: Path
    ) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(value=0), OWNER, LEASE_S)).writer
            for step_index in range(4):
                await writer.begin_call(intent(step_index))
                await writer.end_call(done(step_index))
                key, texts = f"mine {step_index % 2}", ('"a"', f'"said {step_index}"')
                await writer.begin_call(
                    intent(step_index, f"={key}", kind="model", idempotency_key=key, messages=texts)
                )
                end = done(step_index, f"={key}", result=NASTY_TEXTS[5])
                await writer.end_call(attrs.evolve(end, tokens_in=3, tokens_out=step_index))
                await writer.commit(step_index, encode(step_index + 1))
            await store.fork_run("run", 3, "fork", RIVAL, admit)
            calls = await store.get_calls("fork")
            made = [c for c in await store.get_calls("run") if c.idempotency_key and c.step_index in (1, 2)]
            assert list(calls) == [attrs.evolve(call, epoch=0) for call in made]
            assert [await store.get_messages("fork", c) for c in calls] == [['"a"', '"said 1"'], ['"a"', '"said 2"']]
            counters = (await store.get_run("fork")).counters
            assert (counters.calls, counters.model_calls, counters.tokens_in, counters.tokens_out) == (2, 2, 6, 3)
            writer = (await store.claim("fork", OWNER, LEASE_S, admit)).writer
            found = await writer.read_call("mine 0")
            assert found is not None
            assert found.step_index == 2

        self.try_law(tmp_path, law)

    def test_a_fork_is_woken_by_what_woke_the_step(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(value=0), OWNER, LEASE_S)).writer
            waiting = {"status": "waiting", "outcome": "wait", "wake_signal": "go", "reason": "signal:go"}
            await writer.settle(Settlement(step_index=0, state=encode(1), wake_at=9.0, **waiting))  # type: ignore[arg-type]
            still = await store.fork_run("run", 1, "still", RIVAL, admit)
            assert (still.status, still.reason, still.wake_signal, still.wake_at) == ("waiting", "signal:go", "go", 9.0)
            await store.send_signal("run", "other", "0")
            sent = await store.send_signal("run", "go", '"first"')
            writer = (await store.claim("run", OWNER, LEASE_S, admit)).writer
            await writer.commit(1, encode(2))
            assert (await store.fork_run("run", 1, "fork", RIVAL, admit)).wake_signal == "go"
            claimed = await store.claim("fork", OWNER, LEASE_S, admit)
            assert claimed.signal == attrs.evolve(sent, signal_id=1)
            await claimed.writer.commit(1, encode(3))
            assert [s.consumed_by for s in await store.get_signals("fork")] == [1]
            assert (await store.fork_run("run", 2, "later", RIVAL, admit)).wake_signal is None
            assert list(await store.get_signals("later")) == []

        self.try_law(tmp_path, law)

    def test_a_run_in_doubt_is_forked_without_its_doubt(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = await _run_of(store, 2)
            await writer.begin_call(intent(2))
            await writer.end_call(CallEnd(step_index=2, key="0", try_index=0, status="unknown"))
            await writer.settle(Settlement(step_index=2, status="waiting", reason="doubt:2/0"))
            record = await store.fork_run("run", 2, "fork", RIVAL, admit)
            assert (record.status, record.reason, record.counters.unknown_calls) == ("queued", "forked", 0)

        self.try_law(tmp_path, law)

    def test_a_fork_belongs_to_the_code_that_wrote_the_state(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            newer = attrs.evolve(AGENT, version="3", code_hash="beef")
            await _run_of(store, 2)
            writer = (await store.claim("run", OWNER, LEASE_S, admit, newer)).writer
            await writer.commit(2, encode("by newer code"))
            for step_index, agent in ((2, AGENT), (3, newer)):
                record = await store.fork_run("run", step_index, f"fork {step_index}", RIVAL, admit)
                assert record.agent == agent

        self.try_law(tmp_path, law)


class CodeLaws(StoreLaws):
    """Which code owned a run is recorded where it changes."""

    def test_a_claim_by_other_code_is_recorded_and_one_by_the_same_is_not(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            newer = attrs.evolve(AGENT, version="3", code_hash=None)
            await store.create_run(new_run(), OWNER, LEASE_S)
            for agent in (AGENT, None, newer, newer, None, AGENT):
                await store.claim("run", OWNER, LEASE_S, admit, agent)
            claims = await store.get_claims("run")
            assert [c.agent for c in claims] == [None, None, None, newer, None, None, AGENT]
            owned = [await store.get_agent("run", epoch) for epoch in range(9)]
            assert owned == [AGENT, AGENT, AGENT, AGENT, newer, newer, newer, AGENT, AGENT]
            assert (await store.get_run("run")).agent == AGENT
            with raises(RunNotFound):
                await store.get_agent("never", 1)

        self.try_law(tmp_path, law)


class ThinningLaws(StoreLaws):
    """Policies thin the history and nothing else."""

    def test_interval_keeps_every_so_many_steps_and_the_newest_exactly(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            for every, steps in ((1, 5), (2, 9), (5, 23), (70, 145)):
                name = f"every {every}"
                await _run_of(store, steps, CheckpointPolicy(mode="interval", every=every), name)
                kept = {n for n in range(-1, steps) if (n + 1) % every == 0 or n >= steps - (steps % every)}
                await self._check_history(store, name, steps, kept)

        self.try_law(tmp_path, law)

    def test_compact_keeps_the_newest_steps_only(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            for steps, first in ((62, -1), (63, -1), (64, 63), (127, 63), (200, 191)):
                name = f"of {steps}"
                await _run_of(store, steps, CheckpointPolicy(mode="compact"), name)
                await self._check_history(store, name, steps, {*range(first, steps)})

        self.try_law(tmp_path, law)

    def test_thinning_goes_on_after_every_claim_and_through_every_kind_of_write(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            policies = {
                "interval": CheckpointPolicy(mode="interval", every=3),
                "compact": CheckpointPolicy(mode="compact"),
            }
            for name, policy in policies.items():
                writer = (await store.create_run(new_run(name, _state(0)), OWNER, LEASE_S)).writer
                for number in range(70):
                    writer.keep_to(policy, PayloadPolicy())
                    outcome = {"status": "waiting", "outcome": "wait", "state": encode(_state(number + 1))}
                    await writer.settle(Settlement(step_index=number, **outcome))  # type: ignore[arg-type]
                    writer = (await store.claim(name, OWNER, LEASE_S, admit)).writer
                kept = {n for n in range(-1, 70) if (n + 1) % 3 == 0 or n == 69}
                await self._check_history(store, name, 70, kept if name == "interval" else {*range(63, 70)})

        self.try_law(tmp_path, law)

    def test_a_policy_may_change_from_claim_to_claim(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = await _run_of(store, 10)
            policies = (
                CheckpointPolicy(mode="interval", every=4),
                CheckpointPolicy(mode="interval", every=7),
                CheckpointPolicy(),
                CheckpointPolicy(mode="interval", every=4),
                CheckpointPolicy(mode="compact"),
                CheckpointPolicy(mode="interval", every=2),
            )
            step_index = 10
            for policy in policies:
                writer = (await store.claim("run", OWNER, LEASE_S, admit)).writer
                writer.keep_to(policy, PayloadPolicy())
                for number in range(step_index, step_index + 17):
                    await writer.commit(number, encode(_state(number + 1)))
                step_index += 17
                assert await store.get_state("run") == encode(_state(step_index)).text
                assert list(await store.verify()) == []
                await self._check_gaps(store, "run", step_index)

        self.try_law(tmp_path, law)

    def test_a_fork_is_thinned_from_where_it_began(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _run_of(store, 30)
            for mode in ("interval", "compact"):
                policy = CheckpointPolicy(mode=mode, every=8 if mode == "interval" else 1)
                await store.fork_run("run", 21, mode, RIVAL, admit)
                writer = (await store.claim(mode, OWNER, LEASE_S, admit)).writer
                writer.keep_to(policy, PayloadPolicy())
                for number in range(21, 90):
                    await writer.commit(number, encode(_state(number + 1)))
                kept = {20, *(n for n in range(21, 90) if (n + 1) % 8 == 0), 88, 89}
                await self._check_history(store, mode, 90, kept if mode == "interval" else {*range(63, 90)})

        self.try_law(tmp_path, law)

    def test_a_thinned_run_is_forked_from_what_is_kept_and_from_nothing_else(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await _run_of(store, 23, CheckpointPolicy(mode="interval", every=5))
            for step_index in (0, 5, 20, 22, 23):
                await store.fork_run("run", step_index, f"fork {step_index}", RIVAL, admit)
                assert await store.get_state(f"fork {step_index}") == encode(_state(step_index)).text
            for step_index in (1, 4, 6, 19):
                with raises(BadInput):
                    await store.fork_run("run", step_index, "fork", RIVAL, admit)

        self.try_law(tmp_path, law)

    def test_failures_waits_and_calls_stay_whatever_is_thinned(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(value=_state(0)), OWNER, LEASE_S)).writer
            writer.keep_to(CheckpointPolicy(mode="interval", every=3), PayloadPolicy())
            for number in range(12):
                await writer.begin_call(intent(number))
                await writer.end_call(done(number))
                await writer.fail_attempt(failed_attempt(number))
                await writer.commit(number, encode(_state(number + 1)), 1, '{"events":["' + "e" * 300 + '"]}')
            assert len(await store.get_calls("run")) == len(await store.get_attempts("run")) == 12

        self.try_law(tmp_path, law)

    def test_texts_are_read_back_whole_whatever_size_is_kept_inline(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            for limit in (None, 0, 1, 100, 10**9):
                name = f"inline {limit}"
                writer = (await store.create_run(new_run(name), OWNER, LEASE_S)).writer
                writer.keep_to(CheckpointPolicy(), PayloadPolicy(max_inline_bytes=limit))
                for number, text in enumerate(NASTY_TEXTS):
                    await writer.begin_call(intent(0, str(number), arguments=text, facts='{"a":"é"}'))
                    await writer.end_call(done(0, str(number), result=text))
                await writer.fail_attempt(failed_attempt())
                await writer.commit(0, encode(1), 0, '{"events":["ééé"]}')
                calls = await store.get_calls(name)
                assert [(c.arguments, c.result) for c in calls] == [(text, text) for text in NASTY_TEXTS]
                assert {c.facts for c in calls} == {'{"a":"é"}'}
                assert (await store.get_attempts(name))[0] == failed_attempt()
                assert (await store.get_steps(name, first=0))[0].notes == '{"events":["ééé"]}'

        self.try_law(tmp_path, law)

    async def _check_history(self, store: Store, run_id: str, steps: int, kept: set[int]) -> None:
        found = await store.get_steps(run_id, limit=10_000, states=True)
        assert [s.step_index for s in found] == sorted(kept), (run_id, steps)
        assert [s.state for s in found] == [encode(_state(n + 1)).text for n in sorted(kept)]
        assert await store.get_state(run_id) == encode(_state(steps)).text
        assert (await store.get_run(run_id)).step_index == steps
        await self._check_gaps(store, run_id, steps)

    async def _check_gaps(self, store: Store, run_id: str, steps: int) -> None:
        kept = {s.step_index for s in await store.get_steps(run_id, limit=10_000)}
        gaps = await store.get_gaps(run_id)
        assert {n for n in range(-1, steps) if is_gone(gaps, n)} == {*range(-1, steps)} - kept
        for step_index in range(steps):
            if step_index - 1 in kept:
                assert await store.get_state(run_id, step_index) == encode(_state(step_index)).text
            else:
                with raises(BadInput):
                    await store.get_state(run_id, step_index)
