"""Help fits a screen and has examples that work; what the documentation shows exists."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.docs.commands import PAGES, all_commands, faults_of, help_of, shown_lines

COMMANDS = dict(all_commands())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_fits_a_screen(name: str) -> None:
    lines = help_of(name, COMMANDS[name]).splitlines()
    assert len(lines) <= 40
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_has_two_examples_of_this_command_that_exist(name: str) -> None:
    examples = [e.strip() for e in help_of(name, COMMANDS[name]).partition("Examples:\n")[2].splitlines() if e.strip()]
    assert len(examples) >= 2
    assert [e for e in examples if not e.startswith(name.split()[0])] == []
    assert sum(e.startswith(name) for e in examples) >= 1
    assert [fault for e in examples for fault in faults_of(e)] == []


@pytest.mark.parametrize("name", sorted(n for n, c in COMMANDS.items() if not isinstance(c, click.Group)))
def test_every_option_is_explained_and_every_command_speaks_json(name: str) -> None:
    options = [p for p in COMMANDS[name].params if isinstance(p, click.Option)]
    assert [o.name for o in options if not o.help] == []
    assert "--json" in {flag for o in options for flag in o.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_line_of_the_documentation_exists(page: Path) -> None:
    assert {line: faults for line in shown_lines(page) if (faults := faults_of(line))} == {}


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("loom-run tell hi", ["loom-run has no command 'tell'"]),
        ("loom --json plugins lst", ["loom plugins has no command 'lst'"]),
        ("loom-runner run a.py --run-id x --maxsteps 3", ["loom-runner run has no option --maxsteps"]),
        ("LOOM_DB=x loom --disable-plugin y plugins list  # why", []),
    ],
)
def test_the_check_of_command_lines_finds_what_is_wrong(line: str, faults: list[str]) -> None:
    assert faults_of(line) == faults
