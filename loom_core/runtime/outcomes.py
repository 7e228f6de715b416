"""What a step returns, and the signal by which it is left in its middle."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import attrs

from loom_core.contracts.people import CONTROL_PREFIX, ApprovalRequest

S = TypeVar("S")
R = TypeVar("R")


_NAME = attrs.validators.and_(attrs.validators.instance_of(str), attrs.validators.min_len(1))


def _no_control(_outcome: object, _attribute: object, name: str) -> None:
    if name.startswith(CONTROL_PREFIX):
        raise ValueError(
            f"a signal cannot be named `{name}`: names that begin with `{CONTROL_PREFIX}` are the runtime's"
        )


class Continue(Generic[S]):
    """Go on with ``state`` in the next step.

    A plain slotted class: one is made at every step, and this costs half of what a frozen record does.
    """

    __slots__ = ("state",)

    def __init__(self, state: S) -> None:
        self.state = state

    def __init_subclass__(cls) -> None:
        raise TypeError("Continue cannot be subclassed: what a step adds to its outcome belongs into the state")

    def __repr__(self) -> str:
        return f"Continue({self.state!r})"


@attrs.frozen
class Complete(Generic[R]):
    """End the run with ``result``."""

    result: R = None  # type: ignore[assignment]


@attrs.frozen
class Wait(Generic[S]):
    """Commit ``state`` and wait for the signal of that name; the next step finds it in ``ctx.signal``."""

    state: S
    signal: str = attrs.field(kw_only=True, validator=[_NAME, _no_control])


class Parked(BaseException):
    """Leaves a step whose run has to wait in the step's middle; the step is executed again later.

    Derived from ``BaseException`` so that a step's ``except Exception`` cannot turn "a person must decide" into a
    failure. ``status`` and ``reason`` are what the run's row says afterwards, ``questions`` what is asked with it, and
    ``wake_at`` when it goes on without an answer. Caught by ``ActiveRun``, and carried out of branches by ``gather``.
    """

    def __init__(
        self,
        reason: str,
        status: Literal["waiting", "queued", "paused"] = "waiting",
        *,
        questions: tuple[ApprovalRequest, ...] = (),
        wake_at: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status: Literal["waiting", "queued", "paused"] = status
        self.questions = questions
        self.wake_at = wake_at


class RunCancelled(BaseException):
    """Raised by the next managed call of a step whose run somebody cancelled: clean up, and let it pass.

    Managed calls can be made while it is handled, until ``ctx.cancellation.deadline``; then the step's task is
    cancelled. Derived from ``BaseException`` so that ``except Exception`` does not take it for a failure: use
    ``finally``, or ``except RunCancelled``.
    """

    def __init__(self, by: str, note: str | None = None) -> None:
        super().__init__(f"the run was cancelled by {by}" + (f": {note}" if note else ""))
        self.by = by
        self.note = note
