"""Schedules: which runs are started when, as a store keeps it. Who reads the rule and starts them is not the store."""

from __future__ import annotations

from typing import Literal

import attrs

Overlap = Literal["skip", "queue", "allow"]
CatchUp = Literal["none", "one", "all"]


@attrs.frozen(kw_only=True)
class ScheduleRecord:
    """A schedule and how far it has come. All times are Unix seconds.

    ``rule`` is ``cron EXPRESSION`` or ``every SECONDS``; ``zone`` an IANA time zone that a cron expression is read in.
    ``input`` is the JSON text of the state that its runs start with, None for the agent's own.

    Every planned time up to ``decided_until`` is decided: it was started, skipped, or is in ``backlog``, which has
    those that are yet to be started, in order. ``last_run_id`` is the run that was started last. ``version`` is 1 for a
    new one and rises with every change.
    """

    name: str
    agent_name: str
    agent_reference: str | None
    rule: str
    zone: str = "UTC"
    overlap: Overlap = "skip"
    catch_up: CatchUp = "one"
    input: str | None = None
    created_at: float
    decided_until: float
    backlog: tuple[float, ...] = ()
    last_run_id: str | None = None
    started: int = 0
    skipped: int = 0
    version: int = 1
