"""An agent: a step function with a name, and everything a runner must know of it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import types
import typing
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs

from loom_core.contracts.budgets import Budget
from loom_core.contracts.retries import RetryPolicy
from loom_core.contracts.stores import AgentRecord
from loom_core.contracts.tools import Tool
from loom_core.errors import AgentLoadError

_NAME = attrs.validators.and_(attrs.validators.instance_of(str), attrs.validators.min_len(1))

Step = Callable[..., Awaitable[Any]]
"""``async def step(state, ctx) -> Continue | Complete | Sleep | Wait``."""


@attrs.frozen(kw_only=True)
class Agent:
    """A state machine that can be run durably.

    ``initial_state`` is a value or a function without parameters that makes one. ``state_type`` defaults to the hint
    of ``step``'s first parameter, ``result_type`` to plain JSON values. ``tools`` are tools or typed functions made by
    ``@tool``; they win over tools of the same name from plugins. ``budget`` is what each of its runs may spend.
    ``reference`` is filled in by the loader.
    """

    name: str = attrs.field(validator=_NAME)
    step: Step = attrs.field()
    initial_state: Any = None
    state_type: Any = None
    result_type: Any = None
    version: str = "1"
    tools: tuple[Tool, ...] = attrs.field(default=(), converter=tuple)
    retry_policy: RetryPolicy | None = None
    budget: Budget | None = None
    reference: str | None = None

    @step.validator
    def _is_async(self, _attribute: object, step: object) -> None:
        if not is_async_callable(step):
            raise AgentLoadError(
                f"the step of agent `{self.name}` is not an async function",
                hint="declare it as `async def step(state, ctx): …`",
            )

    def first_state(self) -> Any:
        """Return the state that a run without input starts with."""
        return self.initial_state() if callable(self.initial_state) else self.initial_state

    def record(self, schema_hash: str | None) -> AgentRecord:
        """Return what is stored of this agent with a run."""
        return AgentRecord(
            name=self.name,
            version=self.version,
            reference=self.reference,
            code_hash=code_hash(self.step),
            schema_hash=schema_hash,
        )


def is_async_callable(step: object) -> bool:
    """Return True for coroutine functions and for objects whose ``__call__`` is one, behind partials as well."""
    function = _function_of(step)
    return inspect.iscoroutinefunction(function)


def state_type_of(step: Step) -> Any:
    """Return the hint of the first parameter, ``object`` (plain JSON values) where there is none.

    A hint that cannot be resolved is an error rather than plain JSON: silently storing a state as something else
    than its author declared is how states come back changed.
    """
    function = _function_of(step)
    parameters = list(inspect.signature(step).parameters.values())
    if not parameters or parameters[0].annotation is inspect.Parameter.empty:
        return object
    # Only this hint: those of other parameters may be imported under TYPE_CHECKING and do not matter here.
    only = types.SimpleNamespace(__annotations__={"state": parameters[0].annotation})
    try:
        return typing.get_type_hints(
            only,
            globalns=getattr(function, "__globals__", {}),
            localns=_closure_of(function),
            include_extras=True,
        )["state"]
    except (NameError, TypeError, AttributeError) as error:
        raise AgentLoadError(
            f"the type hint of `{parameters[0].name}` in the agent's step cannot be resolved: {error}",
            hint="import the type at module level, or give Agent(state_type=…)",
        ) from error


def _function_of(step: Any) -> Any:
    """Return the function behind partials, decorators that keep ``__wrapped__``, and callable objects."""
    while isinstance(step, functools.partial):
        step = step.func
    if not inspect.isroutine(step):
        step = type(step).__call__
    return inspect.unwrap(step)


def _closure_of(function: Any) -> dict[str, Any]:
    """Return the closure's variables, those not assigned yet left out (``inspect.getclosurevars`` fails on them)."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    found: dict[str, Any] = {}
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=True):
        with contextlib.suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def code_hash(step: Step) -> str | None:
    """Return a hash of the source file that defines the step, None where there is no file."""
    try:
        source = inspect.getsourcefile(_function_of(step))
        content = Path(source).read_bytes() if source else None
    except (OSError, TypeError):
        return None
    return None if content is None else hashlib.blake2b(content, digest_size=16).hexdigest()
