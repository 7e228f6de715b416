"""A registry of tools by name."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import attrs

from loom_core.contracts.models import ToolSpec
from loom_core.contracts.stores import Effect
from loom_core.contracts.tools import Reconcile, Tool, ToolContext, ToolResult
from loom_core.errors import ToolNotFound
from loom_core.tools.errors import ToolDefinitionError
from loom_core.tools.function_tool import FunctionTool, make_tool

P = ParamSpec("P")
R = TypeVar("R")


class ToolRegistry:
    """Tools by name, in the order in which they were registered.

    Functions need no type hints here: a parameter without one takes any JSON value.
    """

    def __init__(self) -> None:
        self._tools: dict[str, Tool] = {}

    def register(
        self,
        name_or_tool: str | Tool,
        fn: Callable[..., Any] | Tool | None = None,
        *,
        effect: Effect = "once",
        timeout_s: float | None = None,
        reconcile: Reconcile | None = None,
        description: str | None = None,
    ) -> Tool:
        """Register a tool under its own name, or a function (or a tool made by ``@tool``) under ``name``.

        The options are for functions; a tool brings its own. Raises ``ToolDefinitionError``, also for a name in use.
        """
        if isinstance(name_or_tool, str) and fn is not None and not _is_tool(fn):
            made: Tool = make_tool(
                fn,  # type: ignore[arg-type]
                sys._getframe(1).f_locals,
                name=name_or_tool,
                effect=effect,
                timeout_s=timeout_s,
                reconcile=reconcile,
                description=description,
                untyped=True,
            )
            return self._add(made)
        if (effect, timeout_s, reconcile, description) != ("once", None, None, None):
            shown = name_or_tool if isinstance(name_or_tool, str) else name_or_tool.name
            raise ToolDefinitionError(shown, "a tool brings its own options", hint="give them to @tool(…)")
        return self._add(_existing(name_or_tool, fn))

    def tool(
        self,
        name: str,
        *,
        effect: Effect = "once",
        timeout_s: float | None = None,
        reconcile: Reconcile | None = None,
        description: str | None = None,
    ) -> Callable[[Callable[P, R]], FunctionTool[P, R]]:
        """Register the decorated function under ``name``; it stays callable as it is."""
        local_names = sys._getframe(1).f_locals

        def decorate(fn: Callable[P, R]) -> FunctionTool[P, R]:
            made = make_tool(
                fn,
                local_names,
                name=name,
                effect=effect,
                timeout_s=timeout_s,
                reconcile=reconcile,
                description=description,
                untyped=True,
            )
            self._add(made)
            return made

        return decorate

    def names(self) -> tuple[str, ...]:
        """Return the names of all tools."""
        return tuple(self._tools)

    def get(self, name: str) -> Tool:
        """Return the tool of that name; raises ``ToolNotFound``."""
        found = self._tools.get(name)
        if found is None:
            raise ToolNotFound(name, self.names())
        return found

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools as a model sees them."""
        return tuple(
            ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters)
            for tool in self._tools.values()
        )

    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> object:
        """Validate the arguments, execute the tool and return its result; nothing is recorded or repeated.

        Raises ``ToolNotFound``, ``ToolArgumentsInvalid``, ``TimeoutError`` after the tool's ``timeout_s``, and what
        the tool raises. A blocking tool runs on a thread of its own.
        """
        # Imported here, because asyncio is most of what importing this module would cost.
        from loom_core.tools.execution import execute

        tool = self.get(name)
        arguments = tool.bind(args, kwargs)
        return await execute(tool, arguments, _context_outside_runs(tool), timeout_s=tool.timeout_s)

    async def call_result(self, name: str, /, *args: Any, **kwargs: Any) -> ToolResult:
        """Do what ``call`` does, but return an error instead of raising it; cancellation is raised nevertheless."""
        try:
            return ToolResult(ok=True, value=await self.call(name, *args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the promise of this method
            return ToolResult(ok=False, error=error)

    def _add(self, tool: Tool) -> Tool:
        if tool.name in self._tools:
            raise ToolDefinitionError(tool.name, "the name is in use", hint="register it under another name")
        self._tools[tool.name] = tool
        return tool


def _existing(name_or_tool: str | Tool, fn: Callable[..., Any] | Tool | None) -> Tool:
    if not isinstance(name_or_tool, str):
        if not _is_tool(name_or_tool):
            shown = getattr(name_or_tool, "__name__", type(name_or_tool).__name__)
            raise ToolDefinitionError(shown, "a function is registered under a name", hint="register(name, fn)")
        return name_or_tool
    if fn is None:
        raise ToolDefinitionError(name_or_tool, "there is no function", hint="register(name, fn), or register(tool)")
    tool: Tool = fn  # type: ignore[assignment]
    if tool.name == name_or_tool:
        return tool
    if isinstance(tool, FunctionTool):
        return attrs.evolve(tool, name=name_or_tool, signature=attrs.evolve(tool.signature, tool=name_or_tool))
    raise ToolDefinitionError(name_or_tool, f"the tool's own name is `{tool.name}`", hint="register it under that")


def _is_tool(value: object) -> bool:
    return all(hasattr(value, part) for part in ("name", "parameters", "bind", "call"))


def _context_outside_runs(tool: Tool) -> ToolContext:
    call = uuid.uuid4().hex
    deadline = None if tool.timeout_s is None else time.time() + tool.timeout_s
    return ToolContext(run_id="", call_id=call, key=call, epoch=0, deadline=deadline)
