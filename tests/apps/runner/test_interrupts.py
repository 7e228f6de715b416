"""Signals in process: who is told, what is raised, and that everything is as before afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from loom_cli.interrupts import NOTICE, Stopper, run_interruptible
from loom_cli.output import Output


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    with open(tmp_path / "stderr", "w") as stderr:
        yield Output.of_process(sys.stdout, stderr, {})


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_first_signal_reaches_the_callback_and_the_result_is_returned(output: Output, tmp_path: Path) -> None:
    told: list[str] = []

    async def main(stopper: Stopper) -> str:
        stopper.on_stop(lambda: told.append("stop"))
        os.kill(os.getpid(), signal.SIGTERM)
        return "done"

    assert run_interruptible(main, output=output) == "done"
    assert told == ["stop"]
    assert (tmp_path / "stderr").read_text() == f"{NOTICE}\n"


def test_a_callback_that_comes_after_the_signal_is_called_at_once(output: Output) -> None:
    told: list[str] = []

    async def main(stopper: Stopper) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        stopper.on_stop(lambda: told.append("stop"))

    run_interruptible(main, output=output)
    assert told == ["stop"]


@pytest.mark.parametrize("waits", [True, False])
def test_the_second_signal_ends_the_coroutine_after_its_cleanup(output: Output, waits: bool) -> None:
    cleaned: list[str] = []

    async def main(_stopper: Stopper) -> None:
        try:
            if waits:
                loop = asyncio.get_running_loop()
                for _ in range(2):
                    loop.call_soon(os.kill, os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
        finally:
            cleaned.append("up")

    with pytest.raises(KeyboardInterrupt):
        run_interruptible(main, output=output)
    assert cleaned == ["up"]


def test_a_signal_that_is_ignored_stays_ignored(output: Output) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:

        async def main(_stopper: Stopper) -> bool:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
            return True

        assert run_interruptible(main, output=output)
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_runs_without_handlers(output: Output) -> None:
    results: list[int] = []

    async def main(_stopper: Stopper) -> int:
        return 5

    thread = threading.Thread(target=lambda: results.append(run_interruptible(main, output=output)))
    thread.start()
    thread.join()
    assert results == [5]
