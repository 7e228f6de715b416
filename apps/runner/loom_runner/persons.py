"""Who gives a command: the name, and the account beside it; and how a person's word is told."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any, TypeVar

import click

from loom_core.contracts.people import Person
from loom_core.errors import BadInput

F = TypeVar("F", bound=Callable[..., Any])
MAX_NAME = 100


def as_option(function: F) -> F:
    """Add ``--as``, the name under which a person speaks."""
    help_text = "Who says so; the account is recorded beside it.  [default: the account]"
    return click.option("--as", "name", metavar="NAME", help=help_text)(function)


def note_option(function: F) -> F:
    """Add ``--note``."""
    return click.option("--note", metavar="TEXT", help="Why, in a sentence; recorded with it.")(function)


def person(name: str | None) -> Person:
    """Return who gives the command; raises ``BadInput`` for a name that cannot be shown."""
    account = _account()
    if name is None:
        return Person(name=account or "somebody", user=account)
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        raise BadInput(f"--as: {name!r:.40} is no name", hint=f"1 to {MAX_NAME} printable characters")
    return Person(name=name, user=account)


def _account() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
