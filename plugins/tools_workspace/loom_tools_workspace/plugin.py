"""What this plugin offers: four tools that look at one folder and run its tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from loom_core.hookspecs import PluginContext, ToolEntry, hookimpl
from loom_tools_workspace.config import WorkspaceConfig

if TYPE_CHECKING:
    from loom_core.contracts.tools import Tool


@hookimpl
def loom_tools() -> Iterator[ToolEntry]:
    """Yield ``read_file``, ``list_files``, ``search_docs`` and ``run_tests``."""
    yield ToolEntry(
        name="read_file",
        summary="read a text file of the workspace, some hundred lines at a time",
        config=WorkspaceConfig,
        factory=make_read_file,
    )
    yield ToolEntry(
        name="list_files",
        summary="list the files of the workspace with their sizes",
        config=WorkspaceConfig,
        factory=make_list_files,
    )
    yield ToolEntry(
        name="search_docs",
        summary="find the places in the workspace's documents and code that match some words best",
        config=WorkspaceConfig,
        factory=make_search_docs,
    )
    yield ToolEntry(
        name="run_tests",
        summary="run the workspace's tests by the configured command",
        config=WorkspaceConfig,
        factory=make_run_tests,
    )


def make_read_file(context: PluginContext) -> Tool:
    """Return the tool; without a workspace it refuses every call."""
    from loom_tools_workspace.tools import read_file_tool

    return read_file_tool(context)


def make_list_files(context: PluginContext) -> Tool:
    """Return the tool; without a workspace it refuses every call."""
    from loom_tools_workspace.tools import list_files_tool

    return list_files_tool(context)


def make_search_docs(context: PluginContext) -> Tool:
    """Return the tool; without a workspace it refuses every call."""
    from loom_tools_workspace.tools import search_docs_tool

    return search_docs_tool(context)


def make_run_tests(context: PluginContext) -> Tool:
    """Return the tool; without a workspace it refuses every call."""
    from loom_tools_workspace.tools import run_tests_tool

    return run_tests_tool(context)
