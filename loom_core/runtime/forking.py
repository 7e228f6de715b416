"""Forks: a run that starts in the middle of another one, and what will happen again in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from shlex import quote

import attrs

from loom_core.contracts.stores import Admit, CallRecord, RunRecord, SignalRecord, Store
from loom_core.errors import BadInput, RunBusy, RunNotFound
from loom_core.runtime.admission import is_orphaned
from loom_core.runtime.owners import boot_clock, this_owner
from loom_core.runtime.run_ids import CHILD_MARK, MAX_CHARS, check_run_id

_PAGE = 1000
MAX_TOLD = 1000
"""Effects that a plan names one by one; the rest is counted."""


@attrs.frozen(kw_only=True)
class ForkPlan:
    """What a fork would do: ``effects`` are calls after its step that changed something and will be made again.

    A fork's calls have keys of their own, so that no system outside takes them for repetitions. ``more_effects`` counts
    those that are not named, ``model_calls`` answers that will be asked and paid for again.
    """

    run_id: str
    step_index: int
    new_id: str
    effects: tuple[CallRecord, ...]
    more_effects: int
    model_calls: int


async def plan_fork(store: Store, run_id: str, step_index: int, new_id: str | None = None) -> ForkPlan:
    """Say what would happen again; without ``new_id``, one that is free is chosen. Changes nothing.

    Raises ``RunNotFound``, and ``BadInput`` for a step whose state is not kept and an id that cannot be one.
    """
    await store.get_run(run_id)
    await store.get_state(run_id, step_index)
    if new_id is not None:
        check_run_id(new_id)
    effects, more, model_calls = await _made_from(store, run_id, step_index)
    return ForkPlan(
        run_id=run_id,
        step_index=step_index,
        new_id=new_id or await _free_id(store, run_id, step_index),
        effects=effects,
        more_effects=more,
        model_calls=model_calls,
    )


async def fork_run(
    store: Store,
    plan: ForkPlan,
    *,
    wall: Callable[[], float] = time.time,
    boot: Callable[[], float | None] = boot_clock,
) -> RunRecord:
    """Make the fork, and leave it queued; the run that it is made of is not changed.

    Raises ``RunBusy`` while a living owner holds that run, ``RunExists`` and ``BadInput``, with nothing changed.
    """
    return await store.fork_run(plan.run_id, plan.step_index, plan.new_id, this_owner(), _admission(wall, boot))


def _admission(wall: Callable[[], float], boot: Callable[[], float | None]) -> Admit:
    def admit(record: RunRecord, signal: SignalRecord | None) -> None:
        if record.status == "running" and not is_orphaned(record, wall_s=wall(), boot_s=boot()):
            raise RunBusy(
                record.run_id,
                str(record.owner),
                hint=f"wait for it or stop that process: loom-runner explain --run-id {quote(record.run_id)}",
            )

    return admit


async def _made_from(store: Store, run_id: str, step_index: int) -> tuple[tuple[CallRecord, ...], int, int]:
    """Return the effects from a step on, oldest first, the number of those that are too many, and of model calls."""
    found: dict[tuple[int, str], CallRecord] = {}
    keys: set[tuple[int, str]] = set()
    models = offset = 0
    while True:
        page = await store.get_calls(run_id, limit=_PAGE, offset=offset, newest=True)
        later = [call for call in page if call.step_index >= step_index]
        for call in later:
            place = (call.step_index, call.key)
            if call.kind == "model":
                models += 1
            elif call.effect != "read" and not call.not_started and place not in keys:
                keys.add(place)
                found[place] = call
                if len(found) > MAX_TOLD:
                    # The oldest are told: they come first when the fork goes on.
                    del found[next(iter(found))]
        if len(later) < _PAGE:
            effects = tuple(reversed(found.values()))
            return effects, len(keys) - len(effects), models
        offset += _PAGE


async def _free_id(store: Store, run_id: str, step_index: int) -> str:
    # The id of a child's run has a form that nobody else may choose.
    base = run_id.replace(CHILD_MARK, "-")
    for number in range(1, 1000):
        ending = f"-fork-{step_index}" + (f"-{number}" if number > 1 else "")
        name = base[: MAX_CHARS - len(ending)] + ending
        try:
            await store.get_run(name)
        except RunNotFound:
            return name
    raise BadInput(f"run `{run_id}` has a thousand forks at step {step_index}", hint="choose a name: --new-id ID")
