"""The documentation of plugins and configuration, executed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from loom_core.config import load_config
from loom_core.hookspecs import LoomSpec
from loom_core.plugins import load_registry
from tests.apps.loom.conftest import Ended
from tests.core.plugins.distributions import Site

DOCS = Path(__file__).parents[3] / "docs"
Loom = Callable[..., Ended]


def text(name: str) -> str:
    return (DOCS / name).read_text()


def files(markdown: str) -> dict[str, str]:
    """Return the code blocks that stand under the name of a file."""
    return dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "greetings"
    for name, content in files(text("plugins.md")).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "loom_greetings/__init__.py").touch()
    return folder


def test_the_plugin_of_the_documentation_passes_its_check(project: Path, loom: Loom) -> None:
    ended = loom("plugins", "check", str(project), "--json")
    (checked,) = ended.document["checks"]
    assert {finding["level"] for finding in checked["findings"]} == {"ok"}


def test_the_plugin_of_the_documentation_works_once_it_is_installed(
    project: Path, here: Site, loom: Loom, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = tomllib.loads((project / "pyproject.toml").read_text())["project"]["entry-points"]["loom"]
    (project / "loom_greetings").rename(here.folder / "loom_greetings")
    here.modules.append("loom_greetings")
    here.add_metadata("loom-greetings", "0.1.0", "[loom]\n" + "".join(f"{n} = {v}\n" for n, v in points.items()))
    monkeypatch.setenv("LOOM_PLUGINS__GREETINGS__WORD", "Good evening")
    call = ["tools", "call", "greet", "--args", '{"name": "Ada"}']
    assert loom(*call).stdout == "Good evening, Ada!\n"
    assert loom(*call, "--disable-plugin", "greetings").status == 2


def test_every_hook_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(loom_\w+)` \| `(\w+)` \|", text("plugins.md"), re.MULTILINE)
    hooks = [name for name in vars(LoomSpec) if name.startswith("loom_")]
    assert [name for name, _ in rows] == hooks
    for name, record in rows:
        assert record in str(getattr(LoomSpec, name).__annotations__["return"])


def test_the_configuration_of_the_documentation_is_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", text("configuration.md"), re.DOTALL)
    file = tmp_path / "config.toml"
    file.write_text(block)
    config = load_config(flags={}, environ={"HOME": str(tmp_path)}, config_file=file)
    registry = load_registry()
    assert config.unknown_plugins(info.name for info in registry.plugins) == ()
    for name in {setting.path[1] for setting in config.settings if setting.path[0] == "plugins"}:
        cls = registry.plugin(name).config
        assert cls is not None
        config.plugin(name, cls)


def test_every_command_of_loom_is_documented(loom: Loom) -> None:
    documented = text("cli.md")
    for group in ("plugins", "config", "tools", "models", "tailcalls"):
        listed = loom(group, "--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
        for line in listed.splitlines():
            if line.startswith("  ") and line[2] != " ":
                name = line.split()[0]
                assert re.search(rf"`loom {group} (\w+`, `)?{name}\b|`{name} NAME`", documented), (group, name)
