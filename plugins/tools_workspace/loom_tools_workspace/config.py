"""What a user may set in ``[plugins.tools_workspace]``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import attrs

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _default_test_command() -> tuple[str, ...]:
    return (sys.executable, "-m", "pytest", "-q")


def _at_least(smallest: float) -> Validator:
    def check(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
        if not value >= smallest:
            raise ValueError(f"{attribute.name} must be at least {smallest:g}, not {value!r}")

    return check


def _words(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    if any(not word or "\0" in word for word in value):
        raise ValueError(f"{attribute.name} must not contain an empty text or a NUL character")


def _not_empty(_: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
    if not value:
        raise ValueError(f'{attribute.name} must name a command, such as ["python", "-m", "pytest", "-q"]')


@attrs.frozen(kw_only=True)
class WorkspaceConfig:
    """Limits of the workspace tools, and the command that runs the tests.

    ``max_bytes`` and ``max_lines`` bound one answer of ``read_file``; ``max_bytes`` also bounds what is kept of the
    output of ``run_tests``. ``secret_names`` are more patterns of files that are never read; the built-in ones are in
    ``docs/workspace-tools.md``. ``search_max_files`` and ``search_timeout_s`` bound one search. ``test_command`` is a
    program and its arguments, run without a shell; ``test_environment`` names variables that it gets besides the few
    it always gets.
    """

    max_bytes: int = attrs.field(default=32_768, validator=_at_least(256))
    max_lines: int = attrs.field(default=2_000, validator=_at_least(1))
    secret_names: tuple[str, ...] = attrs.field(default=(), validator=_words)
    search_max_files: int = attrs.field(default=4_000, validator=_at_least(1))
    search_timeout_s: float = attrs.field(default=15.0, validator=_at_least(0.1))
    test_command: tuple[str, ...] = attrs.field(factory=_default_test_command, validator=[_not_empty, _words])
    test_timeout_s: float = attrs.field(default=300.0, validator=_at_least(0.1))
    test_environment: tuple[str, ...] = attrs.field(default=(), validator=_words)
