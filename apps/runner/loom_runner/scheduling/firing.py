"""Starts the runs of schedules: decide, start, note, each so that anybody may do it again.

    decide (which times, in one guarded write) ─► create the run (its id is the time) ─► note it (guarded)

Killed after any of these, the next worker finds the time in the backlog and starts it again: a run that is there
already is not started twice. Of two workers that decide at once, one write fails.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from loom_core.contracts.schedules import ScheduleRecord
from loom_core.contracts.stores import ENDED, Store
from loom_core.errors import RunExists, RunNotFound
from loom_core.runtime.runner import AgentRunner
from loom_runner.scheduling.deciding import after_start, decide, drop_overlapping, run_id_of
from loom_runner.scheduling.rules import rule_of

_log = logging.getLogger("loom.runner")

Started = Callable[[str], None]


@attrs.frozen
class Startable:
    """An agent whose runs can be started, and the state that they start with by themselves."""

    runner: AgentRunner
    first_state: Callable[[], Any]


class Ticker:
    """Fires the schedules of some agents. ``started`` is told the id of each run that it has started."""

    def __init__(
        self,
        store: Store,
        agents: Mapping[str, Startable],
        *,
        wall: Callable[[], float],
        started: Started = lambda _run_id: None,
    ) -> None:
        self._store = store
        self._agents = agents
        self._wall = wall
        self._started = started
        self._next: dict[tuple[str, int], float] = {}
        self._told: set[tuple[str, str]] = set()

    async def fire(self) -> None:
        """Start what is due. A schedule that cannot be fired is told of once, and keeps no other from being fired."""
        for schedule in await self._store.list_schedules():
            if schedule.agent_name in self._agents:
                try:
                    await self._fire(schedule)
                except Exception as error:  # noqa: BLE001 - an agent's own initial_state may raise anything
                    self._tell(schedule, error)

    async def _fire(self, schedule: ScheduleRecord) -> None:
        decided = await self._decided(schedule)
        while decided is not None and decided.backlog:
            if decided.overlap != "allow" and await self._is_under_way(decided.last_run_id):
                if decided.overlap == "skip":
                    await self._store.save_schedule(drop_overlapping(decided))
                return
            await self._start(decided)
            after = after_start(decided)
            # Somebody else has noted it, or the schedule was removed: the next look knows more.
            decided = after if await self._store.save_schedule(after) else None

    async def _decided(self, schedule: ScheduleRecord) -> ScheduleRecord | None:
        """Return the schedule as it is decided now; None if somebody else has just decided."""
        now = self._wall()
        key = (schedule.name, schedule.version)
        if self._next.get(key, now) > now:
            return schedule
        rule = rule_of(schedule.rule, schedule.zone, schedule.created_at)
        decided = decide(schedule, rule, now)
        if decided is not schedule:
            return decided if await self._store.save_schedule(decided) else None
        # Nothing is planned before this, so that nothing need be computed until then.
        following = rule.after(max(now, schedule.decided_until))
        self._next = {k: at for k, at in self._next.items() if k[0] != schedule.name}
        self._next[key] = float("inf") if following is None else following
        return schedule

    async def _start(self, schedule: ScheduleRecord) -> None:
        agent = self._agents[schedule.agent_name]
        run_id = run_id_of(schedule.name, schedule.backlog[0])
        state = agent.first_state() if schedule.input is None else agent.runner.read_state(schedule.input)
        try:
            await agent.runner.submit(run_id=run_id, initial_state=state)
        except RunExists:
            return
        self._started(run_id)

    async def _is_under_way(self, run_id: str | None) -> bool:
        if run_id is None:
            return False
        try:
            return (await self._store.get_run(run_id)).status not in ENDED
        except RunNotFound:
            return False

    def _tell(self, schedule: ScheduleRecord, error: Exception) -> None:
        what = (schedule.name, str(error))
        if what not in self._told:
            self._told.add(what)
            _log.warning("schedule %s cannot be fired: %s", json.dumps(schedule.name), error)
