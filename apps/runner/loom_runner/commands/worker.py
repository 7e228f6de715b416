"""`loom-runner worker`."""

from __future__ import annotations

import contextlib
import sys
import time

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.interrupts import Stopper, run_interruptible

from loom_core.runtime.explain.text import counted, number
from loom_core.runtime.loading import LoadedAgent, load_agent
from loom_core.runtime.runner import AgentRunner
from loom_core.runtime.worker import CONCURRENCY, POLL_S, Worker, WorkEvent
from loom_runner.documents import standing
from loom_runner.outcome import explain_command
from loom_runner.reading import database
from loom_runner.scheduling.firing import Startable, Ticker

SCHEMA = "loom.runner.worker/1"


@click.command(
    "worker",
    help="Go on with runs of each AGENT as they become due: queued and orphaned runs, timers, retries, signals, "
    "schedules. Ends with Ctrl-C or SIGTERM, after the steps under way.",
    epilog=examples(
        "loom-runner worker agent.py --db runs.sqlite",
        "loom-runner worker billing.py:agent reports.py:agent --concurrency 20",
    ),
)
@click.argument("agents", nargs=-1, required=True, metavar="AGENT...")
@db_option
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=CONCURRENCY,
    show_default=True,
    metavar="N",
    help="Runs under way at once, at most.",
)
@click.option(
    "--poll",
    "poll_s",
    type=click.FloatRange(0.01, 3600),
    default=POLL_S,
    show_default=True,
    metavar="S",
    help="Look for work about every S seconds.",
)
@click.option(
    "--durability",
    type=click.Choice(["standard", "strict", "pipelined"]),
    metavar="MODE",
    help="standard (the default), strict, or pipelined, as with run.",
)
@common_options
@pass_invocation
def worker(
    invocation: Invocation, agents: tuple[str, ...], concurrency: int, poll_s: float, durability: str | None
) -> int:
    """Work until it is told to stop; runs that it had are left for the next worker."""
    with contextlib.redirect_stdout(sys.stderr):
        loaded = [load_agent(agent) for agent in dict.fromkeys(agents)]

    async def main(stopper: Stopper) -> Worker:
        runtime = invocation.runtime()
        try:
            store = runtime.open_store(None, "create")
            options: dict[str, object] = {"runtime": runtime}
            options |= {} if durability is None else {"durability": durability}
            runners = [_runner(each, store, database(invocation), options) for each in loaded]
            async with contextlib.AsyncExitStack() as stack:
                for runner in runners:
                    await stack.enter_async_context(runner)
                ticker = Ticker(
                    store,
                    {r.agent.name: Startable(r, a.first_state) for r, a in zip(runners, loaded, strict=True)},
                    wall=time.time,
                    started=lambda run_id: invocation.output.detail(f"run `{run_id}` was started by its schedule"),
                )
                made = Worker(
                    runners,
                    store,
                    concurrency=concurrency,
                    poll_s=poll_s,
                    report=lambda event: _say(invocation, event),
                    beside=ticker.fire,
                )
                invocation.output.note(f"working on {', '.join(made.agents)} in {store.location}; Ctrl-C stops")
                stopper.on_stop(made.request_stop)
                await made.run()
                return made
        finally:
            await runtime.aclose()

    with contextlib.redirect_stdout(sys.stderr):
        done = run_interruptible(main, output=invocation.output)
    if invocation.output.as_json:
        invocation.output.document(SCHEMA, {"agents": [*done.agents], "left": dict(done.taken), "exit_status": 0})
    else:
        invocation.output.note(f"stopped; {_tally(done)}")
    return 0


def _runner(loaded: LoadedAgent, store: object, location: str, options: dict[str, object]) -> AgentRunner:
    """Return a runner on the worker's own connection; one that its module builds opens the database itself."""
    return loaded.runner(store if loaded.agent is not None else location, **options)


def _say(invocation: Invocation, event: WorkEvent) -> None:
    output, record = invocation.output, event.record
    if event.kind == "took" and record is not None:
        output.detail(f"run `{event.run_id}` was {record.status} at step {number(record.step_index)}; going on with it")
    elif event.kind == "trouble":
        output.warning(
            f"run `{event.run_id}` could not be gone on with, and is left alone for a while: {event.error}",
            getattr(event.error, "hint", None),
        )
    elif record is not None:
        now = standing(record)
        words = f", {now.words}" if now.words else ""
        look = f"\nlook: {explain_command(invocation, event.run_id)}" if record.status == "failed" else ""
        output.note(f"run `{event.run_id}` is {now.status} at step {number(record.step_index)}{words}{look}")


def _tally(worker: Worker) -> str:
    told = ", ".join(f"{number(count)} {status}" for status, count in sorted(worker.taken.items()))
    return f"{counted(worker.taken.total(), 'run')} left: {told}" if told else "there was nothing to do"
