"""`loom plugins check`: a plugin alone, in a process of its own, with every fault in plain words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from loom_app.checking.run import check
from loom_app.checking.target import Target

from tests.apps.loom.conftest import Ended
from tests.core.plugins.distributions import HEAD, TOOL, Site

Loom = Callable[..., Ended]

GOOD = """
from loom_core.hookspecs import RetryEntry, ToolEntry, hookimpl
import attrs

@attrs.frozen
class Settings:
    '''How it looks.'''
    depth: int = 1

def make_look(context):
    from loom_core.tools import tool

    @tool(effect="read")
    def look(path: str) -> str:
        "Look at a path."
        return path * context.config.depth

    return look

@hookimpl
def loom_tools():
    yield ToolEntry(name="look", summary="looks at things", factory=make_look, config=Settings)
"""


def with_depth(field: str) -> str:
    return GOOD.replace("depth: int = 1", field)


def offering(hook: str, record: str, attributes: str, name: str = "m") -> str:
    return f"{HEAD}@hookimpl\ndef loom_{hook}():\n    yield {record}(name={name!r}, summary='s', {attributes})\n"


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    def make(source: str, layout: str = "", module: str = "loom_acme.plugin") -> Path:
        folder = tmp_path / "project"
        file = folder / layout / Path(*module.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True)
        (file.parent / "__init__.py").touch()
        file.write_text(dedent(source))
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "loom-acme"\nversion = "1.2"\n[project.entry-points.loom]\nacme = "{module}"\n'
        )
        return folder

    return make


def findings(ended: Ended) -> list[tuple[str, str]]:
    (checked,) = ended.document["checks"]
    return [(finding["level"], finding["what"]) for finding in checked["findings"]]


def failures(ended: Ended) -> list[str]:
    return [what for level, what in findings(ended) if level == "failure"]


@pytest.mark.parametrize("layout", ["", "src", "deep/er"])
def test_a_good_project_passes_wherever_its_package_is(project: Callable[..., Path], loom: Loom, layout: str) -> None:
    ended = loom("plugins", "check", str(project(GOOD, layout)))
    assert ended.status == 0, ended.stdout
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert lines[0] == ["acme", "(loom-acme", "1.2)"]
    assert {line[0] for line in lines[1:]} == {"ok"}
    assert "tool `look`: made" in ended.stdout and "configuration [plugins.acme]: depth" in ended.stdout


def test_a_folder_without_project_and_a_modules_file_are_checked_too(project: Callable[..., Path], loom: Loom) -> None:
    folder = project(GOOD)
    (folder / "pyproject.toml").unlink()
    for target in (folder, folder / "loom_acme", folder / "loom_acme/plugin.py"):
        ended = loom("plugins", "check", str(target), "--json")
        assert ended.status == 0, ended.stdout
        assert ended.document["checks"][0]["name"] == "acme"


def test_an_installed_plugin_is_checked_by_its_name(here: Site, loom: Loom) -> None:
    here.add("acme", GOOD, head="")
    ended = loom("plugins", "check", "acme", "--json")
    assert ended.status == 0, ended.stdout
    assert ended.document["checks"][0]["distribution"] == "dist-acme 1.0"


def test_every_plugin_of_this_repository_passes(loom: Loom) -> None:
    ended = loom("plugins", "check", str(Path(__file__).parents[3]), "--json")
    failed = {checked["name"]: checked["findings"] for checked in ended.document["checks"] if not checked["ok"]}
    assert failed == {}
    assert len(ended.document["checks"]) >= 7


@pytest.mark.parametrize(
    ("source", "failure"),
    [
        ("raise RuntimeError('boom')", "it does not import: RuntimeError: boom"),
        ("", "loads but offers nothing: is a hook missing, or its @hookimpl?"),
        ("import cattrs\n" + GOOD, "imports cattrs"),
        ("import asyncio, json\n" + GOOD, "imports asyncio"),
        ("import os\nos._exit(7)", "ended its process with status 7"),
        ("import os\nos.kill(os.getpid(), 11)", "ended its process by signal 11"),
        (with_depth("depth: int"), "Settings: depth must have a default"),
        (with_depth("depth: int = attrs.field(default=0, validator=attrs.validators.ge(1))"), "'depth' must be >= 1"),
        (with_depth("depth: 'NoSuchType' = 1"), "a type of its config class is not importable"),
        (GOOD.replace('name="look"', 'name="lock"'), "offers the tool `lock` and made `look`"),
        (GOOD.replace('name="look"', 'name="l👀k"'), "a tool's name is 1–64 characters"),
        (GOOD.replace('effect="read"', 'effect="maybe"'), "effect"),
        (GOOD.replace("    return look\n", "    return 3\n"), "'int' object has no attribute 'name'"),
        (GOOD.replace("from loom_core.tools", "from no_such_lib"), "No module named 'no_such_lib'"),
        (offering("models", "ModelEntry", "prefix='m', factory=lambda c: object()"), "lacks stream, models, aclose"),
        (offering("retries", "RetryEntry", "factory=lambda c: 3"), "made neither a policy nor a classifier"),
        (offering("commands", "CommandEntry", "target='a:b'"), "`a:b` does not import"),
        (offering("commands", "CommandEntry", "target='json:dumps'"), "lacks a click command at `json:dumps`"),
        (offering("commands", "CommandEntry", "target='json:x'", name="config"), "cannot be reached"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_plain_words_and_ends_with_1(
    project: Callable[..., Path], loom: Loom, source: str, failure: str
) -> None:
    ended = loom("plugins", "check", str(project(source)), "--json")
    assert ended.status == 1
    assert any(failure in found for found in failures(ended)), failures(ended)


def test_a_missing_extra_is_a_warning_with_the_command_that_installs_it(
    project: Callable[..., Path], loom: Loom
) -> None:
    source = GOOD.replace("config=Settings", "config=Settings, requires=('no_such_lib',), extra='acme'")
    ended = loom("plugins", "check", str(project(source)), "--json")
    assert ended.status == 0
    assert any(level == "warning" and "[acme]'" in what for level, what in findings(ended))


def test_a_plugin_that_needs_configuration_and_says_so_clearly_only_warns(
    project: Callable[..., Path], loom: Loom
) -> None:
    source = GOOD.replace(
        "from loom_core.tools import tool", "from loom_core.errors import BadInput; raise BadInput('no key is set')"
    )
    ended = loom("plugins", "check", str(project(source)), "--json")
    assert ended.status == 0
    assert ("warning", "tool `look` cannot be made without configuration: no key is set") in findings(ended)


def test_a_plugin_that_hangs_is_stopped(project: Callable[..., Path]) -> None:
    folder = project("import threading\nthreading.Event().wait()")
    report = check(Target(name="acme", module="loom_acme.plugin", distribution="", roots=(str(folder),)), timeout_s=1)
    assert [finding.what for finding in report.findings] == [
        "did not finish loading within 1 s: loading must not block or connect"
    ]


def test_checking_does_not_import_the_plugin_here(project: Callable[..., Path], loom: Loom) -> None:
    import sys

    loom("plugins", "check", str(project(GOOD)))
    assert "loom_acme" not in sys.modules


def test_a_module_in_the_current_folder_does_not_take_the_place_of_a_standard_one(
    project: Callable[..., Path], loom: Loom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(GOOD)
    (tmp_path / "json.py").write_text("raise AssertionError")
    monkeypatch.chdir(tmp_path)
    assert loom("plugins", "check", str(folder)).status == 0


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("retry_polices", "no plugin `retry_polices` is installed"),
        ("./nowhere", "is neither a plugin's name, nor its folder"),
        ("{tmp}", "it has neither a pyproject.toml nor a plugin.py"),
        ("{tmp}/json.py", "has the name of a standard module"),
        ("{tmp}/a-b.py", "is no module name"),
    ],
)
def test_a_target_that_means_nothing_is_bad_input(loom: Loom, tmp_path: Path, target: str, sentence: str) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in ("json.py", "a-b.py"):
        (folder / name).touch()
    ended = loom("plugins", "check", target.format(tmp=folder))
    assert ended.status == 2
    assert sentence in ended.stderr


@pytest.mark.parametrize("content", ["", "[project]\nname='x'", "not toml ="])
def test_a_project_that_declares_no_plugin_says_how_to(loom: Loom, tmp_path: Path, content: str) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(content)
    assert loom("plugins", "check", str(folder)).status == 2


def test_two_distributions_of_one_name_are_both_checked(here: Site, loom: Loom) -> None:
    here.add("twin", TOOL.format(name="a"), distribution="acme-twin")
    here.add("twin", TOOL.format(name="a"), distribution="zeta-twin")
    checks = loom("plugins", "check", "twin", "--json").document["checks"]
    assert [checked["distribution"] for checked in checks] == ["acme-twin 1.0", "zeta-twin 1.0"]
