"""Somebody else's plugin, in a distribution of its own: installed, found, used, disabled, broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.packaging.conftest import Installed, pip_install

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.2.3"
dependencies = ["loom-stack"]

[project.optional-dependencies]
acme = ["acme-sdk"]

[project.entry-points.loom]
{plugin} = "{module}.plugin"

[tool.hatch.build.targets.wheel]
packages = ["{module}"]
"""

WEATHER = """
from loom_core.hookspecs import ToolEntry, hookimpl
from pathlib import Path

Path("imported").touch()

@hookimpl
def loom_tools():
    yield ToolEntry(name="forecast", summary="say what the weather will be", factory=make_forecast)
    yield ToolEntry(name="order_umbrella", summary="order an umbrella", factory=make_order)

def make_forecast(context):
    from loom_core import tool

    @tool(effect="read")
    def forecast(city: str, days: int = 1) -> str:
        "Say what the weather will be."
        return f"{city}: rain for {days} days"

    return forecast

def make_order(context):
    from loom_core import tool

    @tool(effect="once")
    def order_umbrella(colour: str) -> str:
        "Order an umbrella."
        with Path("orders").open("a") as file:
            file.write(colour)
        return "ordered"

    return order_umbrella
"""

BROKEN = "raise RuntimeError('the moon is in the wrong house')\n"

CLASH = """
from loom_core.hookspecs import ToolEntry, hookimpl

@hookimpl
def loom_tools():
    yield ToolEntry(name="forecast", summary="another", factory=lambda context: None)
    yield ToolEntry(name="tides", summary="tides", factory=make)

def make(context):
    from loom_core import tool

    @tool(effect="read")
    def tides(harbour: str) -> str:
        "Say when high water is."
        return f"high water at {harbour}"

    return tides
"""

NEEDY = """
from loom_core.hookspecs import ToolEntry, hookimpl

@hookimpl
def loom_tools():
    yield ToolEntry(
        name="acme", summary="needs a library", factory=lambda context: None, requires=("acme_sdk",), extra="acme"
    )
"""

Add = Callable[..., Path]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """Install a distribution with one plugin into the test's own folder; the folder is returned."""

    def install(plugin: str, source: str) -> Path:
        name, module = f"acme-{plugin}", f"acme_{plugin}"
        project = tmp_path / name
        (project / module).mkdir(parents=True)
        (project / "pyproject.toml").write_text(PROJECT.format(name=name, plugin=plugin, module=module))
        (project / module / "__init__.py").touch()
        (project / module / "plugin.py").write_text(dedent(source))
        # Each into a folder of its own: pip does not add to a --target that has one already without a warning.
        target = tmp_path / f"site-{plugin}"
        pip_install(target, project)
        return target

    return install


def plugins(installed: Installed, *more: Path, **environ: str) -> dict[str, Any]:
    listed = installed.run("loom", "plugins", "list", "--json", more=more, **environ)
    assert listed.returncode == 0, listed.stderr
    return {p["name"]: p for p in json.loads(listed.stdout)["plugins"]}


def test_a_plugin_is_found_checked_listed_and_used(installed: Installed, add: Add) -> None:
    weather = add("weather", WEATHER)
    found = plugins(installed, weather)["weather"]
    assert (found["status"], found["distribution"], found["version"]) == ("active", "acme-weather", "1.2.3")
    checked = installed.run("loom", "plugins", "check", "weather", more=(weather,))
    assert checked.returncode == 0, checked.stdout
    tools = json.loads(installed.run("loom", "tools", "list", "--json", more=(weather,)).stdout)["tools"]
    assert {t["name"]: t["effect"] for t in tools}.items() >= {("forecast", "read"), ("order_umbrella", "once")}
    order = 'call forecast {"city": "Oslo", "days": 2}'
    said = installed.run("loom-run", "chat", order, "--mock-llm", more=(weather,))
    assert (said.returncode, said.stdout) == (0, "forecast returned: Oslo: rain for 2 days\n"), said.stderr


