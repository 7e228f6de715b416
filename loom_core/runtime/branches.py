"""Branches of a step: who may make managed calls, and under which keys.

A managed call is recorded under run / step / branch path / ordinal. Ordinals are counted per scope, and a scope belongs
to one task, so that they do not depend on how concurrent tasks happen to interleave. The step's own task has the root
scope; each coroutine given to ``ctx.gather`` gets one of its own, ``g<gather>.<branch>/``, nested as they are nested.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs

from loom_core.errors import LoomError, ManagedCallOutsideBranch
from loom_core.runtime.outcomes import Parked, RunCancelled

if TYPE_CHECKING:
    from loom_core.runtime.context import RunContext

_LEAVING = (Parked, RunCancelled)
_SCOPE: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("loom_scope", default=None)


@attrs.define(eq=False)
class Scope:
    """Counts the managed calls, facts and gathers of one task in one step."""

    context: RunContext
    path: str
    task: asyncio.Task[Any] | None
    told_of_cancellation: bool = attrs.field(default=False, init=False)
    _calls: int = attrs.field(default=0, init=False)
    _facts: int = attrs.field(default=0, init=False)
    _gathers: int = attrs.field(default=0, init=False)

    def next_call(self) -> str:
        """Return the key of the next managed call."""
        self._calls += 1
        return f"{self.path}{self._calls - 1}"

    def next_fact(self) -> str:
        """Return the name of the next fact."""
        self._facts += 1
        return f"{self.path}{self._facts - 1}"

    def next_gather(self) -> str:
        """Return the path prefix of the branches of the next gather."""
        self._gathers += 1
        return f"{self.path}g{self._gathers - 1}."


def current_scope(context: RunContext, key: str | None, parameter: str | None) -> Scope:
    """Return the scope of the running task; a call with a key of its own may come from any task.

    Raises ``ManagedCallOutsideBranch`` for any other task: its calls would be numbered by the scheduler's mood.
    """
    scope = _SCOPE.get()
    if scope is None or scope.context is not context:
        scope = context.root
    if key is not None or scope.task is asyncio.current_task():
        return scope
    way_out = f", or give the call a {parameter}= of its own" if parameter else ""
    raise ManagedCallOutsideBranch(
        f"run `{context.run_id}` step {context.step_index}: ctx was used in a task that it does not know",
        hint=f"run concurrent work with `await ctx.gather(a(), b())`{way_out} "
        "(on Python 3.11 asyncio.wait_for makes a task: use asyncio.timeout)",
    )


async def gather(
    context: RunContext,
    scope: Scope,
    coros: Sequence[Coroutine[Any, Any, Any]],
    *,
    limit: int | None,
    on_error: Literal["fail", "collect"],
) -> list[Any]:
    """Run ``coros`` as branches of ``scope``; see ``RunContext.gather``."""
    if (limit is not None and limit < 1) or on_error not in ("fail", "collect"):
        for coro in coros:
            coro.close()
        raise LoomError("ctx.gather: limit is at least 1, on_error is 'fail' or 'collect'")
    prefix = scope.next_gather()
    results: list[Any] = [None] * len(coros)
    errors: list[BaseException] = []
    waiting = iter(enumerate(coros))

    def may_start() -> bool:
        return not errors or (on_error == "collect" and not any(isinstance(e, _LEAVING) for e in errors))

    async def work_off() -> None:
        """Take branch after branch; as many of these run as branches may run at once."""
        for index, coro in waiting:
            if not may_start():
                coro.close()
                continue
            _SCOPE.set(Scope(context, f"{prefix}{index}/", asyncio.current_task()))
            try:
                results[index] = await coro
            except asyncio.CancelledError:
                raise
            except (Exception, *_LEAVING) as error:  # noqa: BLE001 - reported to the caller as on_error says
                errors.append(error)
                results[index] = error

    tasks = [asyncio.create_task(work_off()) for _ in range(min(limit or len(coros), len(coros)))]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, coro in waiting:
            coro.close()
        raise
    leaving = next((e for e in errors if isinstance(e, _LEAVING)), None)
    if leaving is not None:
        # The branches were told; what this task calls from now on is its clean-up.
        scope.told_of_cancellation = scope.told_of_cancellation or isinstance(leaving, RunCancelled)
        raise leaving
    if errors and on_error == "fail":
        raise errors[0]
    return results
