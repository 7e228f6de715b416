"""Groups of commands that import a command only when it is run, and say what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import attrs
import click

from loom_cli.invocation import hidden_common_options
from loom_core.errors import PluginError


@attrs.frozen
class LazyCommand:
    """A command that is not imported yet: ``target`` is ``module:attribute``, ``summary`` its line in the help."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """Import the command. Raises whatever the import raises, and ``TypeError`` if it is no click command."""
        module, _, attribute = self.target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is a {type(command).__name__}, not a click command")
        return command


class NoCommandGiven(click.UsageError):
    """A group was called without a command; the border prints the group's help on stderr."""


class UsageWithHint(click.UsageError):
    """A usage error that says what to do."""

    def __init__(self, message: str, ctx: click.Context, hint: str | None) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class LazyGroup(click.Group):
    """A group whose commands are named here and imported when they are run.

    Help lists them by their summaries alone. The common options (``--json``, ``-v``, …) may be given before the
    command as well as after it.
    """

    def __init__(self, name: str, *, lazy: Mapping[str, LazyCommand], **attributes: Any) -> None:
        attributes.setdefault("params", [])
        attributes["params"] = [*attributes["params"], *hidden_common_options()]
        attributes.setdefault("subcommand_metavar", "COMMAND …")
        attributes.setdefault("options_metavar", "")
        attributes.setdefault("callback", _require_command)
        super().__init__(name, invoke_without_command=True, **attributes)
        self.lazy = dict(lazy)

    def more_commands(self, ctx: click.Context) -> Mapping[str, LazyCommand]:
        """Return commands that are found when the group is used; one of the group's own names cannot be replaced."""
        return {}

    def all_commands(self, ctx: click.Context) -> Mapping[str, LazyCommand]:
        """Return every command by its name, the group's own first."""
        return {**self.lazy, **{name: c for name, c in self.more_commands(ctx).items() if name not in self.lazy}}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return list(self.all_commands(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command. What is not the group's own is looked up only if the name is not one of them."""
        own = self.lazy.get(cmd_name)
        if own is not None:
            return own.load()
        found = self.more_commands(ctx).get(cmd_name)
        return self.load_found(cmd_name, found) if found else None

    def load_found(self, name: str, found: LazyCommand) -> click.Command:
        """Import a command that is not the group's own."""
        try:
            return found.load()
        except Exception as error:
            raise PluginError(
                f"the command `{name}` does not load: {type(error).__name__}: {error}",
                hint="see which plugin offers it: loom plugins list",
            ) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is an error that names those it may have been."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            near = get_close_matches(name, self.all_commands(ctx), n=3)
            hint = "did you mean " + " or ".join(f"`{match}`" for match in near) + "?" if near else None
            raise UsageWithHint(f"`{ctx.command_path}` has no command `{name}`", ctx, hint)
        return (name if command else None), command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        commands = self.all_commands(ctx)
        if commands:
            with formatter.section("Commands"):
                formatter.write_dl([(name, command.summary) for name, command in commands.items()])


@click.pass_context
def _require_command(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        raise NoCommandGiven("no command was given", ctx)
