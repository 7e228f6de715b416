"""`loom-runner resume`."""

from __future__ import annotations

import contextlib
import sys

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.contracts.stores import RunRecord
from loom_core.errors import BadInput, ValueNotDecodable
from loom_core.runtime.explain.reading import CHAT_AGENT
from loom_core.runtime.explain.text import shell
from loom_core.runtime.loading import load_agent
from loom_core.runtime.results import RunResult
from loom_core.runtime.runner import AgentRunner
from loom_runner.driving import drive
from loom_runner.options import more_of, more_options, run_id_option, slice_options
from loom_runner.outcome import report
from loom_runner.reading import database, with_store

SCHEMA = "loom.runner.resume/1"


@click.command(
    "resume",
    help="Go on with a run from its last committed step. Without AGENT, the one that is stored with the run is loaded.",
    epilog=examples(
        "loom-runner resume --run-id demo",
        "loom-runner resume agent.py --run-id demo --retry-failed --max-steps 10",
    ),
)
@click.argument("agent", required=False)
@run_id_option
@db_option
@click.option("--retry-failed", is_flag=True, help="Try the failed step of a failed run again.")
@slice_options
@more_options
@common_options
@pass_invocation
def resume(
    invocation: Invocation,
    /,
    agent: str | None,
    run_id: str,
    retry_failed: bool,
    max_steps: int | None,
    max_seconds: float | None,
    wait_s: float,
    durability: str | None,
    **added: float | None,
) -> int:
    """Drive a run on until it ends, waits, or its slice is used up."""
    more = more_of(added)
    record = with_store(invocation, lambda store: store.get_run(run_id))
    if more is not None and record.status in ("completed", "cancelled"):
        raise BadInput(f"run `{run_id}` is {record.status}; it spends nothing any more")
    if record.agent.name == CHAT_AGENT:
        place = ("--run-id", run_id, "--db", database(invocation))
        raise BadInput(
            f"run `{run_id}` is a conversation of loom-run",
            hint=f"go on with it: {shell(('loom-run', 'resume', *place))}",
        )
    if agent is None:
        if is_over(record, retry_failed=retry_failed):
            return report(invocation, record, SCHEMA)
        agent = _stored_agent(invocation, record)
    with contextlib.redirect_stdout(sys.stderr):
        loaded = load_agent(agent)

    async def act(runner: AgentRunner) -> RunResult:
        try:
            return await runner.resume(
                run_id=run_id,
                max_steps=max_steps,
                max_seconds=max_seconds,
                retry_failed=retry_failed,
                wait_s=wait_s,
                more=more,
            )
        except ValueNotDecodable as error:
            if (await runner.get_run(run_id)).status == "failed":
                raise
            raise BadInput(
                f"the stored state of run `{run_id}` does not fit agent `{runner.agent.name}`: {error}",
                hint=error.hint or f"resume it with the code it was started with, or mend {loaded.reference}",
            ) from error

    return drive(invocation, loaded, run_id, act, schema=SCHEMA, durability=durability)


def is_over(record: RunRecord, *, retry_failed: bool) -> bool:
    """Return True for a run that resuming does not change, so that its agent need not be loaded."""
    return record.status in ("completed", "cancelled") or (record.status == "failed" and not retry_failed)


def _stored_agent(invocation: Invocation, record: RunRecord) -> str:
    place = ("--run-id", record.run_id, "--db", database(invocation))
    reference = record.agent.reference
    if reference is None:
        raise BadInput(
            f"run `{record.run_id}` was started from code, and no file of its agent `{record.agent.name}` is stored",
            hint=f"name it: loom-runner resume FILE.py {shell(place)}",
        )
    invocation.output.note(f"using the agent that is stored with the run: {reference}")
    return reference
