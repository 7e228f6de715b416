"""Schedules: a few small rows, each replaced as a whole by whoever has read its newest version."""

from __future__ import annotations

import json

import apsw
import attrs

from loom_core.contracts.schedules import ScheduleRecord
from loom_store_sqlite.queries import all_rows


def save(connection: apsw.Connection, schedule: ScheduleRecord) -> bool:
    """Store a schedule in the place of the version before it; False if that is not the one that is stored."""
    body = json.dumps(attrs.asdict(schedule), ensure_ascii=False)
    if schedule.version == 1:
        connection.execute(
            "INSERT INTO schedules(name, created_at, version, body) VALUES(?, ?, 1, ?) ON CONFLICT DO NOTHING",
            (schedule.name, schedule.created_at, body),
        )
    else:
        connection.execute(
            "UPDATE schedules SET version = ?, body = ? WHERE name = ? AND created_at = ? AND version = ?",
            (schedule.version, body, schedule.name, schedule.created_at, schedule.version - 1),
        )
    return connection.changes() == 1


def listed(connection: apsw.Connection) -> list[ScheduleRecord]:
    """Return all schedules, by name."""
    return [_record(body) for (body,) in all_rows(connection, "SELECT body FROM schedules ORDER BY name")]


def remove(connection: apsw.Connection, name: str) -> bool:
    """Remove a schedule; False if there is none of that name."""
    connection.execute("DELETE FROM schedules WHERE name = ?", (name,))
    return connection.changes() == 1


def _record(body: str) -> ScheduleRecord:
    try:
        data = json.loads(body)
        return ScheduleRecord(**{**data, "backlog": tuple(data["backlog"])})
    except (ValueError, TypeError, KeyError) as error:
        raise apsw.CorruptError(f"a schedule cannot be read: {error}") from error