def test_a_tool_with_an_effect_is_offered_only_when_it_is_allowed(installed: Installed, add: Add) -> None:
    weather = add("weather", WEATHER)
    order = ("loom-run", "chat", 'call order_umbrella {"colour": "red"}', "--mock-llm")
    assert "You said" in installed.run(*order, more=(weather,)).stdout
    assert not (installed.place / "orders").exists()
    said = installed.run(*order, "--allow", "order_umbrella", more=(weather,))
    assert said.stdout == "order_umbrella returned: ordered\n"
    assert (installed.place / "orders").read_text() == "red"


@pytest.mark.parametrize("by", ["flag", "environment"])
def test_a_disabled_plugin_is_not_even_imported(installed: Installed, add: Add, by: str) -> None:
    weather = add("weather", WEATHER)
    flag = ("--disable-plugin", "weather") if by == "flag" else ()
    environ = {"LOOM_DISABLE_PLUGINS": "weather"} if by == "environment" else {}
    listed = installed.run("loom", "tools", "list", *flag, more=(weather,), **environ)
    assert listed.returncode == 0
    assert "forecast" not in listed.stdout
    said = installed.run("loom-run", "chat", "call forecast", "--mock-llm", *flag, more=(weather,), **environ)
    assert said.stdout == "You said: call forecast\n"
    assert not (installed.place / "imported").exists()


def test_a_broken_plugin_is_named_and_hurts_nobody_else(installed: Installed, add: Add) -> None:
    more = (add("broken", BROKEN), add("weather", WEATHER))
    found = plugins(installed, *more)
    assert (found["broken"]["status"], found["weather"]["status"]) == ("failed", "active")
    assert "the moon is in the wrong house" in json.dumps(found["broken"])
    said = installed.run("loom-run", "chat", 'call forecast {"city": "Oslo"}', "--mock-llm", more=more)
    assert said.returncode == 0
    assert said.stdout == "forecast returned: Oslo: rain for 1 days\n"
    assert "Traceback" not in said.stderr
    strict = installed.run("loom-run", "chat", "hi", "--mock-llm", more=more, LOOM_STRICT_PLUGINS="1")
    assert strict.returncode != 0
    assert "broken" in strict.stderr


def test_of_two_tools_with_one_name_neither_is_offered_and_the_rest_works(installed: Installed, add: Add) -> None:
    more = (add("weather", WEATHER), add("sea", CLASH))
    found = plugins(installed, *more)
    assert "forecast" in json.dumps([found["weather"], found["sea"]])
    said = installed.run("loom-run", "chat", 'call forecast; call tides {"harbour": "Rye"}', "--mock-llm", more=more)
    assert (said.returncode, said.stdout) == (0, "tides returned: high water at Rye\n"), said.stderr
    called = installed.run("loom", "tools", "call", "forecast", "--args", '{"city": "Oslo"}', more=more)
    assert called.returncode in (2, 3)
    assert all(word in called.stderr for word in ("forecast", "weather", "sea"))
    allowed = installed.run("loom-run", "chat", "hi", "--allow", "forecast", "--mock-llm", more=more)
    assert allowed.returncode == 2


def test_a_missing_extra_is_told_with_the_way_to_get_it(installed: Installed, add: Add) -> None:
    needy = add("needy", NEEDY)
    assert plugins(installed, needy)["needy"]["status"] == "unavailable"
    called = installed.run("loom", "tools", "call", "acme", "--args", "{}", more=(needy,))
    assert called.returncode == 2
    assert "pip install 'acme-needy[acme]'" in called.stderr
    assert installed.run("loom-run", "chat", "hi", "--mock-llm", more=(needy,)).returncode == 0


def test_a_conversation_whose_plugin_is_gone_says_so_and_stays(installed: Installed, add: Add) -> None:
    weather = add("weather", WEATHER)
    say = ("loom-run", "chat", "hi", "--mock-llm", "--run-id", "q")
    assert installed.run(*say, more=(weather,)).returncode == 0
    before = (installed.place / "runs.sqlite").read_bytes()
    gone = installed.run(*say)
    assert gone.returncode == 2
    assert "forecast" in gone.stderr
    assert (installed.place / "runs.sqlite").read_bytes() == before
    assert installed.run(*say, more=(weather,)).returncode == 0
