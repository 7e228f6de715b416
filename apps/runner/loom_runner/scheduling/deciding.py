"""Which planned times are started: the catch-up policy says which of those that are over, the overlap policy when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs

from loom_core.contracts.schedules import ScheduleRecord
from loom_runner.scheduling.rules import Rule

ON_TIME_S = 60.0
"""A time that is over for no longer is not missed, only met late: a worker looks now and then, and restarts."""

MAX_BACKLOG = 100
"""More times than these are not caught up with, whatever the policy: a year of minutes is a mistake, not work."""


def decide(schedule: ScheduleRecord, rule: Rule, now: float) -> ScheduleRecord:
    """Return the schedule with every time up to ``now`` decided, or the same one if there is none.

    ``none`` starts what is not missed, ``one`` the newest, ``all`` each. What is not started is counted as skipped.
    """
    planned = _planned(schedule, rule, now)
    if not planned:
        return schedule
    chosen = planned
    if schedule.catch_up == "one":
        chosen = planned[-1:]
    elif schedule.catch_up == "none":
        chosen = [at for at in planned if now - at <= ON_TIME_S]
    room = max(0, MAX_BACKLOG - len(schedule.backlog))
    chosen = chosen[-room:] if room else []
    return attrs.evolve(
        schedule,
        decided_until=planned[-1],
        backlog=(*schedule.backlog, *chosen),
        skipped=schedule.skipped + len(planned) - len(chosen),
        version=schedule.version + 1,
    )


def drop_overlapping(schedule: ScheduleRecord) -> ScheduleRecord:
    """Return a schedule of overlap policy ``skip`` without what came due while its last run was under way."""
    return attrs.evolve(
        schedule, backlog=(), skipped=schedule.skipped + len(schedule.backlog), version=schedule.version + 1
    )


def after_start(schedule: ScheduleRecord) -> ScheduleRecord:
    """Return the schedule after the run of the first time of its backlog was started."""
    return attrs.evolve(
        schedule,
        backlog=schedule.backlog[1:],
        last_run_id=run_id_of(schedule.name, schedule.backlog[0]),
        started=schedule.started + 1,
        version=schedule.version + 1,
    )


def run_id_of(name: str, planned: float) -> str:
    """Return the id of the run of a planned time: the same for everybody, so that it is started once."""
    return f"{name}@{dt.datetime.fromtimestamp(planned, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _planned(schedule: ScheduleRecord, rule: Rule, now: float) -> Sequence[float]:
    """Return the times that are over and not decided, oldest first; of very many only the newest, and one more."""
    found: list[float] = []
    for at in rule.until(now):
        if at <= schedule.decided_until or len(found) > MAX_BACKLOG:
            break
        found.append(at)
    return found[::-1]
