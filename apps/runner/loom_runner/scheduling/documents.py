"""Schedules as JSON data, and in words."""

from __future__ import annotations

import datetime as dt
import json

import attrs

from loom_core.contracts.schedules import ScheduleRecord
from loom_core.errors import BadInput
from loom_runner.scheduling.rules import rule_of, zone_of


def next_time(schedule: ScheduleRecord) -> float | None:
    """Return the planned time after those that are decided; None if there is none, or its zone is not known here."""
    try:
        return rule_of(schedule.rule, schedule.zone, schedule.created_at).after(schedule.decided_until)
    except BadInput:
        return None


def when(schedule: ScheduleRecord) -> str:
    """Return the next planned time in the schedule's own zone."""
    at = next_time(schedule)
    if at is None:
        return "never"
    return f"{dt.datetime.fromtimestamp(at, zone_of(schedule.zone)):%Y-%m-%d %H:%M:%S %Z}"


def rule_words(schedule: ScheduleRecord) -> str:
    """Return the rule as it was given."""
    kind, _, rest = schedule.rule.partition(" ")
    return f"every {rest}s" if kind == "every" else f"{rest} ({schedule.zone})"


def schedule_data(schedule: ScheduleRecord) -> dict[str, object]:
    """Return a schedule as JSON data."""
    given = None if schedule.input is None else json.loads(schedule.input)
    return {**attrs.asdict(schedule), "input": given, "next_at": next_time(schedule)}
