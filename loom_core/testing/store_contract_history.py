"""Laws of the history of states, and of the outcomes that end, park or pause a run."""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from loom_core.contracts.stores import EncodedState, RunStatus, Settlement, Store
from loom_core.errors import BadInput
from loom_core.testing.store_laws import StoreLaws, raises
from loom_core.testing.store_values import (
    ERROR,
    LEASE_S,
    OWNER,
    RIVAL,
    admit,
    digest,
    encode,
    failed_attempt,
    new_run,
)


class HistoryLaws(StoreLaws):
    """States come back as they went, whichever step is asked for."""

    def test_the_state_of_every_step_comes_back_exactly(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            states = _growing_states(150)
            writer = (await store.create_run(new_run(value=states[0]), OWNER, LEASE_S)).writer
            for step_index, state in enumerate(states[1:]):
                if step_index % 40 == 39:
                    # A new owner goes on with the history that it did not write.
                    writer = (await store.claim("run", RIVAL, LEASE_S, admit)).writer
                await writer.commit(step_index, encode(state))
            texts = [encode(state).text for state in states]
            for step_index, text in enumerate(texts):
                assert await store.get_state("run", step_index) == text
            assert await store.get_state("run") == texts[-1]
            steps = await store.get_steps("run", limit=1000, states=True)
            assert [s.state for s in steps] == texts
            assert [s.step_index for s in steps] == [*range(-1, 149)]
            assert [s.digest for s in steps] == [digest(text) for text in texts]
            page = await store.get_steps("run", first=70, limit=3, states=True)
            assert [(s.step_index, s.state) for s in page] == [(n, texts[n + 1]) for n in (70, 71, 72)]
            assert {s.state for s in await store.get_steps("run", first=3, limit=9)} == {None}
            assert list(await store.get_steps("run", first=149)) == []

        self.try_law(tmp_path, law)

    def test_states_that_are_no_objects_come_back_too(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            values: list[object] = [None, 0, "", [], {}, "x" * 3000, ["é"] * 900, {"a": {}}, "x" * 3000, "x" * 3001, {}]
            writer = (await store.create_run(new_run(value=values[0]), OWNER, LEASE_S)).writer
            for step_index, value in enumerate(values[1:]):
                await writer.commit(step_index, encode(value))
            steps = await store.get_steps("run", states=True)
            assert [s.state for s in steps] == [encode(value).text for value in values]

        self.try_law(tmp_path, law)

    def test_fields_that_are_not_given_make_no_difference(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            states = [encode(state) for state in _growing_states(30)]
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            for step_index, state in enumerate(states):
                fields = state.fields if step_index % 3 else None
                await writer.commit(step_index, EncodedState(state.text, state.digest, fields))
            assert [s.state for s in await store.get_steps("run", first=0, states=True)] == [s.text for s in states]

        self.try_law(tmp_path, law)

    def test_a_step_is_recorded_with_its_outcome_attempt_epoch_time_and_notes(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            self.clocks.advance(1)
            await writer.commit(0, encode(1), 2, '{"events":[1]}')
            writer = (await store.claim("run", RIVAL, LEASE_S, admit)).writer
            self.clocks.advance(1)
            await writer.settle(
                Settlement(
                    step_index=1, status="waiting", outcome="sleep", state=encode(2), attempt_index=1, wake_at=9.0
                )
            )
            at = self.clocks.wall_s
            steps = [
                (s.step_index, s.outcome, s.attempt_index, s.epoch, s.at, s.notes) for s in await store.get_steps("run")
            ]
            assert steps == [
                (-1, "initial", 0, 1, at - 2, None),
                (0, "continue", 2, 1, at - 1, '{"events":[1]}'),
                (1, "sleep", 1, 2, at, None),
            ]

        self.try_law(tmp_path, law)

    def test_a_step_that_does_not_exist_has_no_state(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.commit(0, encode(1))
            for step_index in (-1, 2, 10**6):
                with raises(BadInput):
                    await store.get_state("run", step_index)

        self.try_law(tmp_path, law)


class OutcomeLaws(StoreLaws):
    """What a settlement leaves behind."""

    def test_completing_stores_the_result_and_keeps_the_last_state(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.commit(0, encode("last"))
            self.clocks.advance(1)
            await writer.settle(Settlement(step_index=1, status="completed", outcome="complete", result='{"sum":3}'))
            record = await store.get_run("run")
            assert (record.status, record.result, record.step_index) == ("completed", '{"sum":3}', 2)
            assert (record.ended_at, record.owner, record.lease) == (self.clocks.wall_s, None, None)
            assert await store.get_state("run") == '"last"'
            assert await store.get_state("run", 1) == '"last"'
            with raises(BadInput):
                await store.get_state("run", 2)
            last = (await store.get_steps("run", first=1, states=True))[0]
            assert (last.outcome, last.state, last.digest) == ("complete", None, digest('{"sum":3}'))

        self.try_law(tmp_path, law)

    def test_failing_keeps_the_error_the_attempt_and_the_last_state(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.fail_attempt(failed_attempt(0, 0, retry_at=5.0))
            last = failed_attempt(0, 1)
            await writer.settle(Settlement(step_index=0, status="failed", attempt_index=1, error=ERROR, attempt=last))
            record = await store.get_run("run")
            assert (record.status, record.error, record.attempt_index) == ("failed", ERROR, 2)
            assert (record.step_index, record.counters.failed_attempts) == (0, 2)
            assert record.ended_at == self.clocks.wall_s
            assert (await store.get_attempts("run"))[1] == last
            assert await store.get_state("run") == "0"

        self.try_law(tmp_path, law)

    def test_pausing_leaves_the_step_where_it_was(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.fail_attempt(failed_attempt(0, 0))
            await writer.settle(Settlement(step_index=0, status="paused", reason="slice:seconds"))
            record = await store.get_run("run")
            assert (record.status, record.reason) == ("paused", "slice:seconds")
            assert (record.step_index, record.attempt_index, record.ended_at) == (0, 1, None)
            assert len(await store.get_steps("run")) == 1

        self.try_law(tmp_path, law)

    def test_waiting_commits_the_step_and_says_for_what(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.settle(
                Settlement(
                    step_index=0,
                    status="waiting",
                    reason="signal:approval",
                    outcome="wait",
                    state=encode("asked"),
                    wake_signal="approval",
                    wake_at=77.5,
                    notes='{"events":["' + "x" * 300 + '"]}',
                )
            )
            record = await store.get_run("run")
            assert (record.status, record.reason) == ("waiting", "signal:approval")
            assert (record.wake_signal, record.wake_at, record.step_index) == ("approval", 77.5, 1)
            assert await store.get_state("run") == '"asked"'
            assert (await store.get_steps("run", first=0))[0].notes == '{"events":["' + "x" * 300 + '"]}'

        self.try_law(tmp_path, law)

    def test_every_status_a_run_can_be_left_in_is_stored_and_can_be_claimed(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            statuses: list[RunStatus] = ["queued", "paused", "waiting", "failed", "cancelled"]
            for status in statuses:
                await writer.settle(Settlement(step_index=0, status=status))
                record = await store.get_run("run")
                assert record.status == status
                assert (record.ended_at is not None) == (status in ("failed", "cancelled"))
                writer = (await store.claim("run", OWNER, LEASE_S, admit)).writer

        self.try_law(tmp_path, law)


def _growing_states(count: int) -> list[dict[str, Any]]:
    random = Random(7)
    state: dict[str, Any] = {"n": 0, "log": [], "name": "Ünïcode 漢字 🦉", "nested": {"deep": [1, 2, 3]}}
    states = [state]
    while len(states) < count:
        choice = random.randrange(8)
        state = dict(state)
        state["n"] += 1
        if choice < 4:
            state["log"] = [*state["log"], f"entry {random.random()} \0 é"]
        elif choice == 4:
            state["log"] = state["log"][random.randrange(3) :]
        elif choice == 5:
            state[f"field{random.randrange(3)}"] = "z" * random.randrange(700)
        elif choice == 6:
            state.pop("field1", None)
        else:
            state["n"] -= 1
        states.append(state)
    return states
