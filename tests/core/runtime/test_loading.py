"""Agent files under any name, with neighbours, and what is said of those that do not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loom_core.errors import AgentLoadError
from loom_core.runtime.loading import load_agent

AGENT = """
from loom_core import Agent, Complete
{imports}
async def step(state: int, ctx):
    return Complete(state)
agent = Agent(name="{name}", step=step, initial_state=3)
"""


@pytest.mark.parametrize("name", ["json", "click", "asyncio", "attrs", "loom_core", "a-b c"])
def test_an_agent_file_named_like_an_installed_module_shadows_nothing(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text(AGENT.format(name="x", imports="import json, click; json.dumps; click.command"))
    code = (
        "import sys; from loom_core.runtime.loading import load_agent; "
        "a = load_agent(sys.argv[1]); import json, click, importlib; json.dumps({}); click.command; "
        "importlib.import_module('loom_core.errors'); print(a.first_state())"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "3\n"), ran.stderr


def test_an_agent_file_imports_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("WORD = 'hi'\n")
    (tmp_path / "a.py").write_text(AGENT.format(name="x", imports="import neighbour_of_mine; neighbour_of_mine.WORD"))
    assert load_agent(str(tmp_path / "a.py")).first_state() == 3


def test_the_reference_of_a_file_finds_it_again_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text(AGENT.format(name="x", imports=""))
    monkeypatch.chdir(tmp_path)
    loaded = load_agent("a.py:agent")
    monkeypatch.chdir("/")
    assert load_agent(loaded.reference).agent is not None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("x = 1/0\n", "line 1, raised ZeroDivisionError"),
        ("def f(:\n", "line 1"),
        ("import sys\nsys.exit(3)\n", "raised SystemExit: 3"),
        ("x = 1\n", "offers no agent"),
        ("agent = 7\n", "offers no agent"),
        (
            "from loom_core import Agent\ndef step(s, c): ...\nagent = Agent(name='x', step=step)\n",
            "not an async function",
        ),
        ("import no_such_module_anywhere\n", "ModuleNotFoundError"),
    ],
)
def test_a_file_that_offers_no_agent_is_told_in_one_sentence(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(content)
    with pytest.raises(AgentLoadError, match=says.replace("(", r"\(")) as error:
        load_agent(str(file))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("target", ["missing.py", "no.such.module:agent", ".", "x.py:agent"])
def test_a_target_that_is_not_there_is_told(target: str) -> None:
    with pytest.raises(AgentLoadError):
        load_agent(target)


def test_a_module_of_an_installed_package_is_an_agent_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_package_of_agents"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text(AGENT.format(name="x", imports=""))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_agent("some_package_of_agents.mine:agent").first_state() == 3
    with pytest.raises(AgentLoadError, match="is not there"):
        load_agent("some_package_of_agents.mine:nobody")


def test_build_runner_is_an_agent_too(tmp_path: Path) -> None:
    file = tmp_path / "b.py"
    file.write_text(
        "from loom_core import AgentRunner, Complete\n"
        "async def step(state: int, ctx):\n    return Complete(state)\n"
        "def build_runner(db):\n    return AgentRunner(step=step, store=db)\n"
        "def initial_state():\n    return 9\n"
    )
    code = (
        "import asyncio, sys, json\nfrom loom_core.runtime.loading import load_agent\n"
        "a = load_agent(sys.argv[1])\n"
        "async def main():\n"
        "    async with a.runner(sys.argv[2]) as r:\n"
        "        x = await r.start(run_id='a', initial_state=a.first_state())\n"
        "        print(json.dumps([x.result, (await r.get_run('a')).agent.reference]))\n"
        "asyncio.run(main())\n"
    )
    argv = [sys.executable, "-c", code, str(file), str(tmp_path / "r.sqlite")]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == [9, str(file)]
