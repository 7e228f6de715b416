"""`loom-runner resolve`."""

from __future__ import annotations

import getpass

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.contracts.stores import CallRecord, RunRecord, Store
from loom_core.errors import BadInput, LoomError, RunBusy
from loom_core.runtime.resolving import resolve_call
from loom_runner.checking import check_result
from loom_runner.documents import call_data
from loom_runner.options import run_id_option
from loom_runner.outcome import busy_hint, explain_command, next_command
from loom_runner.reading import with_store
from loom_runner.texts import json_text


@click.command(
    "resolve",
    help="Decide CALL, of which nobody knows whether it happened: with its result, to be made again, or as failed.",
    epilog=examples(
        "loom-runner resolve 3/0 --run-id demo --result '\"ok\"'", "loom-runner resolve 3/0 --run-id demo --retry"
    ),
)
@click.argument("call")
@run_id_option
@db_option
@click.option("--result", metavar="JSON|@FILE", help="It happened, and returned this.")
@click.option("--retry", is_flag=True, help="It did not happen: make it again.")
@click.option("--fail", is_flag=False, flag_value="", metavar="[MESSAGE]", help="It failed: the step is told so.")
@click.option("--as", "name", metavar="NAME", help="Who decides.  [default: the user's name]")
@common_options
@pass_invocation
def resolve(
    invocation: Invocation,
    call: str,
    run_id: str,
    result: str | None,
    retry: bool,
    fail: str | None,
    name: str | None,
) -> None:
    """Record a person's decision; the run goes on when it is resumed."""
    if (result is not None) + retry + (fail is not None) != 1:
        raise click.UsageError("give one of --result, --retry and --fail", click.get_current_context())
    text = None if result is None else json_text("--result", result)

    async def decide(store: Store) -> tuple[CallRecord, RunRecord]:
        decided = await resolve_call(store, run_id, call, result=text, retry=retry, fail=fail, by=name or _user())
        return decided, await store.get_run(run_id)

    if text is not None:
        check_result(invocation, run_id, call, text)
    try:
        decided, record = with_store(invocation, decide, "write")
    except LoomError as error:
        error.hint = _hint(invocation, run_id, error)
        raise
    output = invocation.output
    command = next_command(invocation, record)
    if output.as_json:
        data = {"run_id": run_id, "status": record.status, "call": call_data(decided), "next": command}
        output.document("loom.runner.resolve/1", data)
        return
    output.note(f"call {call} of run `{run_id}` is decided by {decided.decided_by}: {_decision(text, retry=retry)}")
    output.note(f"next: {command}")


def _hint(invocation: Invocation, run_id: str, error: LoomError) -> str | None:
    """Return a hint that can be pasted: the core does not know which database was meant on the command line."""
    if isinstance(error, RunBusy):
        return busy_hint(invocation, run_id)
    if type(error) is not BadInput:
        return error.hint
    look = f"see what happened: {explain_command(invocation, run_id)}"
    return look if error.hint is None or "loom-runner" in error.hint else f"{error.hint}; {look}"


def _decision(result: str | None, *, retry: bool) -> str:
    if retry:
        return "it did not happen and will be made again"
    return "it failed" if result is None else f"it happened and returned {result}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
