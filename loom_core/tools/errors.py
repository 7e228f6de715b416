"""What is wrong with the definition of a tool, as opposed to a call of it."""

from __future__ import annotations

from loom_core.errors import BadInput


class ToolDefinitionError(BadInput, TypeError):
    """A function that cannot be a tool as it is written; raised when it is decorated or registered, never later."""

    code = "tool_definition"

    def __init__(self, tool: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"tool `{tool}`: {reason}", hint=hint)
        self.tool = tool
        self.reason = reason
