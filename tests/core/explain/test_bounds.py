"""However long or hostile a run is, its explanation stays short, narrow, cheap and harmless."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from loom_core.contracts.stores import Settlement
from loom_core.runtime.explain.lines import MAX_LINES
from loom_core.runtime.explain.reading import HEAD, MAX_OF_STEP, PAGE, TAIL
from loom_core.runtime.explain.text import _columns
from tests.core.explain.support import Scene, end, error, play, text_of

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202eevil\u2066\u200b\r\n\x00\x9b31m\ud800 家" * 5


class CountingStore:
    """Passes questions on and counts them and what was answered."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.location = store.location
        self.reads = 0
        self.rows = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            answer = await method(*args, **kwargs)
            self.reads += 1
            self.rows += len(answer) if isinstance(answer, (list, tuple)) else 1
            return answer

        return counted


async def counted(scene: Scene, **options: Any) -> tuple[Any, CountingStore]:
    store = CountingStore(scene.store)
    told = await Scene(scene.clocks, store, scene.writer, "r").explained(**options)  # type: ignore[arg-type]
    return told, store


def test_quiet_steps_cost_no_reads_however_many_there_are() -> None:
    async def reads(steps: int) -> tuple[int, int]:
        scene = await Scene.begin()
        await scene.commit(*range(steps))
        told, store = await counted(scene)
        assert f"{steps:,} steps without calls" in text_of(told)
        return store.reads, store.rows

    assert play(lambda: reads(100)) == play(lambda: reads(5000))


def test_a_run_with_a_call_in_every_step_is_read_at_its_ends_only() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        for step in range(2000):
            await scene.call(step, end(step), name="look", effect="read")
            await scene.commit(step)
        told, store = await counted(scene)
        assert store.reads < 30
        assert store.rows < 5 * (HEAD + TAIL)
        lines = told.lines()
        assert len(lines) == MAX_LINES
        assert told.left_out.calls == 2000 - HEAD - TAIL
        assert sum("folded" in line for line in lines) == 1
        assert any(" step 0" in line for line in lines)
        assert any(" step 1,999" in line for line in lines)
        whole = (await scene.explained(everything=True)).lines(all=True)
        assert sum("call " in line for line in whole) >= 2000
        assert not any("folded" in line for line in whole)

    play(main)


def test_an_old_doubt_is_found_behind_thousands_of_calls() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.commit(*range(100))
        for step in range(100, 1100):
            ended = end(step, "unknown") if step == 600 else end(step)
            await scene.call(step, ended)
            await scene.commit(step)
        told = await scene.explained()
        assert [d.call_id for d in told.in_doubt] == ["600/0"]

    play(main)


def test_all_calls_of_the_step_that_comes_next_are_weighed() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        for branch in range(HEAD + 2 * TAIL):
            await scene.call(0, end(0, key=f"g0.{branch}/0"), key=f"g0.{branch}/0")
        await scene.writer.settle(Settlement(step_index=0, status="paused", reason="interrupt"))
        told = await scene.explained()
        assert f"{HEAD + 2 * TAIL} finished calls of it will not be made again" in text_of(told)

    assert MAX_OF_STEP > HEAD + 2 * TAIL
    play(main)


def test_signals_without_end_are_counted_in_few_reads() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        for index in range(3000):
            await scene.store.send_signal("r", "s", str(index))
        told, store = await counted(scene)
        assert store.reads < 60
        payloads = [e.payload for e in told.timeline if e.kind == "signal"]
        assert (payloads[0], payloads[-1]) == ("0", "2999")
        assert told.left_out.signals == 3000 - HEAD - TAIL

    play(main)


def test_many_doubts_failures_and_retries_stay_within_the_limit() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        for branch in range(150):
            await scene.call(0, end(0, "unknown", key=f"g0.{branch}/0"), key=f"g0.{branch}/0")
        for attempt in range(300):
            await scene.fail_attempt(0, attempt)
        await scene.writer.settle(Settlement(step_index=0, status="waiting", reason="doubt:0/g0.0/0"))
        told = await scene.explained()
        assert len(told.in_doubt) == 150
        assert len(told.lines(width=40)) <= MAX_LINES

    play(main)


@pytest.mark.parametrize("width", [40, 77, 120])
def test_hostile_text_is_escaped_and_every_line_is_cut(width: int) -> None:
    async def main() -> None:
        scene = await Scene.begin()
        await scene.call(0, end(0, result=f'"{HOSTILE}"'), name="look", arguments=f'{{"x": "{HOSTILE}"}}')
        await scene.commit(0)
        await scene.store.send_signal("r", f"go{HOSTILE}", f'"{HOSTILE}"')
        await scene.call(1, end(1, "unknown", error=error(HOSTILE, HOSTILE)), idempotency_key=HOSTILE)
        attempt = await scene.fail_attempt(1, 0, delay_s=None)
        failed = Settlement(step_index=1, status="failed", error=error("E", HOSTILE), attempt=attempt)
        await scene.writer.settle(failed)
        for line in (await scene.explained()).lines(width=width):
            assert sum(map(_columns, line)) <= width
            assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]

    play(main)


def test_everything_reads_in_pages() -> None:
    async def main() -> None:
        scene = await Scene.begin()
        for index in range(PAGE + 1):
            await scene.store.send_signal("r", "s", str(index))
        told = await scene.explained(everything=True)
        assert sum(e.kind == "signal" for e in told.timeline) == PAGE + 1

    play(main)
