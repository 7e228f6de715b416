"""`loom`: what is installed, how it is configured, and whether it works."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import click
from loom_cli import LazyCommand, LazyGroup, examples, run_command
from loom_cli.invocation import invocation_of

from loom_core.errors import LoomError, PluginError

OWN_COMMANDS = {
    "plugins": LazyCommand("loom_app.plugins_group:group", "What is installed, what it offers, what is broken."),
    "config": LazyCommand("loom_app.config_group:group", "The settings in force and where each comes from."),
    "tools": LazyCommand("loom_app.tools_group:group", "The tools there are; call one."),
    "models": LazyCommand("loom_app.models_group:group", "The models there are; try or fetch one."),
    "tailcalls": LazyCommand("loom_app.tailcalls_group:group", "What @tailrec makes of a file."),
}

HELP = """Plugins, configuration, models and tools of Loom.

Runs have commands of their own: loom-runner and loom-run. The options --json, -v, -q, --traceback, --config FILE
and --disable-plugin NAME may be given before or after a command.
"""


class RootGroup(LazyGroup):
    """``loom`` itself: its own commands, and those of plugins, which are imported only when they are run."""

    def more_commands(self, ctx: click.Context) -> Mapping[str, LazyCommand]:
        """Return the plugins' commands; a broken configuration costs these, and nothing else, with a warning."""
        invocation = invocation_of(ctx)
        try:
            registry = invocation.registry
        except LoomError as error:
            invocation.output.warning(f"commands of plugins are not known: {error}", error.hint)
            return {}
        return {entry.name: LazyCommand(entry.target, entry.summary) for _, entry in registry.commands}

    def load_found(self, name: str, found: LazyCommand) -> click.Command:
        """Import a plugin's command; if that fails, the error names the plugin."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                return found.load()
        except Exception as error:
            info, _ = invocation_of(click.get_current_context()).registry.command(name)
            raise PluginError(
                f"the command `{name}` of plugin {info.origin} does not load: {type(error).__name__}: {error}",
                hint=f"see why: loom plugins check {info.name}",
            ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``loom`` and return its exit status."""
    return run_command(root, argv, prog="loom")


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"loom {_version()}")
        ctx.exit()


def _version() -> str:
    try:
        return version("loom-stack")
    except PackageNotFoundError:
        return "(not installed)"


root = RootGroup(
    "loom",
    lazy=OWN_COMMANDS,
    help=HELP,
    epilog=examples("loom plugins list", "loom models test local:smollm2"),
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Show the version and exit.",
        )
    ],
)
