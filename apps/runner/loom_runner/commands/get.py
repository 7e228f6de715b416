"""`loom-runner get`."""

from __future__ import annotations

import time

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import relative

from loom_core.contracts.budgets import BudgetRecord
from loom_core.contracts.stores import RunRecord, Store
from loom_core.runtime.explain.budgets import budget_data, budget_words
from loom_core.runtime.explain.text import compact, counted, date_time, number, parsed
from loom_runner.documents import standing, whole_run_data
from loom_runner.options import reading_agent, run_id_option
from loom_runner.reading import check_agent, with_store


@click.command(
    "get",
    help="Show one run: status, result, error, totals.",
    epilog=examples("loom-runner get --run-id demo", "loom-runner get --run-id demo --json"),
)
@reading_agent
@run_id_option
@db_option
@common_options
@pass_invocation
def get(invocation: Invocation, agent: str | None, run_id: str) -> None:
    """Print a run's own row."""
    record, budget = with_store(invocation, lambda store: _read(store, run_id))
    check_agent(invocation, record, agent)
    output = invocation.output
    if output.as_json:
        output.document("loom.runner.get/1", {**whole_run_data(record), "budget": budget_data(budget)})
        return
    output.fields(_fields(record, budget))


async def _read(store: Store, run_id: str) -> tuple[RunRecord, BudgetRecord | None]:
    return await store.get_run(run_id), await store.get_budget(run_id)


def _fields(record: RunRecord, budget: BudgetRecord | None) -> list[tuple[str, str]]:
    here, now, counters = standing(record), time.time(), record.counters
    fields = [
        ("run", record.run_id),
        ("agent", f"{record.agent.name}, version {record.agent.version} ({record.agent.reference or 'made in code'})"),
        ("status", f"{here.status}: {here.words}" if here.words else here.status),
        ("since", f"{date_time(here.since)} ({relative(here.since, now)})"),
        ("created", f"{date_time(record.created_at)} ({relative(record.created_at, now)})"),
        ("steps", number(record.step_index)),
        ("calls", f"{number(counters.calls)} ({number(counters.model_calls)} of models)"),
        ("failed", f"{counted(counters.failed_attempts, 'attempt')}, {counted(counters.failed_calls, 'call')}"),
        ("tokens", f"{number(counters.tokens_in)} in, {number(counters.tokens_out)} out"),
        ("claims", number(record.epoch)),
    ]
    if budget is not None:
        fields.append(("budget", budget_words(budget)))
    if record.owner is not None:
        fields.append(("owner", str(record.owner)))
    if record.result is not None:
        fields.append(("result", compact(parsed(record.result))))
    return fields
