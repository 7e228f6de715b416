"""Laws of questions, answers, and wishes."""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

from pathlib import Path

import attrs

from loom_core.contracts.people import CANCEL, PAUSE, ApprovalAnswer, ApprovalRequest, Person
from loom_core.contracts.stores import ClaimedRun, EncodedState, Settlement, Store
from loom_core.errors import BadInput, LeaseLost, RunNotFound
from loom_core.testing.store_laws import StoreLaws, raises
from loom_core.testing.store_values import LEASE_S, NASTY_TEXTS, OWNER, RIVAL, admit, digest, encode, intent, new_run

ANN = Person(name="ann", user="ann")
BOB = Person(name="bob")
YES = ApprovalAnswer(decision="approved", by=ANN, note="go ahead")
NO = ApprovalAnswer(decision="denied", by=BOB)


def question(
    approval_id: str = "0/0",
    *,
    key: str = "0",
    arguments: str = '{"n":1}',
    approvers: tuple[str, ...] = (),
    expires_at: float | None = None,
) -> ApprovalRequest:
    """Return a question about the call that ``intent`` makes."""
    return ApprovalRequest(
        approval_id=approval_id,
        kind="tool",
        step_index=0,
        key=key,
        attempt_index=0,
        subject="send_mail",
        arguments=arguments,
        arguments_digest=digest(arguments),
        approvers=approvers,
        expires_at=expires_at,
        facts='{"now":[1]}',
    )


def parked(*questions: ApprovalRequest, reason: str = "approval:0/0", wake_at: float | None = None) -> Settlement:
    """Return the settlement that asks."""
    return Settlement(step_index=0, status="waiting", reason=reason, questions=questions, wake_at=wake_at)


async def asked(store: Store, request: ApprovalRequest) -> None:
    """Create a run that asks ``request`` and waits."""
    claimed = await store.create_run(new_run(), OWNER, LEASE_S)
    await claimed.writer.settle(parked(request))


async def claimed_again(store: Store) -> ClaimedRun:
    """Claim the run, whatever its status."""
    return await store.claim("run", RIVAL, LEASE_S, admit)


