"""A person's answer to a question of a run."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from loom_core.contracts.people import ApprovalAnswer, ApprovalRecord
from loom_core.contracts.stores import Store
from loom_core.errors import BadInput


async def answer_question(store: Store, run_id: str, approval_id: str | None, answer: ApprovalAnswer) -> ApprovalRecord:
    """Record an answer; ``approval_id`` None means the one question that the run has open.

    The answer is on disk when this returns, and a run that waits for it is queued. Raises ``BadInput``, and changes
    nothing, for a question that is not there, was answered, has expired or was withdrawn, and for a person who may not
    answer it.
    """
    return await store.answer_approval(run_id, approval_id or await _only_question(store, run_id), answer)


async def _only_question(store: Store, run_id: str) -> str:
    pending = await store.get_approvals(run_id, pending=True, limit=20)
    if len(pending) == 1:
        return pending[0].approval_id
    if pending:
        names = ", ".join(asked.approval_id for asked in pending)
        raise BadInput(f"run `{run_id}` asks {len(pending)} questions", hint=f"name the one that is meant: {names}")
    record = await store.get_run(run_id)
    raise BadInput(
        f"run `{run_id}` ({record.status}) asks nothing", hint=_last_words(run_id, await _last(store, run_id))
    )


async def _last(store: Store, run_id: str) -> Sequence[ApprovalRecord]:
    return (await store.get_approvals(run_id, limit=1_000_000))[-1:]


def _last_words(run_id: str, last: Sequence[ApprovalRecord]) -> str:
    look = f"see what it waits for: loom-runner explain --run-id {quote(run_id)}"
    if not last:
        return look
    by = "" if last[0].decided_by is None else f" by {last[0].decided_by}"
    return f"its last question, {last[0].approval_id}, is {last[0].decision or 'expired'}{by}; {look}"
