"""Tools made from typed functions, and a registry of them."""

from __future__ import annotations

from loom_core.tools.arguments import arguments_from_json
from loom_core.tools.errors import ToolDefinitionError
from loom_core.tools.function_tool import FunctionTool, tool
from loom_core.tools.registry import ToolRegistry

__all__ = ["FunctionTool", "ToolDefinitionError", "ToolRegistry", "arguments_from_json", "tool"]
