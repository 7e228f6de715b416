"""`loom-runner schedule list`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.contracts.schedules import ScheduleRecord
from loom_runner.reading import with_store
from loom_runner.scheduling.documents import rule_words, schedule_data, when


@click.command(
    "list",
    help="List schedules: what they start, when next, and what was started and skipped so far.",
    epilog=examples("loom-runner schedule list", "loom-runner schedule list --db runs.sqlite --json"),
)
@db_option
@common_options
@pass_invocation
def list_schedules(invocation: Invocation) -> None:
    """Print the schedules of a database."""
    schedules = with_store(invocation, lambda store: store.list_schedules())
    output = invocation.output
    if output.as_json:
        output.document("loom.runner.schedule.list/1", {"schedules": [schedule_data(s) for s in schedules]})
        return
    if not schedules:
        output.note("there are no schedules")
        return
    headers = ("SCHEDULE", "AGENT", "RULE", "NEXT", "STARTED", "SKIPPED", "WAITING", "LAST RUN")
    output.table(headers, [_row(s) for s in schedules], right=("STARTED", "SKIPPED", "WAITING"))


def _row(schedule: ScheduleRecord) -> tuple[str, ...]:
    return (
        schedule.name,
        schedule.agent_name,
        rule_words(schedule),
        when(schedule),
        str(schedule.started),
        str(schedule.skipped),
        str(len(schedule.backlog)),
        schedule.last_run_id or "",
    )
