"""What people do to a run from outside: who they are, what they ask of it, and what it asks of them.

A question is asked in the transaction that parks its run, so that it can be seen only when it can be answered, and
answered in one of its own, which also lets the run go on. It is bound to one place in the run (step and key) and to
what exactly was asked there: with other arguments it is another question. See docs/people.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from loom_core.errors import BadInput

ApprovalKind = Literal["tool", "question"]
Decision = Literal["approved", "denied", "expired", "withdrawn"]

PAUSE = "loom:pause"
CANCEL = "loom:cancel"
CONTROLS = (PAUSE, CANCEL)
"""Names of the inbox that the runtime itself reads; users' signals cannot begin with ``loom:``."""
CONTROL_PREFIX = "loom:"

APPROVAL_REASON = "approval:"
"""``RunRecord.reason`` of a run that waits for an answer is this and the approval's id."""
ANSWERED = "answered"
"""``RunRecord.reason`` of a run whose question was answered and which nobody has resumed since."""


@attrs.frozen(kw_only=True)
class Person:
    """Who did something: the name that was given, and the account of the operating system that gave it.

    Nothing checks the name: whoever may write the database may give any. The account is recorded beside it.
    """

    name: str
    user: str | None = None

    def __str__(self) -> str:
        return self.name if self.user in (None, self.name) else f"{self.name} (account {self.user})"


@attrs.frozen(kw_only=True)
class Approval:
    """The policy of a tool that a person must allow, call by call.

    ``approvers`` are the names that may answer, all if it is empty; without an answer within ``expires_s`` seconds
    (None: no limit) the answer is no. ``when`` decides by the arguments, by name, whether to ask at all.
    """

    approvers: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    expires_s: float | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.gt(0)))
    when: Callable[[Mapping[str, object]], bool] | None = None


@attrs.frozen(kw_only=True)
class ApprovalRequest:
    """A question that parks a run. ``subject`` is a tool's name, or the question in words.

    ``arguments`` is the JSON text that is shown, ``arguments_digest`` what the answer is bound to. ``approval_id``,
    unique in the run, is ``STEP/KEY`` of the call, with ``~N`` for further questions at the same place. ``facts`` is
    a JSON object or None: what the step has drawn so far, so that it asks the same when it is executed again.
    """

    approval_id: str
    kind: ApprovalKind
    step_index: int
    key: str
    attempt_index: int
    subject: str
    arguments: str
    arguments_digest: bytes
    approvers: tuple[str, ...] = ()
    expires_at: float | None = None
    facts: str | None = None


@attrs.frozen(kw_only=True)
class ApprovalRecord:
    """A question as stored. ``decision`` is None while it waits for its answer.

    ``withdrawn`` are questions that nobody needs an answer to any more: the run has ended, or asked something else.
    ``used_at`` is when the first intent that it allowed was written, in that intent's transaction, and ``used_try`` the
    newest try of that one call.
    """

    run_id: str
    approval_id: str
    kind: ApprovalKind
    step_index: int
    key: str
    attempt_index: int
    subject: str
    arguments: str
    arguments_digest: bytes
    approvers: tuple[str, ...]
    asked_at: float
    expires_at: float | None
    facts: str | None = None
    decision: Decision | None = None
    decided_at: float | None = None
    decided_by: Person | None = None
    note: str | None = None
    used_at: float | None = None
    used_try: int | None = None


@attrs.frozen(kw_only=True)
class ApprovalAnswer:
    """What a person answers."""

    decision: Literal["approved", "denied"]
    by: Person
    note: str | None = None


def check_answer(asked: ApprovalRecord, answer: ApprovalAnswer, now: float) -> None:
    """Raise ``BadInput`` if a question cannot be answered so; one rule for every store, asked in the transaction."""
    what = f"question {asked.approval_id} of run `{asked.run_id}`"
    if asked.decision == "withdrawn":
        raise BadInput(f"{what} was withdrawn: its run has ended, or has asked something else since")
    if asked.decision == "expired" or (asked.decision is None and _is_over(asked, now)):
        raise BadInput(f"{what} has expired, which means no; the answer comes too late")
    if asked.decision is not None:
        raise BadInput(f"{what} was {asked.decision} already, by {asked.decided_by}")
    if asked.approvers and answer.by.name not in asked.approvers:
        raise BadInput(
            f"{answer.by.name} may not answer {what}",
            hint=f"who may: {', '.join(asked.approvers)} (--as NAME)",
        )


def check_use(asked: ApprovalRecord, *, step_index: int, key: str, try_index: int, tool: str, digest: bytes) -> None:
    """Raise ``BadInput`` if an approval does not allow this try of this call; one rule for every store.

    It is bound to the call's place and arguments, and allows each try once: a further one is the same call, which is
    made again only where that has no second effect.
    """
    asked_for = (asked.kind, asked.step_index, asked.key, asked.subject, asked.arguments_digest)
    spent = asked.used_try is not None and asked.used_try >= try_index
    if asked.decision != "approved" or spent or asked_for != ("tool", step_index, key, tool, digest):
        raise BadInput(f"approval {asked.approval_id} of run `{asked.run_id}` does not allow this call")


def _is_over(asked: ApprovalRecord, now: float) -> bool:
    return asked.expires_at is not None and asked.expires_at <= now
