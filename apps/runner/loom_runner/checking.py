"""Whether a result that a person gives for a call is one that its tool could have returned."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from loom_cli import Invocation

from loom_core.contracts.stores import CallRecord, CallStatus, RunRecord, Store
from loom_core.contracts.tools import Tool
from loom_core.errors import BadInput, LoomError
from loom_core.runtime.explain.reading import CHAT_AGENT
from loom_core.runtime.loading import LoadedAgent, load_agent
from loom_runner.reading import database, with_store

# More than a run has.
_ALL = 1_000_000


class NotChecked(LoomError):
    """The tool of a call is not to be had, so that nothing is known of its results. Never reaches a user."""

    code = "not_checked"


def check_result(invocation: Invocation, run_id: str, call_id: str, text: str) -> None:
    """Raise ``BadInput`` if the run could not go on with this result of the call; nothing is changed.

    The tool is looked for where ``resume`` would: with the agent that is stored with the run, else with the plugins.
    A warning says so where it is not found.
    """
    record, call = with_store(invocation, lambda store: _read(store, run_id, call_id))
    if call is None or call.kind != "tool":
        return  # `resolve` says that there is no such call in doubt.
    try:
        with contextlib.redirect_stdout(sys.stderr):
            tool = _tool_of(invocation, record, call.name)
    except LoomError as error:
        invocation.output.warning(f"it is not checked that tool `{call.name}` could return this: {error}")
        return
    try:
        tool.decode_result(json.loads(text))
    # The tool's own code, which may raise anything, and would do so again whenever the run is resumed.
    except Exception as error:
        raise BadInput(
            f"--result is nothing that tool `{call.name}` could return: {error}",
            hint="give what it returned, as JSON; nothing was decided",
        ) from error


async def _read(store: Store, run_id: str, call_id: str) -> tuple[RunRecord, CallRecord | None]:
    record = await store.get_run(run_id)
    unsettled: tuple[CallStatus, ...] = ("unknown", "started", "failed")
    found = [c for s in unsettled for c in await store.get_calls(run_id, status=s, newest=True, limit=_ALL)]
    # What was decided before and may be decided again is among the newest: it is of the step that failed.
    found += await store.get_calls(run_id, newest=True)
    return record, next((call for call in found if call.call_id == call_id), None)


def _tool_of(invocation: Invocation, record: RunRecord, name: str) -> Tool:
    loaded: LoadedAgent | None = None
    if record.agent.name != CHAT_AGENT:
        if record.agent.reference is None:
            raise NotChecked("the run was started from code, and no file of its agent is stored")
        if record.origin is not None and record.origin.imported_from is not None:
            raise NotChecked("the run was imported, and the code that it names is not loaded by itself")
        loaded = load_agent(record.agent.reference)

    async def find() -> Tool:
        runtime = invocation.runtime()
        try:
            if loaded is None:
                return runtime.tool(name)
            async with loaded.runner(database(invocation), runtime=runtime) as runner:
                return runner.find_tool(name)
        finally:
            await runtime.aclose()

    return asyncio.run(find())
