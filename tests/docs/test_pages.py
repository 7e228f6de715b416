"""The pages: links lead somewhere, the table of exit statuses is the one of the code, `loom-run` is told whole."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from loom_cli.exits import MEANINGS

from tests.docs.commands import PAGES, ROOT, all_commands

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SHARED = {"--json", "--verbose", "-v", "--quiet", "-q", "--traceback", "--config", "--disable-plugin", "--help"}


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_table_of_exit_statuses_is_the_one_of_the_code() -> None:
    rows = re.findall(r"^\| `(\d+)` \| (.+?) \|$", (ROOT / "docs/cli.md").read_text(), re.MULTILINE)
    assert {int(status): meaning for status, meaning in rows} == {int(s): m for s, m in MEANINGS.items()}


def test_every_command_and_option_of_loom_run_is_told() -> None:
    told = (ROOT / "docs/loom-run.md").read_text()
    for name, command in all_commands():
        if name.startswith("loom-run ") and isinstance(command, click.Command):
            assert f"`{name}" in told, name
            options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
            assert [o for o in options - SHARED if not re.search(rf"`{o}[` ]", told)] == [], name


def test_no_option_of_loom_run_is_told_that_does_not_exist() -> None:
    told = re.findall(r"(?<![\w-])--[a-z][a-z-]+", (ROOT / "docs/loom-run.md").read_text())
    known = {o for _, c in all_commands() for p in c.params if isinstance(p, click.Option) for o in p.opts}
    assert set(told) - known == set()
