"""The four tools as the model sees them, made from the plain classes of this package."""

from __future__ import annotations

from loom_core.contracts.tools import Tool
from loom_core.hookspecs import PluginContext
from loom_core.tools import tool
from loom_tools_workspace.config import WorkspaceConfig
from loom_tools_workspace.guard import Guard
from loom_tools_workspace.listing import Listing
from loom_tools_workspace.reader import Reader
from loom_tools_workspace.search import Search
from loom_tools_workspace.secrets import SecretNames
from loom_tools_workspace.suite import Suite
from loom_tools_workspace.workspace import Workspace

# Reading and listing take milliseconds; what takes longer hangs in a file system that does not answer.
_READ_TIMEOUT_S = 30.0
# Beyond the limits that the tools keep themselves, so that their own answer comes first.
_MARGIN_S = 30.0


def read_file_tool(context: PluginContext) -> Tool:
    """Return ``read_file``."""
    config = _config(context)
    reader = Reader(workspace=_workspace(context), max_bytes=config.max_bytes, max_lines=config.max_lines)

    @tool(effect="read", timeout_s=_READ_TIMEOUT_S)
    def read_file(path: str, start_line: int = 1, max_lines: int = 400) -> str:
        """Read a text file of the workspace, as much as fits; a last line in brackets says how to read on.

        Args:
            path: the file, relative to the workspace.
            start_line: the first line to show; 1 is the first of the file.
            max_lines: how many lines to show at most.
        """
        return reader.read(path, start_line, max_lines)

    return read_file


def list_files_tool(context: PluginContext) -> Tool:
    """Return ``list_files``."""
    listing = Listing(_workspace(context))

    @tool(effect="read", timeout_s=_READ_TIMEOUT_S)
    def list_files(path: str = ".", pattern: str | None = None, max_entries: int = 500) -> str:
        """List the files below a folder of the workspace, with their sizes.

        Args:
            path: the folder, relative to the workspace.
            pattern: a glob of names (`*.py`) or of paths below the folder (`docs/**/*.md`).
            max_entries: how many lines to show at most; if there are more files, deep folders become one line each.
        """
        return listing.list(path, pattern, max_entries)

    return list_files


def search_docs_tool(context: PluginContext) -> Tool:
    """Return ``search_docs``."""
    config = _config(context)
    search = Search(workspace=_workspace(context), max_files=config.search_max_files, timeout_s=config.search_timeout_s)

    @tool(effect="read", timeout_s=config.search_timeout_s + _MARGIN_S)
    def search_docs(query: str, max_results: int = 8, path: str = ".") -> str:
        """Find the places in the workspace's documents and code that match some words best.

        Each result is `path:first-last` with its headings and some of its lines; read_file shows the rest.

        Args:
            query: a few words, or the name of something in code.
            max_results: how many places to show at most.
            path: the folder or file to search, relative to the workspace.
        """
        return search.search(query, max_results, path)

    return search_docs


def run_tests_tool(context: PluginContext) -> Tool:
    """Return ``run_tests``.

    It is declared ``idempotent``: a test run may be repeated under one key. It executes the workspace's code all the
    same, which is why it is not a ``read`` tool and is offered to a model only when the user allows it by name.
    """
    config = _config(context)
    suite = Suite(
        workspace=_workspace(context),
        command=config.test_command,
        timeout_s=config.test_timeout_s,
        max_bytes=config.max_bytes,
        environ=context.environ,
        environment=config.test_environment,
    )

    @tool(effect="idempotent", timeout_s=config.test_timeout_s + _MARGIN_S)
    def run_tests(target: str | None = None) -> str:
        """Run the workspace's tests and return the exit status and the output.

        Args:
            target: a file or folder of the workspace, with `::name` parts for single tests; without it, all tests run.
        """
        return suite.run(target)

    return run_tests


def _config(context: PluginContext) -> WorkspaceConfig:
    return context.config if isinstance(context.config, WorkspaceConfig) else WorkspaceConfig()


def _workspace(context: PluginContext) -> Workspace:
    secrets = SecretNames.of(_config(context).secret_names)
    return Workspace(root=context.workspace, guard=Guard(context.protected_files), secrets=secrets)
