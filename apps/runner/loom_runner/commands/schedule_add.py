"""`loom-runner schedule add`."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.contracts.schedules import ScheduleRecord
from loom_core.contracts.stores import Store
from loom_core.errors import BadInput, ValueNotDecodable
from loom_core.runtime.explain.text import shell
from loom_core.runtime.loading import LoadedAgent, load_agent
from loom_core.runtime.run_ids import check_run_id
from loom_core.runtime.runner import AgentRunner
from loom_runner.reading import database, with_store
from loom_runner.scheduling.deciding import run_id_of
from loom_runner.scheduling.documents import schedule_data, when
from loom_runner.scheduling.rules import checked_cron, checked_every, zone_of
from loom_runner.texts import json_text


@click.command(
    "add",
    help="Start a run of AGENT at every planned time. A worker that is given the agent does so; "
    "each run is named NAME@TIME and started once, however many workers there are.",
    epilog=examples(
        "loom-runner schedule add report.py --name nightly --cron '0 3 * * 1-5'",
        "loom-runner schedule add poll.py --name poll --every 15m --overlap skip",
    ),
)
@click.argument("agent")
@click.option("--name", required=True, metavar="NAME", help="Name of the schedule.")
@click.option("--cron", metavar="EXPR", help="Minute, hour, day, month, weekday.")
@click.option("--every", metavar="SPAN", help="An interval: 90s, 15m, 2h, 1d.")
@click.option("--timezone", "zone", default="UTC", show_default=True, metavar="ZONE", help="Of --cron.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue", "allow"]),
    default="skip",
    show_default=True,
    help="While its last run is under way.",
)
@click.option(
    "--catch-up",
    type=click.Choice(["none", "one", "all"]),
    default="one",
    show_default=True,
    help="Times when no worker was there.",
)
@click.option("--input", "given", metavar="JSON|@FILE", help="State to start with.  [default: the agent's own]")
@db_option
@common_options
@pass_invocation
def add(
    invocation: Invocation,
    agent: str,
    name: str,
    cron: str | None,
    every: str | None,
    zone: str,
    overlap: Any,
    catch_up: Any,
    given: str | None,
) -> None:
    """Store a schedule."""
    if (cron is None) == (every is None):
        raise click.UsageError("give one of --cron and --every", click.get_current_context())
    now = time.time()
    check_run_id(run_id_of(name, now))
    zone_of(zone)
    rule = f"cron {checked_cron(cron, zone)}" if cron is not None else f"every {checked_every(every or ''):g}"
    text = None if given is None else json_text("--input", given)
    with contextlib.redirect_stdout(sys.stderr):
        loaded = load_agent(agent)
        runner = loaded.runner(database(invocation))
        _check_input(loaded, runner, text)
    schedule = ScheduleRecord(
        name=name,
        agent_name=runner.agent.name,
        agent_reference=loaded.reference,
        rule=rule,
        zone=zone,
        overlap=overlap,
        catch_up=catch_up,
        input=text,
        created_at=now,
        decided_until=now,
    )

    async def save(store: Store) -> bool:
        return await store.save_schedule(schedule)

    if not with_store(invocation, save, "create"):
        remove = shell(("loom-runner", "schedule", "remove", name, "--db", database(invocation)))
        raise BadInput(f"there is a schedule `{name}` already", hint=f"choose another name, or first: {remove}")
    command = shell(("loom-runner", "worker", agent, "--db", database(invocation)))
    output = invocation.output
    if output.as_json:
        output.document("loom.runner.schedule.add/1", {"schedule": schedule_data(schedule), "next": command})
        return
    output.note(f"schedule `{name}` starts runs of `{runner.agent.name}`, next {when(schedule)}")
    output.note(f"next: {command}")


def _check_input(loaded: LoadedAgent, runner: AgentRunner, text: str | None) -> None:
    if text is None:
        loaded.first_state()
        return
    try:
        runner.read_state(text)
    except ValueNotDecodable as error:
        raise BadInput(f"--input is no state of this agent: {error}", hint=error.hint) from error
