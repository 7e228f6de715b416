"""`loom-runner fork`."""

from __future__ import annotations

import sys

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation

from loom_core.contracts.stores import CallRecord
from loom_core.errors import BadInput, LoomError, RunBusy
from loom_core.runtime.explain.text import argument_list, counted, number
from loom_core.runtime.forking import ForkPlan, fork_run, plan_fork
from loom_runner.documents import call_data, run_data
from loom_runner.options import run_id_option
from loom_runner.outcome import busy_hint, next_command
from loom_runner.reading import with_store

_TOLD = 20


class NotForked(LoomError):
    """The person who was asked said no; nothing was changed."""

    code = "not_forked"


@click.command(
    "fork",
    help="Make a run that starts with the state of step N of another run, which stays as it is. Effects from that "
    "step on happen again in it, under keys of their own: they are listed, and you are asked.",
    epilog=examples(
        "loom-runner fork --run-id demo --from-step 3",
        "loom-runner fork --run-id demo --from-step 3 --new-id second --yes",
    ),
)
@run_id_option
@db_option
@click.option("--from-step", type=click.IntRange(0), required=True, metavar="N", help="The step to begin with.")
@click.option("--new-id", metavar="ID", help="The new run.  [default: ID-fork-N]")
@click.option("--yes", is_flag=True, help="Let effects happen again without being asked.")
@common_options
@pass_invocation
def fork(invocation: Invocation, run_id: str, from_step: int, new_id: str | None, yes: bool) -> None:
    """Fork a run; it begins when it is resumed."""
    plan = with_store(invocation, lambda store: plan_fork(store, run_id, from_step, new_id))
    _tell(invocation, plan)
    if (plan.effects or plan.more_effects) and not yes:
        _ask(invocation, plan)
    try:
        record = with_store(invocation, lambda store: fork_run(store, plan), "write")
    except RunBusy as error:
        error.hint = busy_hint(invocation, run_id)
        raise
    output = invocation.output
    command = next_command(invocation, record)
    if output.as_json:
        again = {
            "effects": [call_data(call) for call in plan.effects],
            "more_effects": plan.more_effects,
            "model_calls": plan.model_calls,
        }
        data = {**run_data(record), "forked_from": run_id, "forked_step": from_step, "again": again, "next": command}
        output.document("loom.runner.fork/1", data)
        return
    output.line(record.run_id)
    output.note(f"run `{record.run_id}` is forked from `{run_id}` at step {number(from_step)}")
    output.note(f"next: {command}")


def _tell(invocation: Invocation, plan: ForkPlan) -> None:
    """Say what will happen again."""
    output = invocation.output
    if output.as_json:
        return
    count = len(plan.effects) + plan.more_effects
    if count:
        output.note(
            f"{counted(count, 'effect')} of `{plan.run_id}` from step {number(plan.step_index)} on may happen again:"
        )
        for call in plan.effects[:_TOLD]:
            output.note(f"  call {call.call_id}: {_words(call)}")
        if count > _TOLD:
            output.note(f"  … and {counted(count - min(_TOLD, len(plan.effects)), 'other')} (--json names them)")
    if plan.model_calls:
        output.note(f"models were asked {counted(plan.model_calls, 'time')} from there on, and are asked again")


def _words(call: CallRecord) -> str:
    happened = {"done": "it happened", "failed": "it failed"}.get(call.status, "it may have happened")
    return f"{call.name}({', '.join(argument_list(call.arguments))}) [{call.effect}], {happened}"


def _ask(invocation: Invocation, plan: ForkPlan) -> None:
    output = invocation.output
    count = counted(len(plan.effects) + plan.more_effects, "effect")
    if output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(
            f"run `{plan.run_id}` was not forked: {count} from step {plan.step_index} on would happen again",
            hint="say that they may: --yes",
        )
    if not click.confirm("Let them happen again?", err=True):
        raise NotForked(f"run `{plan.run_id}` was not forked")
