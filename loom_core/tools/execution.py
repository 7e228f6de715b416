"""Execute a tool: async ones on the loop, blocking ones on a daemon thread of their own.

The default executor is not used: it has few threads, and the interpreter waits for all of them at its exit. A thread
cannot be stopped, so a blocking call that was given up goes on; what becomes of it is told to ``on_late``.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from loom_core.contracts.tools import Tool, ToolContext
from loom_core.errors import NotStarted

OnLate = Callable[[Any | None, BaseException | None], None]


async def execute(
    tool: Tool,
    arguments: Mapping[str, object],
    context: ToolContext,
    *,
    timeout_s: float | None,
    on_late: OnLate | None = None,
) -> object:
    """Call ``tool`` with bound ``arguments`` and return its result, or raise what it raises.

    Raises ``TimeoutError`` after ``timeout_s`` (None: never). An async tool is cancelled then. A blocking one goes on
    in its thread; when it ends, ``on_late(result, exception)`` is called once, on the event loop's thread. The same
    holds if the awaiting task is cancelled. If the loop has been closed by then, nobody is left to be told, and the
    outcome is dropped. Raises ``NotStarted`` if there is no thread to be had. The event loop is never blocked.
    """
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            if tool.blocking:
                result = await _on_thread(tool, arguments, context, on_late)
            else:
                result = tool.call(arguments, context)
            if inspect.isawaitable(result):
                result = await cast("Awaitable[object]", result)
            return result
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"tool `{tool.name}` did not end within {timeout_s:g} s") from error


async def _on_thread(
    tool: Tool, arguments: Mapping[str, object], context: ToolContext, on_late: OnLate | None
) -> object:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[object] = loop.create_future()
    variables = contextvars.copy_context()

    def deliver(result: Any | None, error: BaseException | None) -> None:
        if ended.done():
            _tell(on_late, result, error)
        elif error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(result)

    def run() -> None:
        result, error = _outcome(tool, lambda: variables.run(tool.call, arguments, context))
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:
            # The loop was closed meanwhile: there is nobody left to tell.
            _discard(result)

    try:
        threading.Thread(target=run, name=f"loom-tool-{tool.name}", daemon=True).start()
    except RuntimeError as error:
        raise NotStarted(f"tool `{tool.name}` was not called: {error}") from error
    try:
        return await ended
    except asyncio.CancelledError:
        # The end may have arrived in the same turn of the loop as the cancellation, and would otherwise be lost.
        if ended.done() and not ended.cancelled():
            failure = ended.exception()
            _tell(on_late, None if failure is not None else ended.result(), failure)
        raise


def _outcome(tool: Tool, call: Callable[[], object]) -> tuple[Any | None, BaseException | None]:
    try:
        return call(), None
    except (StopIteration, StopAsyncIteration) as error:
        # A future refuses StopIteration; Python itself turns it into a RuntimeError where it would end a coroutine.
        return None, _caused(RuntimeError(f"tool `{tool.name}` raised {type(error).__name__}"), error)
    except Exception as error:  # noqa: BLE001 - a border: it is raised again where the call is awaited
        return None, error
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a tool ends the call, not the process
        return None, _caused(RuntimeError(f"tool `{tool.name}` raised {type(error).__name__}: {error}"), error)


def _caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def _tell(on_late: OnLate | None, result: Any | None, error: BaseException | None) -> None:
    if _discard(result):
        result, error = None, RuntimeError("it returned an awaitable after its time was up, which was not awaited")
    if on_late is not None:
        on_late(result, error)


def _discard(result: object) -> bool:
    """Close a coroutine that nobody will await; return whether there was anything to await."""
    if inspect.iscoroutine(result):
        result.close()
    return inspect.isawaitable(result)
