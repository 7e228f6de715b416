"""Loom: tail calls, durable runs, and plugins, on one SQLite file.

Everything public is exported here and imported when it is first used, so that ``import loom_core`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loom_core.contracts.budgets import Budget
    from loom_core.contracts.models import Message, ModelAnswer, ToolCall, ToolSpec
    from loom_core.contracts.people import Approval, Person
    from loom_core.contracts.retries import ExponentialBackoff, RetryPolicy
    from loom_core.contracts.tools import Done, NotDone, Tool, ToolContext, ToolResult, Unknown
    from loom_core.errors import (
        ApprovalDenied,
        ErrorCategory,
        LeaseLost,
        LoomError,
        ModelFailed,
        NotStarted,
        RunBusy,
        RunExists,
        RunNotFound,
        StepExecutionError,
        ToolFailed,
    )
    from loom_core.hookspecs import hookimpl
    from loom_core.runtime.agent import Agent
    from loom_core.runtime.approving import Answer
    from loom_core.runtime.assembly import Runtime, open_store
    from loom_core.runtime.context import RunContext
    from loom_core.runtime.explain import RunExplanation
    from loom_core.runtime.outcomes import Complete, Continue, RunCancelled, Sleep, Wait
    from loom_core.runtime.results import RunResult, RunStats, RunStep, RunVerification
    from loom_core.runtime.runner import AgentRunner
    from loom_core.tailcalls import (
        TailCallError,
        TailCallReport,
        TailCallSite,
        TailCallWarning,
        explain_tailcalls,
        tailrec,
        tailstream,
    )
    from loom_core.tools import ToolRegistry, tool

_HOMES = {
    "loom_core.contracts.models": ("Message", "ModelAnswer", "ToolCall", "ToolSpec"),
    "loom_core.contracts.budgets": ("Budget",),
    "loom_core.contracts.people": ("Approval", "Person"),
    "loom_core.contracts.retries": ("ExponentialBackoff", "RetryPolicy"),
    "loom_core.contracts.tools": ("Done", "NotDone", "Tool", "ToolContext", "ToolResult", "Unknown"),
    "loom_core.errors": (
        "ApprovalDenied",
        "ErrorCategory",
        "LeaseLost",
        "LoomError",
        "ModelFailed",
        "NotStarted",
        "RunBusy",
        "RunExists",
        "RunNotFound",
        "StepExecutionError",
        "ToolFailed",
    ),
    "loom_core.hookspecs": ("hookimpl",),
    "loom_core.runtime.agent": ("Agent",),
    "loom_core.runtime.approving": ("Answer",),
    "loom_core.runtime.assembly": ("Runtime", "open_store"),
    "loom_core.runtime.context": ("RunContext",),
    "loom_core.runtime.explain": ("RunExplanation",),
    "loom_core.runtime.outcomes": ("Complete", "Continue", "RunCancelled", "Sleep", "Wait"),
    "loom_core.runtime.results": ("RunResult", "RunStats", "RunStep", "RunVerification"),
    "loom_core.runtime.runner": ("AgentRunner",),
    "loom_core.tailcalls": (
        "TailCallError",
        "TailCallReport",
        "TailCallSite",
        "TailCallWarning",
        "explain_tailcalls",
        "tailrec",
        "tailstream",
    ),
    "loom_core.tools": ("ToolRegistry", "tool"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Agent",
    "AgentRunner",
    "Answer",
    "Approval",
    "ApprovalDenied",
    "Budget",
    "Complete",
    "Continue",
    "Done",
    "ErrorCategory",
    "ExponentialBackoff",
    "LeaseLost",
    "LoomError",
    "Message",
    "ModelAnswer",
    "ModelFailed",
    "NotDone",
    "NotStarted",
    "Person",
    "RetryPolicy",
    "RunBusy",
    "RunCancelled",
    "RunContext",
    "RunExists",
    "RunExplanation",
    "RunNotFound",
    "RunResult",
    "RunStats",
    "RunStep",
    "RunVerification",
    "Runtime",
    "Sleep",
    "StepExecutionError",
    "TailCallError",
    "TailCallReport",
    "TailCallSite",
    "TailCallWarning",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolFailed",
    "ToolRegistry",
    "ToolResult",
    "ToolSpec",
    "Unknown",
    "Wait",
    "explain_tailcalls",
    "hookimpl",
    "open_store",
    "tailrec",
    "tailstream",
    "tool",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
