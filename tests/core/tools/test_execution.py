"""Executing a tool: the loop is never blocked, time limits hold at once, and late ends are told once."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from typing import Any

import pytest

from loom_core.contracts.tools import Tool, ToolContext
from loom_core.tools import tool
from loom_core.tools.execution import execute

CONTEXT = ToolContext(run_id="r", call_id="0/0", key="k", epoch=1, deadline=None)
WHERE: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


class Late:
    """Collects what ``on_late`` is told, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, Any, str]] = []
        self.arrived = asyncio.Event()

    def __call__(self, result: Any, error: BaseException | None) -> None:
        self.told.append((result, error, threading.current_thread().name))
        self.arrived.set()


async def run(of: Tool, *, timeout_s: float | None = 30, on_late: Any = None, **arguments: Any) -> object:
    return await execute(of, arguments, CONTEXT, timeout_s=timeout_s, on_late=on_late)


def test_a_tool_that_blocks_for_seconds_times_out_at_once_and_does_not_block_the_loop() -> None:
    release = threading.Event()

    @tool
    def block() -> str:
        release.wait(8)
        return "late"

    async def main() -> None:
        late, loop, ticks = Late(), asyncio.get_running_loop(), 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = loop.create_task(tick())
        began = loop.time()
        with pytest.raises(TimeoutError, match=r"tool `block` did not end within 0\.05 s"):
            await run(block, timeout_s=0.05, on_late=late)
        assert loop.time() - began < 4
        assert ticks > 10
        assert late.told == []
        release.set()
        await asyncio.wait_for(late.arrived.wait(), 30)
        ticking.cancel()
        assert late.told == [("late", None, threading.current_thread().name)]

    asyncio.run(main())


def test_the_late_exception_of_a_tool_is_told_too() -> None:
    release = threading.Event()

    @tool
    def block() -> None:
        release.wait(30)
        raise LookupError("gone")

    async def main() -> None:
        late = Late()
        with pytest.raises(TimeoutError):
            await run(block, timeout_s=0.01, on_late=late)
        release.set()
        await asyncio.wait_for(late.arrived.wait(), 30)
        ((result, error, _),) = late.told
        assert (result, type(error), error.args) == (None, LookupError, ("gone",))

    asyncio.run(main())


def test_cancellation_reaches_the_caller_at_once_and_the_end_is_told_later() -> None:
    release, entered = threading.Event(), threading.Event()

    @tool
    def block() -> int:
        entered.set()
        release.wait(30)
        return 7

    async def main() -> None:
        late = Late()
        task = asyncio.create_task(run(block, on_late=late))
        while not entered.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        await asyncio.wait_for(late.arrived.wait(), 30)
        assert late.told[0][0] == 7

    asyncio.run(main())


def test_an_end_that_arrives_together_with_the_cancellation_is_not_lost() -> None:
    @tool
    def quick() -> int:
        return 7

    async def main() -> None:
        late, loop = Late(), asyncio.get_running_loop()
        task = loop.create_task(run(quick, on_late=late))
        deliver = loop.call_soon_threadsafe
        handed_over = threading.Event()

        def cancel_in_the_same_turn(callback: Any, *args: Any, **kwargs: Any) -> Any:
            def both() -> None:
                callback(*args)
                task.cancel()
                handed_over.set()

            return deliver(both, **kwargs)

        loop.call_soon_threadsafe = cancel_in_the_same_turn  # type: ignore[method-assign, assignment]
        with pytest.raises(asyncio.CancelledError):
            await task
        assert handed_over.is_set()
        assert [told[:2] for told in late.told] == [(7, None)]

    asyncio.run(main())


def test_a_loop_that_was_closed_is_told_nothing_and_nothing_is_raised() -> None:
    release, ended, raised = threading.Event(), threading.Event(), []

    @tool
    def block() -> None:
        release.wait(30)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await run(block, timeout_s=0.01)

    def watch(arguments: Any) -> None:
        raised.append(arguments.exc_value)

    hook, threading.excepthook = threading.excepthook, watch
    try:
        asyncio.run(main())
        (thread,) = [one for one in threading.enumerate() if one.name == "loom-tool-block"]
        release.set()
        thread.join(30)
        ended.set()
    finally:
        threading.excepthook = hook
    assert not thread.is_alive()
    assert raised == []


def test_results_exceptions_and_context_variables_cross_the_thread() -> None:
    @tool
    def where(fail: bool) -> str:
        if fail:
            raise KeyError(WHERE.get())
        found = WHERE.get()
        WHERE.set("changed in the thread")
        return f"{found} {threading.current_thread() is threading.main_thread()} {threading.current_thread().daemon}"

    async def main() -> None:
        WHERE.set("here")
        assert await run(where, fail=False) == "here False True"
        assert WHERE.get() == "here"
        with pytest.raises(KeyError) as raised:
            await run(where, fail=True)
        assert raised.value.args == ("here",)

    asyncio.run(main())


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), StopIteration(4), asyncio.CancelledError()])
def test_what_would_end_the_loop_ends_the_call_only(raised: BaseException) -> None:
    @tool
    def leave() -> None:
        raise raised

    async def main() -> None:
        with pytest.raises(RuntimeError, match=f"tool `leave` raised {type(raised).__name__}") as error:
            await run(leave)
        assert error.value.__cause__ is raised

    asyncio.run(main())


def test_an_async_tool_runs_in_the_callers_thread_and_is_cancelled_by_its_timeout() -> None:
    cancelled: list[bool] = []

    @tool
    async def forever() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(threading.current_thread() is threading.main_thread())
            raise

    with pytest.raises(TimeoutError, match="tool `forever` did not end"):
        asyncio.run(run(forever, timeout_s=0.01))
    assert cancelled == [True]


def test_a_timeout_of_the_tools_own_keeps_its_words() -> None:
    @tool
    async def ask() -> None:
        raise TimeoutError("the server was silent")

    with pytest.raises(TimeoutError, match=r"^the server was silent$"):
        asyncio.run(run(ask))


def test_a_sync_tool_that_returns_an_awaitable_is_awaited() -> None:
    async def answer() -> int:
        return 42

    @tool
    def ask() -> Any:
        return answer()

    assert asyncio.run(run(ask)) == 42


def test_an_awaitable_that_comes_too_late_is_closed_and_told_as_an_error() -> None:
    release = threading.Event()

    async def answer() -> int:
        return 42

    @tool
    def ask() -> Any:
        release.wait(30)
        return answer()

    async def main() -> None:
        late = Late()
        with pytest.raises(TimeoutError):
            await run(ask, timeout_s=0.01, on_late=late)
        release.set()
        await asyncio.wait_for(late.arrived.wait(), 30)
        assert late.told[0][0] is None
        assert isinstance(late.told[0][1], RuntimeError)

    asyncio.run(main())


def test_many_blocking_calls_run_at_once() -> None:
    everyone = threading.Barrier(40)

    @tool
    def meet() -> bool:
        everyone.wait(30)
        return True

    async def main() -> list[object]:
        return await asyncio.gather(*(run(meet) for _ in range(40)))

    assert asyncio.run(main()) == [True] * 40


def test_the_end_of_the_process_does_not_wait_for_a_blocked_tool() -> None:
    program = """
import asyncio, threading
from loom_core.tools import ToolRegistry
registry = ToolRegistry()

@registry.tool("block", timeout_s=0.05)
def block():
    threading.Event().wait(600)

async def main():
    result = await registry.call_result("block")
    print(type(result.error).__name__)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("TimeoutError\n", "")
