"""The plugin offers four tools that behave as tools do, and costs nothing until one is used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cattrs
import pytest
from loom_tools_workspace.config import WorkspaceConfig
from loom_tools_workspace.plugin import loom_tools
from loom_tools_workspace.refusals import WorkspaceRefusal
from loom_tools_workspace.secrets import DATABASE_NAMES, SECRET_NAMES

from loom_core.contracts.tools import ToolContext
from loom_core.hookspecs import PluginContext

ENTRIES = {entry.name: entry for entry in loom_tools()}
CALL = ToolContext(run_id="r", call_id="0/0", key="r/0/0", epoch=1, deadline=None)
DOCS = Path(__file__).parents[3] / "docs" / "workspace-tools.md"


def tools(workspace: Path | None, **config: object) -> dict:
    context = PluginContext(
        config=WorkspaceConfig(**config) if config else None,
        workspace=workspace,
        cache_dir=Path("/nowhere"),
        environ=dict(os.environ),
    )
    return {name: entry.factory(context) for name, entry in ENTRIES.items()}


def call(tool, *args: object, **kwargs: object) -> object:
    return tool.call(tool.bind(args, kwargs), CALL)


def test_there_are_four_tools_under_the_names_of_their_entries() -> None:
    made = tools(None)
    assert set(made) == {"read_file", "list_files", "search_docs", "run_tests"}
    assert {name: tool.name for name, tool in made.items()} == {name: name for name in made}


def test_reading_tools_are_read_and_running_tests_is_not() -> None:
    effects = {name: tool.effect for name, tool in tools(None).items()}
    assert effects == {"read_file": "read", "list_files": "read", "search_docs": "read", "run_tests": "idempotent"}


def test_every_tool_blocks_has_a_timeout_and_says_what_it_does() -> None:
    for tool in tools(None).values():
        assert tool.blocking
        assert tool.timeout_s
        assert "workspace" in tool.description


def test_a_tool_gives_up_before_the_runtime_does() -> None:
    made = tools(None, test_timeout_s=500.0, search_timeout_s=100.0)
    assert made["run_tests"].timeout_s > 500 + 5
    assert made["search_docs"].timeout_s > 100


def test_the_schemas_describe_every_parameter() -> None:
    properties = {name: tool.parameters["properties"] for name, tool in tools(None).items()}
    assert {name: set(of) for name, of in properties.items()} == {
        "read_file": {"path", "start_line", "max_lines"},
        "list_files": {"path", "pattern", "max_entries"},
        "search_docs": {"query", "max_results", "path"},
        "run_tests": {"target"},
    }
    assert all(schema["description"] for of in properties.values() for schema in of.values())


def test_the_tools_work_as_tools(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Title\n\nword\n")
    made = tools(tmp_path, test_command=(sys.executable, "-c", "print('ran')"))
    assert call(made["read_file"], "a.md", max_lines=1) == (
        "# Title\n[lines 1 to 1 of 3; the file has 14 bytes; read on with start_line=2]"
    )
    assert call(made["list_files"]) == "1 entry below `.`\na.md  14 bytes"
    assert "a.md:1-3  (Title)" in call(made["search_docs"], query="word")
    assert call(made["run_tests"]).endswith("\nran")


def test_without_a_workspace_every_tool_exists_and_refuses() -> None:
    for name, arguments in {"read_file": ["a"], "list_files": [], "search_docs": ["a"], "run_tests": []}.items():
        with pytest.raises(WorkspaceRefusal, match="no workspace is set"):
            call(tools(None)[name], *arguments)


def test_configured_names_are_secret(tmp_path: Path) -> None:
    (tmp_path / "a.private").write_text("x")
    with pytest.raises(WorkspaceRefusal, match="may hold secrets"):
        call(tools(tmp_path, secret_names=("*.private",))["read_file"], "a.private")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_bytes", 255),
        ("max_lines", 0),
        ("search_max_files", 0),
        ("search_timeout_s", 0.0),
        ("test_timeout_s", float("nan")),
        ("test_command", ()),
        ("test_command", ("pytest", "")),
        ("secret_names", ("",)),
        ("test_environment", ("a\0",)),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        WorkspaceConfig(**{key: value})


def test_a_configuration_file_can_say_everything() -> None:
    table = {"test_command": ["npm", "test", "--"], "max_bytes": 1000, "test_timeout_s": 5.0}
    config = cattrs.structure(table, WorkspaceConfig)
    assert (config.test_command, config.max_bytes) == (("npm", "test", "--"), 1000)


def test_importing_the_plugin_loads_nothing_heavy() -> None:
    script = (
        "import sys, loom_core.hookspecs; before = set(sys.modules); import loom_tools_workspace.plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert not {"apsw", "asyncio", "cattrs", "subprocess", "loom_tools_workspace.tools"} & set(loaded)


def test_the_document_names_every_setting_and_every_closed_name() -> None:
    text = DOCS.read_text()
    for field in WorkspaceConfig.__attrs_attrs__:
        assert f"`{field.name}`" in text or f"\n{field.name} = " in text
    families = re.findall(r"`([^`{]+)\{([^}]+)\}`", text)
    expanded = text + " ".join(f"`{stem}{suffix}`" for stem, suffixes in families for suffix in suffixes.split(","))
    for name in (*SECRET_NAMES, *DATABASE_NAMES):
        plain = name.replace("[-_]", "-")
        assert f"`{plain}`" in expanded or f"`{plain.replace('y*ml', 'yaml')}`" in expanded
