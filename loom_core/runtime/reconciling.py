"""Asking a tool what became of a call in doubt."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import cast

import attrs

from loom_core.contracts.tools import InterruptedCall, Tool, ToolContext, Unknown

RECONCILE_TIMEOUT_S = 60.0
_log = logging.getLogger("loom.runtime")


async def ask_reconcile(tool: Tool, arguments: Mapping[str, object], context: ToolContext) -> object:
    """Return the tool's own answer, ``Unknown`` if it has none, fails, or takes longer than a minute.

    A plain function gets a thread, as a blocking tool does. A broken ``reconcile`` leaves the call in doubt, where a
    person sees it.
    """
    from loom_core.tools.execution import execute

    if tool.reconcile is None:
        return Unknown()
    question = InterruptedCall(context=context, name=tool.name, arguments=arguments)
    asking = cast("Tool", _Asking(tool, question))
    try:
        return await execute(asking, {}, context, timeout_s=RECONCILE_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - the border between a run and a tool
        _log.exception("reconcile of tool %s failed; the call stays in doubt", tool.name)
        return Unknown()


@attrs.frozen
class _Asking:
    """``reconcile`` in the shape of a tool, so that it is executed as one."""

    _tool: Tool
    _question: InterruptedCall

    @property
    def name(self) -> str:
        return self._tool.name

    @property
    def blocking(self) -> bool:
        return not inspect.iscoroutinefunction(self._tool.reconcile)

    def call(self, arguments: Mapping[str, object], context: ToolContext) -> object:
        assert self._tool.reconcile is not None
        return self._tool.reconcile(self._question)