class ApprovalLaws(StoreLaws):
    """A question is seen when its run waits, answered once, and allows one call."""

    def test_a_question_is_there_with_the_run_that_waits_for_it_and_keeps_all_it_was_given(
        self, tmp_path: Path
    ) -> None:
        async def law(store: Store) -> None:
            for number, text in enumerate(NASTY_TEXTS[:6]):
                run_id = f"run{number}"
                request = attrs.evolve(
                    question(arguments=text, approvers=("ann", "bob"), expires_at=2e9), subject=text[:60]
                )
                claimed = await store.create_run(new_run(run_id), OWNER, LEASE_S)
                assert list(await store.get_approvals(run_id)) == []
                await claimed.writer.settle(parked(request, wake_at=2e9))
                record = await store.get_run(run_id)
                assert (record.status, record.reason, record.wake_at) == ("waiting", "approval:0/0", 2e9)
                (found,) = await store.get_approvals(run_id)
                for field in attrs.fields(ApprovalRequest):
                    assert getattr(found, field.name) == getattr(request, field.name), field.name
                assert (found.run_id, found.asked_at, found.decision) == (run_id, self.clocks.wall_s, None)

        self.try_law(tmp_path, law)

    def test_an_answer_is_recorded_with_who_and_when_and_queues_the_run_that_waits(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await asked(store, question())
            self.clocks.advance(5)
            told = await store.answer_approval("run", "0/0", YES)
            assert (told.decision, told.decided_by, told.note) == ("approved", ANN, "go ahead")
            assert told.decided_at == self.clocks.wall_s
            assert list(await store.get_approvals("run")) == [told]
            record = await store.get_run("run")
            assert (record.status, record.reason, record.updated_at) == ("queued", "answered", self.clocks.wall_s)
            assert (await claimed_again(store)).approvals == (told,)

        self.try_law(tmp_path, law)

    def test_an_answer_leaves_a_run_alone_that_does_not_wait_for_one(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await asked(store, question())
            claimed = await claimed_again(store)
            await store.answer_approval("run", "0/0", YES)
            assert (await store.get_run("run")).status == "running"
            await claimed.writer.settle(Settlement(step_index=0, status="paused", reason="person:ann"))
            record = await store.get_run("run")
            assert (record.status, record.reason) == ("paused", "person:ann")

        self.try_law(tmp_path, law)

    def test_a_run_that_parks_for_an_answer_that_has_come_is_queued(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await asked(store, question())
            claimed = await claimed_again(store)
            await store.answer_approval("run", "0/0", NO)
            await claimed.writer.settle(parked())
            record = await store.get_run("run")
            assert (record.status, record.reason) == ("queued", "answered")

        self.try_law(tmp_path, law)

    def test_a_question_is_answered_once_in_time_and_by_who_may(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            now = self.clocks.wall_s
            await asked(store, question(approvers=("ann",), expires_at=now + 10))
            with raises(BadInput) as not_he:
                await store.answer_approval("run", "0/0", NO)
            assert "bob may not answer" in str(not_he.error)
            with raises(BadInput):
                await store.answer_approval("run", "0/1", YES)
            with raises(RunNotFound):
                await store.answer_approval("nobody", "0/0", YES)
            assert (await store.get_run("run")).status == "waiting"
            await store.answer_approval("run", "0/0", YES)
            for answer in (YES, attrs.evolve(NO, by=ANN)):
                with raises(BadInput) as twice:
                    await store.answer_approval("run", "0/0", answer)
                assert "approved already, by ann" in str(twice.error)

        self.try_law(tmp_path, law)

    def test_an_answer_that_comes_when_the_time_is_up_is_refused_and_the_next_claim_finds_a_no(
        self, tmp_path: Path
    ) -> None:
        async def law(store: Store) -> None:
            now = self.clocks.wall_s
            await asked(store, question(expires_at=now + 10))
            assert len(await store.get_approvals(pending=True)) == 1
            self.clocks.advance(10)
            assert list(await store.get_approvals(pending=True)) == []
            with raises(BadInput) as late:
                await store.answer_approval("run", "0/0", YES)
            assert "too late" in str(late.error)
            (found,) = (await claimed_again(store)).approvals
            assert (found.decision, found.decided_at, found.decided_by) == ("expired", now + 10, None)
            # A clock that is set back changes nothing about it.
            self.clocks.advance(-5)
            with raises(BadInput):
                await store.answer_approval("run", "0/0", YES)

        self.try_law(tmp_path, law)

    def test_an_approval_allows_its_own_call_with_its_own_arguments_and_each_try_once(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await asked(store, question())
            await store.answer_approval("run", "0/0", YES)
            writer = (await claimed_again(store)).writer
            allowed = attrs.evolve(intent(), approval_id="0/0")
            for other in (
                attrs.evolve(allowed, name="charge"),
                attrs.evolve(allowed, key="1"),
                attrs.evolve(allowed, arguments_digest=digest('{"n":2}')),
                attrs.evolve(allowed, approval_id="0/7"),
            ):
                with raises(BadInput):
                    await writer.begin_call(other)
            assert list(await store.get_calls("run")) == []
            await writer.begin_call(allowed)
            (used,) = await store.get_approvals("run")
            assert (used.used_at, used.used_try) == (self.clocks.wall_s, 0)
            with raises(BadInput):
                await writer.begin_call(allowed)
            assert len(await store.get_calls("run")) == 1
            self.clocks.advance(1)
            await writer.begin_call(attrs.evolve(allowed, try_index=1))
            (again,) = await store.get_approvals("run")
            assert (again.used_at, again.used_try) == (used.used_at, 1)

        self.try_law(tmp_path, law)

    def test_what_was_denied_or_not_answered_allows_nothing(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await asked(store, question())
            writer = (await claimed_again(store)).writer
            with raises(BadInput):
                await writer.begin_call(attrs.evolve(intent(), approval_id="0/0"))
            await store.answer_approval("run", "0/0", NO)
            with raises(BadInput):
                await writer.begin_call(attrs.evolve(intent(), approval_id="0/0"))
            assert (await store.get_approvals("run"))[0].used_at is None

        self.try_law(tmp_path, law)

    def test_a_writer_that_was_fenced_out_uses_no_approval_and_asks_nothing(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await asked(store, question())
            await store.answer_approval("run", "0/0", YES)
            late = (await claimed_again(store)).writer
            await claimed_again(store)
            with raises(LeaseLost):
                await late.begin_call(attrs.evolve(intent(), approval_id="0/0"))
            with raises(LeaseLost):
                await late.settle(parked(question("0/1", key="1"), reason="approval:0/1"))
            (found,) = await store.get_approvals("run")
            assert (found.approval_id, found.used_at) == ("0/0", None)

        self.try_law(tmp_path, law)

    def test_a_question_is_withdrawn_when_another_takes_its_place_its_step_ends_or_the_run_does(
        self, tmp_path: Path
    ) -> None:
        async def law(store: Store) -> None:
            await asked(store, question())
            writer = (await claimed_again(store)).writer
            await writer.settle(parked(question("0/0~1", arguments='{"n":2}'), reason="approval:0/0~1"))
            assert [a.decision for a in await store.get_approvals("run")] == ["withdrawn", None]
            with raises(BadInput) as gone:
                await store.answer_approval("run", "0/0", YES)
            assert "withdrawn" in str(gone.error)
            writer = (await claimed_again(store)).writer
            await writer.commit(0, encode(1))
            assert [a.decision for a in await store.get_approvals("run")] == ["withdrawn", "withdrawn"]
            await writer.settle(attrs.evolve(parked(question("1/0")), step_index=1, reason="approval:1/0"))
            writer = (await claimed_again(store)).writer
            await writer.settle(Settlement(step_index=1, status="cancelled", reason="cancelled:ann"))
            assert {a.decision for a in await store.get_approvals("run")} == {"withdrawn"}

        self.try_law(tmp_path, law)

    def test_pending_questions_of_all_runs_are_listed_run_by_run_in_pages(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            for number in range(3):
                claimed = await store.create_run(new_run(f"run{number}"), OWNER, LEASE_S)
                both = (question(), question("0/1", key="1"))
                await claimed.writer.settle(parked(*both))
            await store.answer_approval("run1", "0/0", NO)
            every = [(a.run_id, a.approval_id) for a in await store.get_approvals(pending=True)]
            assert every == [
                ("run0", "0/0"),
                ("run0", "0/1"),
                ("run1", "0/1"),
                ("run2", "0/0"),
                ("run2", "0/1"),
            ]
            page = await store.get_approvals(pending=True, limit=2, offset=2)
            assert [(a.run_id, a.approval_id) for a in page] == every[2:4]
            assert [a.approval_id for a in await store.get_approvals("run1", limit=1, offset=1)] == ["0/1"]

        self.try_law(tmp_path, law)


class WishLaws(StoreLaws):
    """What people ask of a run stays in its inbox until it is taken up."""

    def test_a_signal_keeps_who_sent_it(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            await store.create_run(new_run(), OWNER, LEASE_S)
            for sender in (None, ANN, BOB):
                assert (await store.send_signal("run", "go", "1", sender=sender)).sender == sender
            assert [s.sender for s in await store.get_signals("run")] == [None, ANN, BOB]

        self.try_law(tmp_path, law)

    def test_wishes_are_read_by_the_owner_and_found_by_the_next_claim_until_they_are_taken_up(
        self, tmp_path: Path
    ) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            await store.send_signal("run", "go", "1")
            assert list(await writer.pending_controls()) == []
            pause = await store.send_signal("run", PAUSE, "{}", sender=ANN)
            cancel = await store.send_signal("run", CANCEL, "{}")
            assert list(await writer.pending_controls()) == [pause, cancel]
            claimed = await claimed_again(store)
            assert claimed.controls == (pause, cancel)
            await claimed.writer.settle(
                Settlement(step_index=0, status="paused", reason="person:ann", takes=(pause.signal_id,))
            )
            claimed = await claimed_again(store)
            assert claimed.controls == (cancel,)
            assert [s.consumed_by for s in await store.get_signals("run")] == [None, 0, None]

        self.try_law(tmp_path, law)

    def test_a_step_that_was_woken_by_a_signal_takes_up_no_wish(self, tmp_path: Path) -> None:
        async def law(store: Store) -> None:
            writer = (await store.create_run(new_run(), OWNER, LEASE_S)).writer
            state: EncodedState = encode(1)
            await writer.settle(
                Settlement(step_index=0, status="waiting", outcome="wait", state=state, wake_signal="go")
            )
            await store.send_signal("run", PAUSE, "{}")
            await store.send_signal("run", "go", "1")
            claimed = await claimed_again(store)
            assert claimed.signal is not None
            await claimed.writer.commit(1, encode(2))
            assert [s.consumed_by for s in await store.get_signals("run")] == [None, 1]

        self.try_law(tmp_path, law)
