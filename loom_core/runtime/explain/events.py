"""What a timeline is made of: one frozen record for each kind of thing that happens to a run."""

from __future__ import annotations

from typing import ClassVar

import attrs

from loom_core.contracts.stores import CallKind, CallStatus, Effect


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened at ``at`` (Unix seconds; None where the store no longer knows)."""

    kind: ClassVar[str] = "event"
    at: float | None

    def to_data(self) -> dict[str, object]:
        """Return the event as JSON data."""
        return {"kind": self.kind, **attrs.asdict(self)}


@attrs.frozen(kw_only=True)
class Failure:
    """An error as it is shown. ``line`` is the place in the user's own code, None where the record has none."""

    type: str
    message: str
    category: str
    line: str | None = None

    def __str__(self) -> str:
        name = self.type.rpartition(".")[2]
        return f"{name}: {self.message}" if self.message else name


@attrs.frozen(kw_only=True)
class Created(Event):
    """The run was created, and claimed by its creator."""

    kind: ClassVar[str] = "created"
    owner: str | None


@attrs.frozen(kw_only=True)
class Claimed(Event):
    """A process took the run. ``found`` is the status it was found in, ``previous`` the owner before, if known."""

    kind: ClassVar[str] = "claimed"
    epoch: int
    step_index: int
    owner: str
    found: str
    previous: str | None


@attrs.frozen(kw_only=True)
class Stretch(Event):
    """Committed steps ``first`` to ``last`` told in one line; ``quiet`` if it is known that they made no calls."""

    kind: ClassVar[str] = "steps"
    first: int
    last: int
    seconds: float | None
    quiet: bool


@attrs.frozen(kw_only=True)
class StepBegan(Event):
    """The heading of a step that made calls, failed or was woken by a signal, whether it was committed or not.

    ``again`` if it had begun before, under an earlier claim. ``timed_out`` is the signal that it waited for in vain.
    """

    kind: ClassVar[str] = "step"
    step_index: int
    again: bool
    timed_out: str | None = None


@attrs.frozen(kw_only=True)
class StepCommitted(Event):
    """The step's outcome was committed; ``attempts`` is how many it took, ``seconds`` how long since the one before."""

    kind: ClassVar[str] = "committed"
    step_index: int
    outcome: str
    attempts: int
    seconds: float | None


@attrs.frozen(kw_only=True)
class CallMade(Event):
    """One execution of a managed call, and its end as it is recorded now."""

    kind: ClassVar[str] = "call"
    call_id: str
    step_index: int
    try_index: int
    call_kind: CallKind
    name: str
    effect: Effect
    arguments: str
    status: CallStatus
    result: str | None
    error: Failure | None
    not_started: bool
    seconds: float | None
    tokens_in: int
    tokens_out: int
    decided_by: str | None
    has_late_result: bool


@attrs.frozen(kw_only=True)
class CallDecided(Event):
    """A call in doubt was decided, by ``reconcile`` or by a person.

    ``claimed_by`` is the process that claimed the run for nothing but this decision, None if there is no such claim.
    """

    kind: ClassVar[str] = "decided"
    call_id: str
    name: str
    by: str
    decision: str
    claimed_by: str | None = None


@attrs.frozen(kw_only=True)
class AttemptFailed(Event):
    """An attempt of a step failed; ``delay_s`` is the wait before the next one, None if there was none."""

    kind: ClassVar[str] = "attempt_failed"
    step_index: int
    attempt_index: int
    seconds: float
    error: Failure
    delay_s: float | None


@attrs.frozen(kw_only=True)
class SignalCame(Event):
    """A signal arrived. ``consumed_by`` is the step that was woken by it, None while it is pending."""

    kind: ClassVar[str] = "signal"
    name: str
    payload: str
    consumed_by: int | None
    by: str | None = None


@attrs.frozen(kw_only=True)
class Questioned(Event):
    """The run asked people a question and was parked. ``who_may`` says who may answer, and until when."""

    kind: ClassVar[str] = "question"
    question_id: str
    question: str
    who_may: str


@attrs.frozen(kw_only=True)
class QuestionSettled(Event):
    """A question got its answer, or nobody can answer it any more. ``used_at`` is when its call was made."""

    kind: ClassVar[str] = "answer"
    question_id: str
    decision: str
    by: str | None
    note: str | None
    used_at: float | None


@attrs.frozen(kw_only=True)
class Wished(Event):
    """Somebody wanted the run paused or cancelled. ``taken_up`` is the step before or in which that was heard."""

    kind: ClassVar[str] = "wish"
    wants: str
    by: str
    note: str | None
    taken_up: int | None


@attrs.frozen(kw_only=True)
class Said(Event):
    """What the person said in a conversation. ``consumed_by`` is the step that took it up, None while none has."""

    kind: ClassVar[str] = "said"
    text: str
    consumed_by: int | None


@attrs.frozen(kw_only=True)
class Left(Event):
    """The run was left: ended, parked or paused."""

    kind: ClassVar[str] = "left"
    status: str
    words: str
