"""Every command line there is, as click knows it, and every one that the documentation shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
from loom_app.main import root as loom
from loom_run.main import group as loom_run
from loom_runner.main import group as loom_runner

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PROGRAMS = {"loom": lambda: loom, "loom-runner": loom_runner, "loom-run": loom_run}
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SHELLS = ("", "console", "sh", "bash", "shell")


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command and group with its whole name."""
    for program, make in PROGRAMS.items():
        yield from _below(program, make())


def help_of(name: str, command: click.Command) -> str:
    """Return a command's help as an 80-column terminal shows it."""
    return command.get_help(_context(name, command))


def shown_lines(page: Path) -> list[str]:
    """Return the command lines of Loom's programs in a page's code blocks."""
    lines: list[str] = []
    for language, block in _FENCE.findall(page.read_text()):
        if language in _SHELLS:
            lines += [line.strip().removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if _words(line)]


def faults_of(line: str) -> list[str]:
    """Return what is wrong with a command line: an unknown command, an unknown option, a missing value."""
    words = _words(line)
    name, command = words[0], PROGRAMS[words[0]]()
    rest = words[1:]
    while isinstance(command, click.Group):
        context = _context(name, command)
        options, rest = _leading_options(command, context, rest)
        if not rest:
            return options
        found = command.get_command(context, rest[0])
        if found is None:
            return [f"{name} has no command {rest[0]!r}"]
        name, command, rest = f"{name} {rest[0]}", found, rest[1:]
    known = _options(command, _context(name, command))
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return [f"{name} has no option {option}" for option in given if option not in known]


def _words(line: str) -> list[str]:
    """Return the words of the Loom command in a line, if it has one: without comments, environment and pipes."""
    line = re.split(r"\s#|&&|[|]|\s>", line)[0]
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    return words if words and words[0] in PROGRAMS else []


def _leading_options(command: click.Command, context: click.Context, words: list[str]) -> tuple[list[str], list[str]]:
    known, faults = _options(command, context), []
    while words and words[0].startswith("-"):
        option = known.get(words[0].partition("=")[0])
        if option is None:
            faults.append(f"{context.info_name} has no option {words[0]}")
        takes_value = option is not None and not option.is_flag and not option.count and "=" not in words[0]
        words = words[2 if takes_value else 1 :]
    return faults, words


def _options(command: click.Command, context: click.Context) -> dict[str, click.Option]:
    params = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    return {name: param for param in params for name in (*param.opts, *param.secondary_opts)}


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = _context(name, command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from _below(f"{name} {each}", found)


def _context(name: str, command: click.Command) -> click.Context:
    return click.Context(command, info_name=name, terminal_width=80, max_content_width=80)
