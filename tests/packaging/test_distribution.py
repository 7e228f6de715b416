"""What is in the wheel and the sdist is what is in the repository, and it works where the checkout is not."""

from __future__ import annotations

import ast
import configparser
import json
import re
import sys
import zipfile
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.conftest import ROOT, Installed, build

AGENT = """
from loom_core import Agent, Complete, Continue

async def step(count: int, ctx):
    return Complete(count) if count >= 3 else Continue(count + 1)

agent = Agent(name="counter", step=step, initial_state=0)
"""
CORE_MAY_IMPORT = {"attr", "attrs", "cattrs", "loom_core", "pluggy"}


def packages(project: dict[str, Any]) -> list[str]:
    found: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return found


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def text(wheel: Path, ending: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(ending))
        return archive.read(name).decode()


def test_every_listed_package_exists(project: dict[str, Any]) -> None:
    """The back end builds without a word when a folder of the list is missing."""
    assert [p for p in packages(project) if not (ROOT / p / "__init__.py").is_file()] == []
    assert len(set(packages(project))) == len(packages(project))


def test_every_package_of_the_repository_is_listed(project: dict[str, Any]) -> None:
    found = {
        str(p.parent.relative_to(ROOT)) for kind in ("apps", "plugins") for p in ROOT.glob(f"{kind}/*/*/__init__.py")
    }
    assert {"loom_core", *found} == set(packages(project))


@pytest.mark.parametrize("kind", ["apps", "plugins"])
def test_every_folder_has_exactly_one_package(kind: str) -> None:
    for folder in (ROOT / kind).iterdir():
        if folder.name == "__pycache__":
            continue
        (package,) = folder.glob("*/__init__.py")
        assert package.parent.name.startswith("loom_")
        if kind == "plugins":
            assert package.parent.name == f"loom_{folder.name}"


def test_every_plugin_has_an_entry_point(project: dict[str, Any], wheel: Path) -> None:
    plugins = {f.name: f"loom_{f.name}.plugin" for f in (ROOT / "plugins").iterdir() if f.name != "__pycache__"}
    assert project["project"]["entry-points"]["loom"] == plugins
    points = configparser.ConfigParser()
    points.read_string(text(wheel, ".dist-info/entry_points.txt"))
    assert dict(points["loom"]) == plugins
    assert dict(points["console_scripts"]) == project["project"]["scripts"]
    assert set(points["console_scripts"]) == {"loom", "loom-runner", "loom-run"}


def test_every_file_of_every_package_is_in_the_wheel(project: dict[str, Any], wheel: Path) -> None:
    inside = names(wheel)
    for package in packages(project):
        folder = ROOT / package
        files = {
            f"{folder.name}/{path.relative_to(folder)}"
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
        }
        assert files <= inside, files - inside
        assert f"{folder.name}/py.typed" in inside
    assert "loom_llm_local/smollm2_tools.jinja" in inside


def test_nothing_else_is_in_the_wheel(project: dict[str, Any], wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    version = project["project"]["version"]
    assert tops == {Path(p).name for p in packages(project)} | {f"loom_stack-{version}.dist-info"}
    assert [name for name in names(wheel) if name.endswith((".pyc", ".sqlite", ".gguf"))] == []


def test_the_metadata_say_what_the_project_says(project: dict[str, Any], wheel: Path) -> None:
    metadata = message_from_string(text(wheel, ".dist-info/METADATA"))
    described = project["project"]
    assert (metadata["Name"], metadata["Version"]) == (described["name"], described["version"])
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == described["requires-python"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(described["optional-dependencies"])
    required = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert {re.split(r"[<>=\[; ]", r)[0] for r in required} == {"apsw", "attrs", "cattrs", "click", "cronsim", "pluggy"}
    assert text(wheel, "/licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_every_extra_that_a_plugin_names_exists(project: dict[str, Any]) -> None:
    from loom_core.plugins import load_registry

    registry = load_registry()
    entries = [e for _, e in (*registry.models, *registry.tools, *registry.stores)]
    named = {e.extra for e in entries if getattr(e, "extra", None)}
    extras = project["project"]["optional-dependencies"]
    assert named <= set(extras)
    (everything,) = extras["all"]
    assert set(re.findall(r"\w+", everything.partition("[")[2])) == set(extras) - {"all", "dev"}


def test_the_core_imports_the_standard_library_and_three_packages() -> None:
    found: dict[str, set[str]] = {}
    for path in (ROOT / "loom_core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                modules = [str(node.module)]
            for module in modules:
                found.setdefault(module.split(".")[0], set()).add(str(path.relative_to(ROOT)))
    foreign = {m: files for m, files in found.items() if m not in sys.stdlib_module_names | CORE_MAY_IMPORT}
    # Contract suites are pytest classes; nothing imports them but tests.
    assert {m: f for m, f in foreign.items() if not all(n.startswith("loom_core/testing/") for n in f)} == {}
    assert set(foreign) <= {"pytest", "hypothesis"}


def test_the_sdist_is_whole_and_makes_the_same_wheel(unpacked: Path, wheel: Path, tmp_path: Path) -> None:
    for name in ("LICENSE", "README.md", "pyproject.toml", "docs", "examples", "tests/run.sh"):
        assert (unpacked / name).exists(), name
    again = build(unpacked, tmp_path, "wheel")
    assert names(again) == names(wheel)


def test_the_installed_programs_work_where_the_checkout_is_not(installed: Installed, project: dict[str, Any]) -> None:
    where = installed.run(str(_script(installed, "import loom_core; print(loom_core.__file__)")))
    assert where.stdout.startswith(str(installed.site))
    for program in ("loom", "loom-runner", "loom-run"):
        assert installed.run(program, "--help").returncode == 0
    assert project["project"]["version"] in installed.run("loom", "--version").stdout
    listed = installed.run("loom", "plugins", "list", "--json")
    found = {p["name"]: p["status"] for p in json.loads(listed.stdout)["plugins"]}
    assert set(found) == set(project["project"]["entry-points"]["loom"])
    assert not {"failed", "idle"} & set(found.values())
    (installed.place / "agent.py").write_text(AGENT)
    ran = installed.run("loom-runner", "run", "agent.py", "--run-id", "r")
    assert (ran.returncode, ran.stdout) == (0, "3\n"), ran.stderr
    said = installed.run("loom-run", "chat", "list files", "--mock-llm")
    assert said.returncode == 0, said.stderr
    assert "list_files returned" in said.stdout


def _script(installed: Installed, source: str) -> Path:
    path = installed.place / "script.py"
    path.write_text(source)
    return path
