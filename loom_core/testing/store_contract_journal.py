"""Laws of the journal of managed calls, of attempts and of the inbox."""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

from pathlib import Path

import attrs

from loom_core.contracts.stores import CallEnd, EncodedState, RunRecord, Settlement, SignalRecord, Store
from loom_core.errors import BadInput
from loom_core.testing.store_laws import StoreLaws, raises
from loom_core.testing.store_values import (
    ERROR,
    LEASE_S,
    NASTY_TEXTS,
    OWNER,
    RIVAL,
    admit,
    digest,
    done,
    encode,
    failed_attempt,
    intent,
    new_run,
)


class JournalLaws(StoreLaws):
    """Intents, ends, doubts."""

    def test_an_intent_is_there_before_its_end_and_keeps_everything_it_was_given(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            asked = intent(key="g0.1/2", idempotency_key="mine", facts='{"now":[1]}')
            await writer.begin_call(asked)
            call = (await store.get_calls("run"))[0]
            for field in attrs.fields(type(asked)):
                if field.name not in ("messages", "approval_id", "reserves"):
                    assert getattr(call, field.name) == getattr(asked, field.name), field.name
            assert (call.call_id, call.status, call.epoch) == ("0/g0.1/2", "started", 1)
            assert (call.started_at, call.ended_at, call.result, call.error) == (self.clocks.wall_s, None, None, None)
            await writer.end_call(done(key="g0.1/2"))

        self.try_law(tmp_path, law)

    def test_ends_are_recorded_with_result_error_tokens_and_decision(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            ends = [
                CallEnd(step_index=0, key="0", try_index=0, status="done", result="1", tokens_in=7, tokens_out=5),
                CallEnd(step_index=0, key="1", try_index=0, status="failed", error=ERROR, not_started=True),
                CallEnd(step_index=0, key="2", try_index=0, status="unknown", error=ERROR, tokens_in=2),
                CallEnd(step_index=0, key="2", try_index=1, status="done", result="null", decided_by="ann"),
            ]
            for end in ends:
                await writer.begin_call(intent(key=end.key, try_index=end.try_index, kind="model"))
                self.clocks.advance(2)
                await writer.end_call(end)
            calls = await store.get_calls("run")
            for call, end in zip(calls, ends, strict=True):
                for field in attrs.fields(CallEnd):
                    if field.name == "spent":
                        continue
                    assert getattr(call, field.name) == getattr(end, field.name), field.name
                assert call.ended_at == call.started_at + 2
            counters = (await store.get_run("run")).counters
            assert (counters.calls, counters.model_calls, counters.failed_calls, counters.unknown_calls) == (4, 4, 1, 1)
            assert (counters.tokens_in, counters.tokens_out) == (9, 5)
            assert calls[3].call_id == "0/2~1"

        self.try_law(tmp_path, law)

    def test_a_call_ends_once_but_a_doubt_can_be_decided(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.begin_call(intent())
            await writer.end_call(CallEnd(step_index=0, key="0", try_index=0, status="unknown", tokens_in=4))
            await writer.end_call(CallEnd(step_index=0, key="0", try_index=0, status="done", result="2", tokens_in=1))
            before = await store.get_run("run")
            self.clocks.advance(1)
            for status in ("done", "failed", "unknown"):
                for by in (None, "ann"):
                    with raises(BadInput):
                        await writer.end_call(CallEnd(step_index=0, key="0", try_index=0, status=status, decided_by=by))
            assert await store.get_run("run") == before
            assert (before.counters.unknown_calls, before.counters.tokens_in) == (0, 1)
            assert (await store.get_calls("run"))[0].result == "2"

        self.try_law(tmp_path, law)

    def test_a_failure_can_be_decided_otherwise_only_by_somebody_who_is_named(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            failed = CallEnd(step_index=0, key="0", try_index=0, status="failed", error=ERROR)
            await writer.begin_call(intent())
            await writer.end_call(failed)
            with raises(BadInput):
                await writer.end_call(attrs.evolve(failed, not_started=True))
            await writer.end_call(attrs.evolve(failed, not_started=True, decided_by="ann"))
            assert (await store.get_run("run")).counters.failed_calls == 1
            await writer.end_call(attrs.evolve(failed, status="done", result="1", error=None, decided_by="ann"))
            assert (await store.get_run("run")).counters.failed_calls == 0
            with raises(BadInput):
                await writer.end_call(failed)
            await writer.end_call(attrs.evolve(failed, decided_by="bob"))
            assert (await store.get_run("run")).counters.failed_calls == 1
            await writer.end_call(attrs.evolve(failed, status="done", result="1", error=None, decided_by="ann"))
            call = (await store.get_calls("run"))[0]
            assert (call.status, call.result, call.error, call.decided_by) == ("done", "1", None, "ann")

        self.try_law(tmp_path, law)

    def test_a_claim_puts_the_calls_that_were_under_way_in_doubt_and_hands_over_those_of_its_step(
        self, tmp_path: Path
    ) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.begin_call(intent(0, "0"))
            await writer.end_call(done(0, "0"))
            await writer.commit(0, encode(1))
            for key in ("0", "1", "2"):
                await writer.begin_call(intent(1, key))
            await writer.end_call(done(1, "1"))
            claimed = await store.claim("run", RIVAL, LEASE_S, admit)
            assert [(c.call_id, c.status) for c in claimed.calls] == [
                ("1/0", "unknown"),
                ("1/1", "done"),
                ("1/2", "unknown"),
            ]
            assert claimed.record.counters.unknown_calls == 2
            assert list(claimed.calls) == list(await store.get_calls("run"))[1:]
            # The new owner decides one, and makes the other again.
            await claimed.writer.end_call(done(1, "0", result='"found"'))
            await claimed.writer.begin_call(intent(1, "2", try_index=1))
            await claimed.writer.end_call(done(1, "2", try_index=1))
            assert (await store.get_run("run")).counters.unknown_calls == 1
            assert [c.call_id for c in await store.get_calls("run", status="unknown")] == ["1/2"]

        self.try_law(tmp_path, law)

    def test_calls_are_listed_in_the_order_of_their_intents_by_status_and_in_pages(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            for step_index in range(3):
                for key in ("1", "0"):
                    await writer.begin_call(intent(step_index, key))
                await writer.end_call(done(step_index, "0"))
                failed = CallEnd(step_index=step_index, key="1", try_index=0, status="failed", error=ERROR)
                await writer.end_call(failed)
                await writer.commit(step_index, encode(step_index))
            await writer.begin_call(intent(3))

            async def ids(**chosen: object) -> list[str]:
                return [c.call_id for c in await store.get_calls("run", **chosen)]  # type: ignore[arg-type]

            assert await ids() == ["0/1", "0/0", "1/1", "1/0", "2/1", "2/0", "3/0"]
            assert await ids(limit=2, offset=3) == ["1/0", "2/1"]
            assert await ids(newest=True, limit=2) == ["3/0", "2/0"]
            assert await ids(status="failed", newest=True) == ["2/1", "1/1", "0/1"]
            assert await ids(status="failed", limit=1, offset=1) == ["1/1"]
            assert await ids(status="done") == ["0/0", "1/0", "2/0"]
            assert await ids(status="started") == ["3/0"]
            assert await ids(status="unknown") == []

        self.try_law(tmp_path, law)

    def test_a_users_idempotency_key_finds_the_newest_call_of_its_own_run(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            other = (await store.create_run(new_run("other"), OWNER, LEASE_S)).writer
            await other.begin_call(intent(idempotency_key="order-1"))
            assert await writer.read_call("order-1") is None
            await writer.begin_call(intent(idempotency_key="order-1"))
            await writer.end_call(done(result='"first"'))
            await writer.commit(0, encode(1))
            found = await writer.read_call("order-1")
            assert found is not None
            assert (found.call_id, found.result) == ("0/0", '"first"')
            await writer.begin_call(intent(1, idempotency_key="order-1"))
            newest = await writer.read_call("order-1")
            assert newest is not None
            assert newest.call_id == "1/0"
            assert await writer.read_call("order-2") is None

        self.try_law(tmp_path, law)

    def test_a_late_result_is_kept_as_evidence_and_applied_to_nothing(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await writer.begin_call(intent())
            await writer.end_call(CallEnd(step_index=0, key="0", try_index=0, status="unknown"))
            await writer.commit(0, encode(1))
            await store.claim("run", RIVAL, LEASE_S, admit)
            before = await store.get_run("run")
            late = '"it went through after all"' + " " * 500
            await store.keep_late_result("run", 0, "0", 0, late)
            call = (await store.get_calls("run"))[0]
            assert (call.late_result, call.status, call.result) == (late, "unknown", None)
            assert await store.get_run("run") == before
            with raises(BadInput):
                await store.keep_late_result("run", 0, "0", 9, "1")

        self.try_law(tmp_path, law)

    def test_each_model_call_is_shown_with_the_messages_it_was_made_with(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            system, long = '{"role":"system"}', '{"role":"user","content":"' + "long " * 200 + '"}'
            said = [f'{{"role":"user","content":"{n}"}}' for n in range(6)]
            conversations = [
                (system,),
                (system, said[0]),
                (system, said[0], long, said[1]),
                (system, long, said[1]),  # the beginning was changed
                (said[0], said[0], said[0]),  # the same message again and again
                (system, said[0], long, said[1], said[2]),  # back on the earlier branch
                (),
                tuple(said),
            ]
            for n, messages in enumerate(conversations):
                await writer.begin_call(intent(0, str(n), kind="model", messages=messages))
                await writer.end_call(done(0, str(n)))
            calls = await store.get_calls("run")
            assert [tuple(await store.get_messages("run", call)) for call in calls] == conversations
            # Another owner, who has seen none of them, goes on with one.
            resumed = (await store.claim("run", RIVAL, LEASE_S, admit)).writer
            longer = (*conversations[5], said[5])
            await resumed.begin_call(intent(0, "more", kind="model", messages=longer))
            await resumed.end_call(done(0, "more"))
            newest = (await store.get_calls("run", newest=True, limit=1))[0]
            assert tuple(await store.get_messages("run", newest)) == longer

        self.try_law(tmp_path, law)

    def test_texts_of_every_size_and_alphabet_come_back_exactly(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            for n, text in enumerate(NASTY_TEXTS):
                error = attrs.evolve(ERROR, message=text[:8000], traceback=None)
                asked = intent(n, kind="model", arguments=text, messages=(text, "1", text), facts=text)
                await writer.begin_call(asked)
                end = CallEnd(step_index=n, key="0", try_index=0, status="unknown", result=text, error=error)
                await writer.end_call(end)
                await store.keep_late_result("run", n, "0", 0, text)
                await store.send_signal("run", "s", text)
                await writer.commit(n, _state(text), 0, text)
            calls = await store.get_calls("run")
            steps = await store.get_steps("run", first=0, states=True)
            signals = await store.get_signals("run")
            for n, text in enumerate(NASTY_TEXTS):
                call = calls[n]
                assert (call.arguments, call.facts, call.result, call.late_result) == (text,) * 4
                assert call.error is not None
                assert call.error.message == text[:8000]
                assert list(await store.get_messages("run", call)) == [text, "1", text]
                assert (steps[n].state, steps[n].notes, signals[n].payload) == (text,) * 3
                assert await store.get_state("run", n + 1) == text

        self.try_law(tmp_path, law)

    def test_failed_attempts_are_counted_and_listed_in_their_order(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            attempts = [failed_attempt(0, n, retry_at=100.0 + n) for n in range(3)]
            for n, attempt in enumerate(attempts):
                await writer.fail_attempt(attempt)
                record = await store.get_run("run")
                assert (record.attempt_index, record.step_index, record.status) == (n + 1, 0, "running")
            await writer.commit(0, encode(1), 3)
            assert (await store.get_steps("run", first=0))[0].attempt_index == 3
            record = await store.get_run("run")
            assert (record.attempt_index, record.counters.failed_attempts) == (0, 3)
            assert list(await store.get_attempts("run")) == attempts
            assert list(await store.get_attempts("run", limit=1, offset=1)) == [attempts[1]]

        self.try_law(tmp_path, law)


class InboxLaws(StoreLaws):
    """Signals, and what wakes a step."""

    def test_signals_are_numbered_and_kept_until_a_step_consumes_them(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await store.create_run(new_run(), OWNER, LEASE_S)
            await store.create_run(new_run("other"), OWNER, LEASE_S)
            before = await store.get_run("run")
            first = await store.send_signal("run", "go", '{"n":1}')
            self.clocks.advance(1)
            second = await store.send_signal("run", "stop", "null")
            await store.send_signal("other", "go", "0")
            at = self.clocks.wall_s
            assert first == SignalRecord(signal_id=1, name="go", payload='{"n":1}', sent_at=at - 1, consumed_by=None)
            assert second == SignalRecord(signal_id=2, name="stop", payload="null", sent_at=at, consumed_by=None)
            assert list(await store.get_signals("run")) == [first, second]
            assert list(await store.get_signals("run", offset=1, limit=5)) == [second]
            assert await store.get_run("run") == before

        self.try_law(tmp_path, law)

    def test_a_waiting_run_is_woken_by_the_earliest_pending_signal_of_its_name(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await self._wait_for(store, "go", wake_at=500.0)
            await store.send_signal("run", "other", "0")
            early = await store.send_signal("run", "go", '"early"')
            await store.send_signal("run", "go", '"late"')
            seen: list[tuple[RunRecord, SignalRecord | None]] = []
            claimed = await store.claim("run", RIVAL, LEASE_S, lambda r, s: seen.append((r, s)))
            assert [(r.status, r.wake_signal, r.wake_at, s) for r, s in seen] == [("waiting", "go", 500.0, early)]
            assert claimed.signal == early
            # Until the step is committed, what woke it stays: a crash must not lose the signal.
            assert (claimed.record.wake_signal, claimed.record.wake_at) == ("go", 500.0)
            assert (await store.get_signals("run"))[1].consumed_by is None
            again = await store.claim("run", OWNER, LEASE_S, admit)
            assert again.signal == early
            await again.writer.commit(1, encode("woken"))
            record = await store.get_run("run")
            assert (record.wake_signal, record.wake_at) == (None, None)
            assert [s.consumed_by for s in await store.get_signals("run")] == [None, 1, None]
            # The next step is not woken by anything.
            await again.writer.commit(2, encode("more"))
            assert [s.consumed_by for s in await store.get_signals("run")] == [None, 1, None]

        self.try_law(tmp_path, law)

    def test_a_signal_that_comes_after_the_claim_is_not_consumed_by_its_step(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await self._wait_for(store, "go", wake_at=1.0)
            claimed = await store.claim("run", RIVAL, LEASE_S, admit)
            assert claimed.signal is None
            await store.send_signal("run", "go", "1")
            await claimed.writer.commit(1, encode("timed out"))
            assert [s.consumed_by for s in await store.get_signals("run")] == [None]

        self.try_law(tmp_path, law)

    def test_leaving_a_woken_step_unfinished_keeps_its_signal_for_the_next_owner(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await self._wait_for(store, "go")
            signal = await store.send_signal("run", "go", "1")
            claimed = await store.claim("run", RIVAL, LEASE_S, admit)
            await claimed.writer.settle(Settlement(step_index=1, status="waiting", reason="doubt:1/0"))
            record = await store.get_run("run")
            assert (record.wake_signal, record.reason, record.step_index) == ("go", "doubt:1/0", 1)
            again = await store.claim("run", RIVAL, LEASE_S, admit)
            assert again.signal == signal
            outcome = Settlement(step_index=1, status="waiting", outcome="wait", state=encode(2), wake_signal="go")
            await again.writer.settle(outcome)
            assert (await store.get_signals("run"))[0].consumed_by == 1
            assert (await store.claim("run", RIVAL, LEASE_S, admit)).signal is None

        self.try_law(tmp_path, law)

    async def _wait_for(self, store: Store, signal: str, wake_at: float | None = None) -> None:
        writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
        waiting = Settlement(
            step_index=0, status="waiting", outcome="wait", state=encode("w"), wake_signal=signal, wake_at=wake_at
        )
        await writer.settle(waiting)


def _state(text: str) -> EncodedState:
    return EncodedState(text, digest(text))
