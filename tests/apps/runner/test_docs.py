"""`docs/loom-runner.md` tells of every command and every option of its own, and of none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from loom_runner.main import _COMMANDS, group

DOC = (Path(__file__).parents[3] / "docs" / "loom-runner.md").read_text()
SECTIONS = {part.split("\n", 1)[0]: part for part in re.split(r"^### ", DOC, flags=re.MULTILINE)[1:]}
SHARED = {"--json", "--verbose", "-v", "--quiet", "-q", "--traceback", "--config", "--disable-plugin", "--help"}
PLACE = {"--db", "--run-id"}
PAGES = {"--limit", "--offset"}


def options_of(name: str) -> set[str]:
    return _options(_COMMANDS[name].load())


def _options(command: click.Command) -> set[str]:
    """Return the options of a command, and of the commands below it."""
    context = click.Context(command)
    found = {o for p in command.get_params(context) if isinstance(p, click.Option) for o in p.opts}
    if isinstance(command, click.Group):
        below = (command.get_command(context, name) for name in command.list_commands(context))
        found = found.union(*(_options(each) for each in below if each is not None))
    return found


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_and_option_is_documented(name: str) -> None:
    told = SECTIONS[name]
    assert [o for o in options_of(name) - SHARED - PLACE - PAGES if f"`{o}`" not in told] == []


def test_no_command_or_option_is_documented_that_does_not_exist() -> None:
    assert set(re.findall(r"loom-runner ([a-z-]+)", DOC)) <= set(_COMMANDS)
    known = set().union(*(options_of(name) for name in _COMMANDS))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DOC)) <= known


def test_the_help_lists_every_command_with_one_line() -> None:
    text = group().get_help(click.Context(group(), info_name="loom-runner"))
    assert [name for name in _COMMANDS if f"  {name}  " not in text] == []
