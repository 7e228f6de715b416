"""What `approve` and `deny` have in common: an answer, and what comes next."""

from __future__ import annotations

from typing import Literal

from loom_cli import Invocation

from loom_core.contracts.people import ApprovalAnswer, ApprovalRecord
from loom_core.contracts.stores import RunRecord, Store
from loom_core.errors import BadInput
from loom_core.runtime.answering import answer_question
from loom_core.runtime.explain.questions import asked_words
from loom_runner.documents import approval_data
from loom_runner.outcome import explain_command, next_command
from loom_runner.persons import person
from loom_runner.reading import with_store


def answer(
    invocation: Invocation,
    run_id: str,
    question: str | None,
    decision: Literal["approved", "denied"],
    *,
    note: str | None,
    name: str | None,
) -> None:
    """Record the answer; raises ``BadInput`` in one sentence for one that cannot be given."""
    given = ApprovalAnswer(decision=decision, by=person(name), note=note)

    async def act(store: Store) -> tuple[ApprovalRecord, RunRecord]:
        answered = await answer_question(store, run_id, question, given)
        return answered, await store.get_run(run_id)

    try:
        answered, record = with_store(invocation, act, "write")
    except BadInput as error:
        if error.hint is None or "loom-runner explain" in error.hint:
            before = (error.hint or "").partition("see what it waits for")[0]
            error.hint = f"{before}see what happened: {explain_command(invocation, run_id)}"
        raise
    output = invocation.output
    command = next_command(invocation, record)
    if output.as_json:
        data = {"run_id": run_id, "status": record.status, "question": approval_data(answered), "next": command}
        output.document(f"loom.runner.{'approve' if decision == 'approved' else 'deny'}/1", data)
        return
    output.note(
        f"question {answered.approval_id} of run `{run_id}` is {decision} by {given.by}: {asked_words(answered)}"
    )
    if command is not None:
        output.note(f"next: {command}")
