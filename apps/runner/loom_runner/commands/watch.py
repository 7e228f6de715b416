"""`loom-runner watch`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import click
from loom_cli import ExitStatus, Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.text import cut, safe

from loom_core.contracts.stores import ENDED, CallRecord, RunRecord, StepRecord, Store
from loom_core.runtime.explain.text import clock, counted, number
from loom_core.runtime.explain.timeline import call_made
from loom_core.runtime.explain.words import words_of
from loom_core.runtime.watching import News, follow
from loom_runner.documents import call_data, run_data, standing, step_data
from loom_runner.options import reading_agent, run_id_option
from loom_runner.outcome import exit_status
from loom_runner.reading import check_agent, with_store

_TOLD_BEFORE = 5


@click.command(
    "watch",
    help="Follow a run while it goes on: steps, calls, and where it stands. Reads only. Ends when nobody works on the "
    "run any more, with the exit status of the run.",
    epilog=examples("loom-runner watch --run-id demo", "loom-runner watch --run-id demo --follow --jsonl"),
)
@reading_agent
@run_id_option
@db_option
@click.option("--follow", is_flag=True, help="Go on while the run is paused or waits, until it has ended.")
@click.option("--from-step", type=click.IntRange(0), metavar="N", help="Tell from step N on.  [default: the last 5]")
@click.option(
    "--interval",
    type=click.FloatRange(0.01),
    default=0.5,
    show_default=True,
    metavar="S",
    help="Seconds between two looks.",
)
@click.option("--jsonl", is_flag=True, help="Print a line of JSON for each thing that happens.")
@common_options
@pass_invocation
def watch(
    invocation: Invocation,
    agent: str | None,
    run_id: str,
    follow: bool,
    from_step: int | None,
    interval: float,
    jsonl: bool,
) -> int:
    """Print what happens to a run until nobody works on it."""
    told: list[dict[str, object]] = []
    tell = _teller(invocation, told, jsonl=jsonl)
    record = with_store(invocation, lambda store: _watch(store, run_id, from_step, interval, tell, to_its_end=follow))
    check_agent(invocation, record, agent)
    status = ExitStatus.DONE if record.status == "paused" else exit_status(record)
    if invocation.output.as_json and not jsonl:
        data = {**run_data(record), "events": told, "exit_status": int(status)}
        invocation.output.document("loom.runner.watch/1", data)
    return status


async def _watch(
    store: Store,
    run_id: str,
    from_step: int | None,
    interval_s: float,
    tell: Callable[[News], None],
    *,
    to_its_end: bool,
) -> RunRecord:
    record = await store.get_run(run_id)
    since = max(record.step_index - _TOLD_BEFORE, 0) if from_step is None else from_step
    async for news in follow(store, run_id, since=since, pause=lambda: asyncio.sleep(interval_s)):
        tell(news)
        record = news.record
        if record.status in ENDED or (not to_its_end and standing(record).status != "running"):
            break
    return record


def _teller(invocation: Invocation, told: list[dict[str, object]], *, jsonl: bool) -> Callable[[News], None]:
    output = invocation.output

    def tell(news: News) -> None:
        events = _events(news)
        if jsonl:
            for event in events:
                output.json_line({"schema": "loom.runner.watch/1", **event})
        elif output.as_json:
            told.extend(events)
        else:
            _print(invocation, news)

    return tell


def _events(news: News) -> list[dict[str, object]]:
    calls = [(c.step_index, 0, {"kind": "call", **call_data(c)}) for c in news.calls]
    steps = [(s.step_index, 1, {"kind": "step", **step_data(s, with_state=False)}) for s in news.steps]
    ordered = sorted([*calls, *steps], key=lambda entry: entry[:2])
    return [*(event for _, _, event in ordered), {"kind": "run", **run_data(news.record)}]


def _print(invocation: Invocation, news: News) -> None:
    output = invocation.output
    if news.skipped:
        output.line(f"… {counted(news.skipped, 'step')} that the history no longer has")
    calls = [(c.step_index, 0, c.ended_at or c.started_at, _call(c)) for c in news.calls]
    steps = [(s.step_index, 1, s.at, _step(s)) for s in news.steps]
    for _, _, at, words in sorted([*calls, *steps], key=lambda entry: entry[:2]):
        line = f"{clock(at, dated=False)}  {safe(words)}"
        output.line(line if output.columns is None else cut(line, output.columns))
    now = standing(news.record)
    words = f": {now.words}" if now.words else ""
    output.line(f"{clock(time.time(), dated=False)}  {now.status}{words}", "bold")
    output.stdout.flush()


def _step(step: StepRecord) -> str:
    attempts = f" after {step.attempt_index + 1} attempts" if step.attempt_index else ""
    return f"step {number(step.step_index)} committed{attempts}: {step.outcome}"


def _call(call: CallRecord) -> str:
    return words_of(call_made(call))
