"""Questions to people, from inside a step: looked up, asked by parking the run, answered when it goes on.

A question is found again by its place (step and key) and by what exactly was asked; anything else is another question.
A tool that needs an approval is refused or parked here, before its intent exists.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from loom_core.contracts.people import APPROVAL_REASON, Approval, ApprovalKind, ApprovalRecord, ApprovalRequest, Person
from loom_core.contracts.stores import call_id
from loom_core.contracts.tools import Tool
from loom_core.errors import ApprovalDenied, BadInput
from loom_core.runtime.calls import AskedCall
from loom_core.runtime.outcomes import Parked

if TYPE_CHECKING:
    from loom_core.runtime.context import RunContext


@attrs.frozen(kw_only=True)
class Answer:
    """What came of ``ctx.ask``; true if it was approved.

    ``expired`` says that nobody answered in time, which means no; ``by`` is None then. ``at`` is Unix time.
    """

    approved: bool
    by: Person | None
    note: str | None
    at: float
    expired: bool = False

    def __bool__(self) -> bool:
        return self.approved


@attrs.frozen(kw_only=True)
class Asking:
    """What exactly is asked at one place of a step."""

    kind: ApprovalKind
    key: str
    subject: str
    arguments: str
    digest: bytes
    approvers: tuple[str, ...]
    expires_at: float | None


class Questions:
    """The questions of one step, those asked before included."""

    def __init__(self, run_id: str, step_index: int, asked: tuple[ApprovalRecord, ...] = ()) -> None:
        self._run_id = run_id
        self._step_index = step_index
        self._asked = asked

    def allow(
        self,
        context: RunContext,
        tool: Tool,
        key: str,
        asked: AskedCall,
        arguments: Mapping[str, object],
        now: float,
    ) -> str | None:
        """Return the approval that allows this call, None if it needs none.

        Raises ``Parked``, with the question, if there is no answer, and ``ApprovalDenied``.
        """
        policy = policy_of(tool)
        if policy is None or (policy.when is not None and not policy.when(dict(arguments))):
            return None
        asking = Asking(
            kind="tool",
            key=key,
            subject=tool.name,
            arguments=asked.arguments,
            digest=asked.arguments_digest,
            approvers=policy.approvers,
            expires_at=None if policy.expires_s is None else now + policy.expires_s,
        )
        found = self._newest(asking)
        if found is None or found.decision == "withdrawn":
            raise self._park(context, asking)
        if found.decision is None:
            raise self._park(context, asking, found)
        if found.decision == "approved":
            return found.approval_id
        if found.attempt_index == context.attempt_index:
            raise _denied(found)
        # Whoever has the step tried again asks again: nothing has happened yet.
        raise self._park(context, asking)

    def answer(self, context: RunContext, asking: Asking) -> Answer:
        """Return the answer to a question of the step's own; raises ``Parked`` while there is none."""
        found = self._newest(asking)
        if found is None or found.decision == "withdrawn":
            raise self._park(context, asking)
        if found.decision is None or found.decided_at is None:
            raise self._park(context, asking, found)
        return Answer(
            approved=found.decision == "approved",
            by=found.decided_by,
            note=found.note,
            at=found.decided_at,
            expired=found.decision == "expired",
        )

    def _newest(self, asking: Asking) -> ApprovalRecord | None:
        wanted = (asking.kind, asking.key, asking.subject, asking.digest, asking.approvers)
        for asked in reversed(self._asked):
            if (asked.kind, asked.key, asked.subject, asked.arguments_digest, asked.approvers) == wanted:
                return asked
        return None

    def _park(self, context: RunContext, asking: Asking, found: ApprovalRecord | None = None) -> Parked:
        """Mark the attempt as one that must be left until there is an answer; ask if that was not done before."""
        if context.parked is None:
            request = None if found is not None else self._request(context, asking)
            asked_as = request or found
            assert asked_as is not None
            context.parked = Parked(
                f"{APPROVAL_REASON}{asked_as.approval_id}",
                questions=() if request is None else (request,),
                wake_at=asked_as.expires_at,
            )
        return context.parked

    def _request(self, context: RunContext, asking: Asking) -> ApprovalRequest:
        before = sum(asked.key == asking.key for asked in self._asked)
        facts = context.unwritten_facts()
        return ApprovalRequest(
            approval_id=call_id(self._step_index, asking.key, before),
            kind=asking.kind,
            step_index=self._step_index,
            key=asking.key,
            attempt_index=context.attempt_index,
            subject=asking.subject,
            arguments=asking.arguments,
            arguments_digest=asking.digest,
            approvers=asking.approvers,
            expires_at=asking.expires_at,
            facts=json.dumps(facts, separators=(",", ":")) if facts else None,
        )


def policy_of(tool: Tool) -> Approval | None:
    """Return the tool's policy; a tool that says nothing of it needs no approval."""
    policy = getattr(tool, "approval", None)
    if policy is None or isinstance(policy, Approval):
        return policy
    raise BadInput(f"the `approval` of tool `{tool.name}` is {policy!r:.60}", hint="it is an Approval(…), or None")


def asking_of(
    key: str,
    question: str,
    approvers: tuple[str, ...],
    expires: float | dt.timedelta | dt.datetime | None,
    now: float,
) -> Asking:
    """Return a question of the step's own; raises ``BadInput`` for one that nobody could answer."""
    from loom_core.values import digest, encode_json

    if not isinstance(question, str) or not question.strip():
        raise BadInput("ctx.ask: the question is empty", hint="say in a sentence what is to be decided")
    if not all(isinstance(name, str) and name for name in approvers):
        raise BadInput("ctx.ask: approvers are names", hint='approvers=("alice", "bob")')
    text = encode_json(question, "question")
    return Asking(
        kind="question",
        key=key,
        subject=question,
        arguments="{}",
        digest=digest(text),
        approvers=approvers,
        expires_at=_point_in_time(expires, now),
    )


def _point_in_time(expires: float | dt.timedelta | dt.datetime | None, now: float) -> float | None:
    if expires is None:
        return None
    if isinstance(expires, dt.datetime):
        if expires.tzinfo is None:
            raise BadInput("ctx.ask: `expires` has no time zone", hint="take it from ctx.now(), which is UTC")
        return expires.timestamp()
    seconds = expires.total_seconds() if isinstance(expires, dt.timedelta) else float(expires)
    if not seconds > 0 or math.isinf(seconds):
        raise BadInput(f"ctx.ask: `expires` is {seconds:g} s", hint="give seconds above 0, or None for no limit")
    return now + seconds


def _denied(asked: ApprovalRecord) -> ApprovalDenied:
    by = None if asked.decided_by is None else asked.decided_by.name
    return ApprovalDenied(asked.subject, asked.approval_id, by=by, note=asked.note)
