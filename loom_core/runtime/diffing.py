"""What two runs have in common, and where they part: state by state, call by call.

Both are read in pages, side by side, so that memory does not grow with their length; states are read only where their
digests differ. Times, owners, epochs, attempts and ids are not compared: two runs are the same if they did the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import attrs

from loom_core.contracts.stores import CallRecord, ErrorRecord, RunRecord, StepRecord, Store
from loom_core.runtime.json_differences import differing

What = Literal["state", "outcome", "call", "steps", "result", "error"]
MAX_TOLD = 100
MAX_PATHS = 8
"""Places that are named of one state or one call."""

_PAGE = 500


@attrs.frozen(kw_only=True)
class Difference:
    """One thing that differs at a step (-1: the first state). ``path`` is the place, as in ``state.items[3].price``.

    ``a`` and ``b`` are JSON texts or words, None for what is not there.
    """

    step_index: int
    what: What
    path: str
    a: str | None
    b: str | None
    call_id: str | None = None


@attrs.frozen(kw_only=True)
class RunDiff:
    """Two runs compared, from step ``first`` on: a fork is compared with its source from where it began.

    ``differences`` are in the order of steps, at most ``MAX_TOLD``; ``more`` counts further ones. ``steps`` and
    ``calls`` were compared; ``unkept`` steps could not be, because one of the histories no longer has them.
    """

    a: RunRecord
    b: RunRecord
    first: int
    steps: int
    calls: int
    unkept: int
    differences: tuple[Difference, ...]
    more: int

    @property
    def same(self) -> bool:
        """True if nothing differs."""
        return not self.differences


async def diff_runs(store_a: Store, run_a: str, store_b: Store, run_b: str) -> RunDiff:
    """Compare two runs, of one store or of two. Raises ``RunNotFound``."""
    a, b = await store_a.get_run(run_a), await store_b.get_run(run_b)
    comparison = _Comparison(store_a, store_b, a, b)
    await comparison.compare_steps()
    await comparison.compare_calls()
    comparison.compare_ends()
    return comparison.outcome()


@attrs.frozen
class _StepCalls:
    """The last try of each call that a step made, by its key."""

    step_index: int
    calls: dict[str, CallRecord]


class _Comparison:
    def __init__(self, store_a: Store, store_b: Store, a: RunRecord, b: RunRecord) -> None:
        self._stores = (store_a, store_b)
        self._a, self._b = a, b
        self._first = max(_begins(a), _begins(b))
        self._common = min(a.step_index, b.step_index)
        self._steps = self._calls = self._unkept = self._more = 0
        self._found: list[tuple[int, int, Difference]] = []

    def outcome(self) -> RunDiff:
        found = [difference for _, _, difference in sorted(self._found, key=lambda entry: entry[:2])]
        return RunDiff(
            a=self._a,
            b=self._b,
            first=self._first,
            steps=self._steps,
            calls=self._calls,
            unkept=self._unkept,
            differences=tuple(found[:MAX_TOLD]),
            more=self._more + len(found[MAX_TOLD:]),
        )

    async def compare_steps(self) -> None:
        """Compare the states and outcomes of the steps that both runs have committed."""
        streams = [self._kept(store, run) for store, run in zip(self._stores, (self._a, self._b), strict=True)]
        a, b = [await anext(stream, None) for stream in streams]
        while a is not None or b is not None:
            if a is not None and b is not None and a.step_index == b.step_index:
                await self._compare_step(a, b)
                a, b = await anext(streams[0], None), await anext(streams[1], None)
                continue
            self._unkept += 1
            if b is None or (a is not None and a.step_index < b.step_index):
                a = await anext(streams[0], None)
            else:
                b = await anext(streams[1], None)

    async def compare_calls(self) -> None:
        """Compare the last try of each call, step by step."""
        streams = [self._by_step(store, run) for store, run in zip(self._stores, (self._a, self._b), strict=True)]
        a, b = [await anext(stream, None) for stream in streams]
        while a is not None or b is not None:
            step_index = min(each.step_index for each in (a, b) if each is not None)
            made_a = a.calls if a is not None and a.step_index == step_index else {}
            made_b = b.calls if b is not None and b.step_index == step_index else {}
            for key in dict.fromkeys((*made_a, *made_b)):
                self._calls += 1
                self._compare_call(step_index, made_a.get(key), made_b.get(key))
            if made_a:
                a = await anext(streams[0], None)
            if made_b:
                b = await anext(streams[1], None)

    def compare_ends(self) -> None:
        """Compare how far the runs came, and with what they ended."""
        a, b = self._a, self._b
        if a.step_index != b.step_index:
            self._add(self._common, 3, "steps", "steps", str(a.step_index), str(b.step_index))
            return
        if a.status == b.status == "completed" and a.result != b.result:
            self._add_paths(a.step_index - 1, 3, "result", "result", a.result, b.result)
        if _said(a.error) != _said(b.error):
            self._add(a.step_index, 3, "error", "error", _said(a.error), _said(b.error))

    async def _compare_step(self, a: StepRecord, b: StepRecord) -> None:
        self._steps += 1
        step_index = a.step_index
        if a.outcome != b.outcome and step_index >= self._first:
            self._add(step_index, 1, "outcome", "outcome", a.outcome, b.outcome)
        if a.digest == b.digest or "complete" in (a.outcome, b.outcome):
            return
        if len(self._found) >= 2 * MAX_TOLD:
            self._more += 1
            return
        texts = [
            (await store.get_steps(run.run_id, first=step_index, limit=1, states=True))[0].state
            for store, run in zip(self._stores, (self._a, self._b), strict=True)
        ]
        self._add_paths(step_index, 2, "state", "state", *texts)

    def _compare_call(self, step_index: int, a: CallRecord | None, b: CallRecord | None) -> None:
        one = a or b
        assert one is not None
        name = one.call_id
        if a is None or b is None:
            self._add(step_index, 0, "call", "call", _made(a), _made(b), name)
        elif (a.name, a.kind) != (b.name, b.kind):
            self._add(step_index, 0, "call", "name", a.name, b.name, name)
        elif a.arguments_digest != b.arguments_digest:
            self._add_paths(step_index, 0, "call", "arguments", a.arguments, b.arguments, name)
        elif a.status != b.status:
            self._add(step_index, 0, "call", "status", a.status, b.status, name)
        elif a.result != b.result:
            self._add_paths(step_index, 0, "call", "result", a.result, b.result, name)
        elif _said(a.error) != _said(b.error):
            self._add(step_index, 0, "call", "error", _said(a.error), _said(b.error), name)

    def _add_paths(
        self, step_index: int, rank: int, what: What, root: str, a: str | None, b: str | None, call: str | None = None
    ) -> None:
        places = list(_places(root, a, b))
        for path, in_a, in_b in places:
            self._add(step_index, rank, what, path, in_a, in_b, call)

    def _add(
        self, step_index: int, rank: int, what: What, path: str, a: str | None, b: str | None, call: str | None = None
    ) -> None:
        if len(self._found) >= 4 * MAX_TOLD:
            self._more += 1
            return
        found = Difference(step_index=step_index, what=what, path=path, a=a, b=b, call_id=call)
        self._found.append((step_index, rank, found))

    async def _kept(self, store: Store, run: RunRecord) -> AsyncIterator[StepRecord]:
        at = self._first - 1
        while at < self._common:
            page = await store.get_steps(run.run_id, first=at, limit=_PAGE)
            for step in page:
                if step.step_index < self._common:
                    yield step
            if len(page) < _PAGE:
                return
            at = page[-1].step_index + 1

    async def _by_step(self, store: Store, run: RunRecord) -> AsyncIterator[_StepCalls]:
        """Yield the last try of each key of each step that made calls."""
        calls: dict[str, CallRecord] = {}
        at, offset = -1, 0
        while True:
            page = await store.get_calls(run.run_id, limit=_PAGE, offset=offset)
            for call in page:
                if call.step_index < self._first:
                    continue
                if call.step_index >= self._common and self._a.step_index != self._b.step_index:
                    # Only one of them has come so far, which is a difference by itself.
                    page = ()
                    break
                if call.step_index != at and calls:
                    yield _StepCalls(at, calls)
                    calls = {}
                at = call.step_index
                calls[call.key] = call
            if len(page) < _PAGE:
                break
            offset += _PAGE
        if calls:
            yield _StepCalls(at, calls)


def _begins(record: RunRecord) -> int:
    return 0 if record.origin is None else record.origin.forked_step or 0


def _said(error: ErrorRecord | None) -> str | None:
    return None if error is None else f"{error.type}: {error.message}"


def _made(call: CallRecord | None) -> str | None:
    return None if call is None else f"{call.name}({call.arguments}) {call.status}"


def _places(root: str, a: str | None, b: str | None) -> Iterator[tuple[str, str | None, str | None]]:
    if a is None or b is None:
        yield root, a, b
        return
    count = 0
    for place in differing(root, a, b):
        count += 1
        yield place
        if count == MAX_PATHS:
            return
    if not count:
        # The same data, written differently.
        yield root, a, b
