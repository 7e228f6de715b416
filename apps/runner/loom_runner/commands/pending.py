"""`loom-runner pending`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import relative

from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.stores import Store
from loom_core.runtime.explain.questions import asked_words
from loom_core.runtime.explain.text import date_time, shell
from loom_runner.documents import approval_data
from loom_runner.options import page_options
from loom_runner.reading import Page, database, page_of, say_more, with_store


@click.command(
    "pending",
    help="List the questions that runs ask and nobody has answered: what exactly, by whom, until when.",
    epilog=examples("loom-runner pending", "loom-runner pending --run-id demo --json"),
)
@click.option("--run-id", metavar="ID", help="Only those of this run.")
@db_option
@page_options(50)
@common_options
@pass_invocation
def pending(invocation: Invocation, run_id: str | None, limit: int, offset: int) -> None:
    """Print open questions."""

    async def read(store: Store) -> tuple[Sequence[ApprovalRecord], Page]:
        return await page_of(
            lambda count: store.get_approvals(run_id, pending=True, limit=count, offset=offset), limit, offset
        )

    found, page = with_store(invocation, read)
    output = invocation.output
    if output.as_json:
        output.document("loom.runner.pending/1", {"questions": [approval_data(a) for a in found], **page.data()})
        return
    if not found:
        output.note("no run asks anything")
        return
    now = time.time()
    for asked in found:
        output.line(f"run {asked.run_id}, question {asked.approval_id}, asked {relative(asked.asked_at, now)}")
        output.line(f"    {asked_words(asked)}")
        until = "" if asked.expires_at is None else f"until {date_time(asked.expires_at)}, then it is no; "
        who = ", ".join(asked.approvers) or "anybody"
        output.line(f"    {until}may be answered by: {who}")
        place = ("--run-id", asked.run_id, "--db", database(invocation))
        given = ("--as", "NAME") if asked.approvers else ()
        for verb in ("approve", "deny"):
            output.note(f"    {shell(('loom-runner', verb, asked.approval_id, *place, *given))}")
    say_more(invocation, page)
