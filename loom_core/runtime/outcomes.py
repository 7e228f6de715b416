"""What a step returns, and the signal by which it is left in its middle."""

from __future__ import annotations

import datetime as dt
from typing import Any, Generic, Literal, TypeVar

import attrs

from loom_core.contracts.people import CONTROL_PREFIX, ApprovalRequest

S = TypeVar("S")
R = TypeVar("R")


MAX_SPAN_S = 100 * 366 * 86_400.0
"""A hundred years: what is longer is a unit mistaken for another, and no calendar can show it."""

_NAME = attrs.validators.and_(attrs.validators.instance_of(str), attrs.validators.min_len(1))


def _no_control(_outcome: object, _attribute: object, name: str) -> None:
    if name.startswith(CONTROL_PREFIX):
        raise ValueError(
            f"a signal cannot be named `{name}`: names that begin with `{CONTROL_PREFIX}` are the runtime's"
        )


def _check_span(_outcome: object, field: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{field.name} is a number of seconds, not {value!r}")
    if not 0 <= value <= MAX_SPAN_S:
        raise ValueError(f"{field.name} is {value!r}; it has to be between 0 and a hundred years")


def _check_moment(_outcome: object, _field: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, dt.datetime):
        raise TypeError(f"until is a datetime, not {value!r}")
    if value.utcoffset() is None:
        raise ValueError("until has no time zone, so that nobody can say when it is: datetime.now(UTC) has one")


_SPAN = attrs.validators.optional(_check_span)
_MOMENT = attrs.validators.optional(_check_moment)


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
class Sleep(Generic[S]):
    """Commit ``state`` and go on later; the process need not live until then.

    ``seconds`` is a span of time: it is as long as it says whatever is done to the wall clock, also while the machine
    is suspended. ``until`` is a time of the calendar, a ``datetime`` with a time zone: it comes when the wall clock
    says so. Give one of them; a time that has passed is due at once.
    """

    state: S
    seconds: float | None = attrs.field(default=None, kw_only=True, validator=_SPAN)
    until: dt.datetime | None = attrs.field(default=None, kw_only=True, validator=_MOMENT)

    def __attrs_post_init__(self) -> None:
        if (self.seconds is None) == (self.until is None):
            raise ValueError("Sleep takes either seconds= or until=")


@attrs.frozen
class Wait(Generic[S]):
    """Commit ``state`` and wait for the signal of that name; the next step finds it in ``ctx.signal``.

    After ``timeout`` seconds the next step is executed without it, and ``ctx.signal.timed_out`` is true; a signal that
    comes later stays in the inbox.
    """

    state: S
    signal: str = attrs.field(kw_only=True, validator=[_NAME, _no_control])
    timeout: float | None = attrs.field(default=None, kw_only=True, validator=_SPAN)


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
