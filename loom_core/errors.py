"""Every error that Loom raises on purpose, in one tree.

    LoomError                        code, hint; the border prints ``error: …`` and ``hint: …``
    ├── BadInput                     what the user gave cannot be used; exit status 2, nothing changed
    │   ├── RunExists   (ValueError)     the run id is in use
    │   ├── RunNotFound (KeyError)       no such run
    │   ├── ConfigError                  a configuration file, variable or flag; carries every fault found
    │   ├── AgentLoadError               an agent file or reference that does not load
    │   ├── StoreUnusable                missing, foreign, corrupt, newer or read-only database
    │   │   └── StoreEmpty               a database that nothing was ever started in
    │   ├── ValueNotEncodable            a state, argument or result that JSON cannot hold faithfully; names the path
    │   ├── ValueNotDecodable            stored bytes that no longer fit the type; names the path
    │   ├── ToolNotFound, ToolArgumentsInvalid
    │   ├── ToolDefinitionError (TypeError)  (in ``loom_core.tools``) a function that cannot be a tool as it is written
    │   ├── ModelNotFound
    │   └── TailCallError                (in ``loom_core.tailcalls``) a recursion that cannot become a loop
    ├── PluginError                  a plugin that is broken, missing, disabled or clashes; exit status 3
    │   └── PluginUnavailable        an extra that is not installed; exit status 2
    ├── RunBusy                      a live owner holds the run; names it
    ├── LeaseLost                    this writer was fenced out and has changed nothing
    ├── StoreBusy                    the database stayed locked for longer than the limit
    ├── BudgetExhausted              a budget of the run does not have what a call needs; the call was not begun
    ├── ReplayMismatch               a recorded call came back with another tool or other arguments
    ├── ManagedCallOutsideBranch     a managed call from a task that ``ctx.gather`` does not know
    ├── ToolFailed                   what a tool raised, as the step sees it; carries its category
    │   └── ApprovalDenied           a tool that was not called: somebody said no, or nobody answered in time
    ├── PriceUnknown                 a budget of money, and a model whose price is not known; it was not asked
    ├── ModelFailed                  what a model backend raised, as the step sees it
    ├── NotStarted                   raised *by* a tool: nothing has happened, the call may be made again
    └── StepExecutionError           raised *by* a step that wants to choose its own category

``Parked`` and ``RunCancelled`` are not in the tree: they are control-flow signals and derive from ``BaseException`` so
that a step's ``except Exception`` cannot swallow them (``loom_core.runtime.outcomes``).
"""

from __future__ import annotations

from enum import StrEnum
from shlex import quote


class ErrorCategory(StrEnum):
    """Why something failed; decides whether it is tried again."""

    TRANSIENT = "transient"
    VALIDATION = "validation"
    BUSINESS = "business"
    PERMISSION = "permission"
    UNKNOWN = "unknown"


class LoomError(Exception):
    """Base of every error that Loom raises on purpose.

    ``code`` is stable and machine-readable, ``hint`` says what the user can do, ``exit_status`` is what a command
    ends with when it ends with this error.
    """

    code = "error"
    exit_status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class BadInput(LoomError):
    """What the user gave cannot be used; nothing was changed."""

    code = "bad_input"
    exit_status = 2


class RunExists(BadInput, ValueError):
    """The run id is in use; ``status`` says in which status that run is."""

    code = "run_exists"

    def __init__(self, run_id: str, status: str, *, hint: str | None = None) -> None:
        super().__init__(f"run `{run_id}` exists already and is {status}", hint=hint)
        self.run_id = run_id
        self.status = status


class RunNotFound(BadInput, KeyError):
    """No run of that id is in this store."""

    code = "run_not_found"

    def __init__(self, run_id: str, *, where: str, hint: str | None = None) -> None:
        super().__init__(f"no run `{run_id}` in {where}", hint=hint)
        self.run_id = run_id


class ConfigError(BadInput):
    """A configuration that cannot be used; ``faults`` has every fault found, each with its path."""

    code = "config"

    def __init__(self, faults: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__("; ".join(faults), hint=hint)
        self.faults = faults


class AgentLoadError(BadInput):
    """An agent file or reference that does not load, or offers no agent."""

    code = "agent_load"


class StoreUnusable(BadInput):
    """The database is missing, not ours, damaged, made by a newer Loom, or cannot be written."""

    code = "store_unusable"


class StoreEmpty(StoreUnusable):
    """The database is there, but its creation was not finished: no run was ever started in it."""


class ValueNotEncodable(BadInput):
    """A value that JSON cannot hold so that it comes back as it went; ``path`` says where it is."""

    code = "value_not_encodable"

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path}: {reason}", hint=hint)
        self.path = path
        self.reason = reason


class ValueNotDecodable(BadInput):
    """Stored JSON that does not fit the type it is read as; ``path`` says where."""

    code = "value_not_decodable"

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path}: {reason}", hint=hint)
        self.path = path
        self.reason = reason


