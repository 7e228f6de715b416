"""Following a run while it goes on: what is new in it, again and again, by reading only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import attrs

from loom_core.contracts.stores import CallRecord, RunRecord, StepRecord, Store

PAGE = 500
Pause = Callable[[], Awaitable[None]]


@attrs.frozen(kw_only=True)
class News:
    """What is new of a run since the last look: its row now, steps in order, calls that began or ended.

    ``skipped`` counts steps that were committed in between and that the history no longer has.
    """

    record: RunRecord
    steps: tuple[StepRecord, ...]
    calls: tuple[CallRecord, ...]
    skipped: int


async def follow(store: Store, run_id: str, *, since: int, pause: Pause) -> AsyncIterator[News]:
    """Yield what is new of a run, first what there is from step ``since`` on, then only what changes.

    Yields whenever the run's own row has changed, its lease apart; ``pause`` is awaited between two looks. Never ends
    by itself: whoever has seen enough stops. Raises ``RunNotFound``.
    """
    known: dict[tuple[int, str, int], CallRecord] = {}
    seen: RunRecord | None = None
    at = since
    while True:
        record = await store.get_run(run_id)
        if seen is None or _sketch(record) != _sketch(seen):
            steps = await _steps(store, record, at)
            calls = await _calls(store, record, since, known)
            yield News(record=record, steps=steps, calls=calls, skipped=max(record.step_index - at, 0) - len(steps))
            at, seen = max(record.step_index, at), record
            # Calls of committed steps do not change any more.
            for place in [p for p in known if p[0] < record.step_index - 1]:
                del known[place]
            since = max(since, record.step_index - 1)
        await pause()


def _sketch(record: RunRecord) -> RunRecord:
    return attrs.evolve(record, lease=None, updated_at=0.0)


async def _steps(store: Store, record: RunRecord, first: int) -> tuple[StepRecord, ...]:
    found: list[StepRecord] = []
    at = first
    while at < record.step_index:
        page = await store.get_steps(record.run_id, first=at, limit=PAGE)
        found += [step for step in page if step.step_index < record.step_index]
        if len(page) < PAGE:
            break
        at = page[-1].step_index + 1
    return tuple(found)


async def _calls(
    store: Store, record: RunRecord, since: int, known: dict[tuple[int, str, int], CallRecord]
) -> tuple[CallRecord, ...]:
    """Return the calls of steps from ``since`` on that are not known as they are now, and remember them."""
    found: list[CallRecord] = []
    offset = 0
    while True:
        page = await store.get_calls(record.run_id, limit=PAGE, offset=offset, newest=True)
        found += [call for call in page if call.step_index >= since]
        if len(page) < PAGE or page[-1].step_index < since:
            break
        offset += PAGE
    news: list[CallRecord] = []
    for call in reversed(found):
        place = (call.step_index, call.key, call.try_index)
        if known.get(place) != call:
            known[place] = call
            news.append(call)
    return tuple(news)
