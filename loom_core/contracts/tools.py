"""Tools: an effect with a name, a JSON schema, and a declaration of what may be done when its end is unknown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import attrs

from loom_core.contracts.stores import Effect


@attrs.frozen(kw_only=True)
class ToolContext:
    """What a tool may know of the call it serves.

    ``key`` is the idempotency key: the same for every execution of the same call, unique over runs. ``epoch`` rises
    with every claim of the run, so that a resource that remembers it can refuse an older owner. ``deadline`` is Unix
    time, None without timeout.
    """

    run_id: str
    call_id: str
    key: str
    epoch: int
    deadline: float | None


@attrs.frozen
class Done:
    """``reconcile``'s answer: the effect happened, and this is its result."""

    result: object = None


@attrs.frozen
class NotDone:
    """``reconcile``'s answer: the effect certainly did not happen; the call is made again."""


@attrs.frozen
class Unknown:
    """``reconcile``'s answer: it cannot tell; a person decides."""


Reconciliation = Done | NotDone | Unknown


@attrs.frozen(kw_only=True)
class InterruptedCall:
    """The call in doubt that ``reconcile`` is asked about; ``arguments`` are as they were given, by parameter name."""

    context: ToolContext
    name: str
    arguments: Mapping[str, object]


Reconcile = Callable[[InterruptedCall], "Reconciliation | Awaitable[Reconciliation]"]


@attrs.frozen(kw_only=True)
class ToolResult:
    """What ``ToolRegistry.call_result`` returns instead of raising: ``value``, or ``error`` (its exception)."""

    ok: bool
    value: object = None
    error: BaseException | None = None


class Tool(Protocol):
    """A tool. ``loom_core.tool`` makes one from a typed function; plugins may implement it themselves.

    A tool that a person has to allow, call by call, also has ``approval`` (``loom_core.Approval``).
    """

    @property
    def name(self) -> str:
        """1–64 characters of ``[A-Za-z0-9_-]``."""
        ...

    @property
    def description(self) -> str:
        """What a model is told of it."""
        ...

    @property
    def parameters(self) -> Mapping[str, object]:
        """A JSON Schema of type ``object``."""
        ...

    @property
    def effect(self) -> Effect:
        """``read`` changes nothing; ``idempotent`` may be repeated under one key; ``once`` may not be repeated."""
        ...

    @property
    def timeout_s(self) -> float | None:
        """Seconds until a call counts as lost; None is no limit."""
        ...

    @property
    def reconcile(self) -> Reconcile | None:
        """Finds out what became of a call in doubt; None if nothing can."""
        ...

    @property
    def blocking(self) -> bool:
        """True if ``call`` does not return an awaitable and may block; the runtime then gives it a thread."""
        ...

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, object]:
        """Return the arguments by parameter name, validated and structured; raises ``ToolArgumentsInvalid``.

        Defaults are not filled in: what is bound is what is recorded.
        """
        ...

    def encode_arguments(self, arguments: Mapping[str, object]) -> object:
        """Return bound arguments as plain JSON data."""
        ...

    def encode_result(self, result: object) -> object:
        """Return a result as plain JSON data; raises ``ValueNotEncodable``."""
        ...

    def decode_result(self, data: object) -> object:
        """Return a recorded result as the value that the first call returned."""
        ...

    def call(self, arguments: Mapping[str, object], context: ToolContext) -> object:
        """Execute. Returns the result, or an awaitable of it if the tool is not ``blocking``."""
        ...