class ToolNotFound(BadInput):
    """No tool of that name; ``known`` has the names there are."""

    code = "tool_not_found"

    def __init__(self, name: str, known: tuple[str, ...] = (), *, hint: str | None = None) -> None:
        super().__init__(f"there is no tool `{name}`", hint=hint or _known("tools", known))
        self.name = name
        self.known = known


class ToolArgumentsInvalid(BadInput):
    """Arguments that a tool's schema refuses; the tool was not called."""

    code = "tool_arguments"

    def __init__(self, tool: str, faults: tuple[str, ...]) -> None:
        super().__init__(f"tool `{tool}` was not called: {'; '.join(faults)}")
        self.tool = tool
        self.faults = faults


class ModelNotFound(BadInput):
    """No backend or no model of that name."""

    code = "model_not_found"


class PluginError(LoomError):
    """A plugin that is broken, disabled, unknown, or clashes with another."""

    code = "plugin"
    exit_status = 3


class PluginUnavailable(PluginError):
    """A plugin whose extra is not installed; the hint is the pip command."""

    code = "plugin_unavailable"
    exit_status = 2


class RunBusy(LoomError):
    """A live owner holds the run; ``owner`` describes it."""

    code = "run_busy"

    def __init__(self, run_id: str, owner: str, *, hint: str | None = None) -> None:
        super().__init__(f"run `{run_id}` is held by {owner}", hint=hint)
        self.run_id = run_id
        self.owner = owner


class LeaseLost(LoomError):
    """Another owner claimed the run; this writer's write was refused and changed nothing."""

    code = "lease_lost"

    def __init__(self, run_id: str, epoch: int) -> None:
        super().__init__(
            f"run `{run_id}` is no longer held by epoch {epoch}: claimed again, or left; this write changed nothing",
            hint=f"see who has it: loom-runner explain --run-id {quote(run_id)}",
        )
        self.run_id = run_id
        self.epoch = epoch


class StoreBusy(LoomError):
    """The database stayed locked by somebody else for longer than the limit; nothing was written."""

    code = "store_busy"


class BudgetExhausted(LoomError):
    """A budget of the run does not have what a call would reserve; nothing was written. ``budget`` is its name."""

    code = "budget_exhausted"

    def __init__(self, run_id: str, budget: str) -> None:
        super().__init__(f"the budget of {budget} of run `{run_id}` is used up")
        self.run_id = run_id
        self.budget = budget


class ReplayMismatch(LoomError):
    """A managed call's recorded tool or arguments differ from what the step asks now; nothing was executed."""

    code = "replay_mismatch"


class ManagedCallOutsideBranch(LoomError):
    """A managed call was made from a task that the context does not know, so its key would not be stable."""

    code = "managed_call_outside_branch"


class CategorisedError(LoomError):
    """An error that carries its own category; the retry classifiers believe it."""

    def __init__(
        self,
        message: str,
        *,
        error_category: ErrorCategory = ErrorCategory.UNKNOWN,
        is_retryable: bool | None = None,
        retry_after_s: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.error_category = error_category
        self.is_retryable = is_retryable
        self.retry_after_s = retry_after_s


class ToolFailed(CategorisedError):
    """What a tool raised, as the step sees it. ``tool``, ``error_type`` and ``recorded`` say what came from where."""

    code = "tool_failed"

    def __init__(
        self,
        tool: str,
        error_type: str,
        message: str,
        *,
        error_category: ErrorCategory = ErrorCategory.UNKNOWN,
        is_retryable: bool | None = None,
        retry_after_s: float | None = None,
        recorded: bool = False,
    ) -> None:
        super().__init__(
            f"tool `{tool}` failed: {error_type}: {message}",
            error_category=error_category,
            is_retryable=is_retryable,
            retry_after_s=retry_after_s,
        )
        self.tool = tool
        self.error_type = error_type
        self.detail = message
        self.recorded = recorded


class ApprovalDenied(ToolFailed):
    """The tool was not called: a person said no (``by``, ``note``), or nobody answered in time (``by`` is None).

    Not retryable by default; a new attempt of the step asks again.
    """

    code = "approval_denied"

    def __init__(self, tool: str, approval_id: str, *, by: str | None, note: str | None) -> None:
        why = "nobody allowed it in time" if by is None else f"{by} said no" + (f": {note}" if note else "")
        super().__init__(
            tool, "ApprovalDenied", why, error_category=ErrorCategory.PERMISSION, is_retryable=False, recorded=True
        )
        self.message = f"tool `{tool}` was not called: {why} (question {approval_id})"
        self.approval_id = approval_id
        self.by = by
        self.note = note


class PriceUnknown(CategorisedError):
    """The run has a budget of money, and the price of the model is not known; unknown is not zero."""

    code = "price_unknown"


class ModelFailed(CategorisedError):
    """What a model backend raised, as the step sees it."""

    code = "model_failed"


class NotStarted(LoomError):
    """Raised by a tool: the effect has certainly not begun, so that even a ``once`` call may be made again."""

    code = "not_started"


class StepExecutionError(CategorisedError):
    """Raised by a step that wants to choose category and retryability itself."""

    code = "step_execution"


def _known(what: str, names: tuple[str, ...]) -> str | None:
    return f"{what} there are: {', '.join(names)}" if names else None
