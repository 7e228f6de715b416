"""One invocation of a command line: its common options, and what they lead to (output, configuration, registry)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import attrs
import click

from loom_cli.output import Output

if TYPE_CHECKING:
    from loom_core.config import Config
    from loom_core.plugins import PluginInfo, Registry
    from loom_core.runtime.assembly import Runtime

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])

_META = "loom_cli.given"


@attrs.frozen(kw_only=True, slots=False)
class Invocation:
    """What a command needs of its invocation. ``flags`` are the settings given on the command line, by their names."""

    output: Output
    environ: Mapping[str, str]
    flags: Mapping[str, object]
    config_file: Path | None = None

    @cached_property
    def config(self) -> Config:
        """The configuration: flags, environment, files.

        Raises ``ConfigError``: with every fault of the core's settings, and then with those of plugins' tables too.
        """
        read = self._read
        if read.faults:
            from loom_core.errors import ConfigError

            raise ConfigError((*read.faults, *self._faults_of_plugins()), hint=read.hint)
        return read

    @cached_property
    def registry(self) -> Registry:
        """The plugins. Raises ``ConfigError`` as ``config`` does, and ``PluginError`` where plugins are strict."""
        self.config  # noqa: B018 - raises its faults before a plugin is loaded in vain
        return self._plugins

    def check_plugin_tables(self) -> None:
        """Raise ``ConfigError`` with the faults of every plugin's table, used or not."""
        from loom_core.errors import ConfigError

        self.config  # noqa: B018 - raises the core's faults, together with those of the tables
        faults = self._faults_of_plugins()
        if faults:
            raise ConfigError(faults, hint="the settings of a plugin: loom plugins show NAME")

    def runtime(self, workspace: Path | None = None) -> Runtime:
        """Open a runtime over this configuration and these plugins; the caller closes it.

        A plugin that failed is named on stderr, once: without it there may be fewer tools than were expected.
        """
        from loom_core.runtime.assembly import Runtime

        self._name_failed  # noqa: B018 - said when it is first asked for
        return Runtime.open(self.config, registry=self.registry, workspace=workspace, environ=self.environ)

    @cached_property
    def _read(self) -> Config:
        from loom_core.config import read_config

        return read_config(flags=self.flags, environ=self.environ, config_file=self.config_file)

    @cached_property
    def _plugins(self) -> Registry:
        from loom_core.plugins import load_registry

        registry = load_registry(disabled=self._read.disable_plugins, strict=self._read.strict_plugins)
        for warning in registry.warnings:
            self.output.warning(warning)
        return registry

    @cached_property
    def _name_failed(self) -> None:
        errors: dict[str, PluginInfo] = {}
        for info in self.registry.plugins:
            if info.status == "failed":
                errors.setdefault(info.error or "", info)
        for error, info in errors.items():
            self.output.warning(f"plugin {info.origin} is not used: {error}", info.hint)

    def _faults_of_plugins(self) -> tuple[str, ...]:
        from loom_core.errors import ConfigError, PluginError

        faults: dict[str, None] = {}
        # Where plugins are strict, a broken one is an error of its own, which comes next.
        with contextlib.suppress(PluginError):
            for info in self._plugins.plugins:
                if info.config is not None:
                    try:
                        self._read.plugin(info.name, info.config)
                    except ConfigError as error:
                        faults.update(dict.fromkeys(error.faults))
        return tuple(faults)


def invocation_of(ctx: click.Context) -> Invocation:
    """Return the invocation that a context belongs to; it is made once."""
    given = _given(ctx)
    if "invocation" not in given:
        given["invocation"] = _invocation(given)
    invocation: Invocation = given["invocation"]
    return invocation


def pass_invocation(function: Callable[Concatenate[Invocation, P], R]) -> Callable[P, R]:
    """Give a click callback the invocation as its first argument."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(invocation_of(click.get_current_context()), *args, **kwargs)

    return update_wrapper(call, function)


def common_options(function: F) -> F:
    """Add ``--json, -v, -q, --traceback, --config, --disable-plugin``; ``pass_invocation`` gives what they say."""
    return _with_options(function, _common_options(hidden=False))


def db_option(function: F) -> F:
    """Add ``--db``, which becomes the setting ``db``."""
    return _with_options(function, [_db_option()])


def model_option(function: F) -> F:
    """Add ``--model``, which becomes the setting ``model``."""
    help_text = "Model to use, as PREFIX:MODEL.  [env: LOOM_MODEL]"
    return _with_options(function, [_option("--model", metavar="NAME", callback=_keep_flag("model"), help=help_text)])


def hidden_common_options() -> list[click.Option]:
    """Return the common options as a group takes them: accepted before the command, listed only with commands."""
    return _common_options(hidden=True)


def examples(*lines: str) -> str:
    """Return the epilog of a command's help: its examples, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _common_options(*, hidden: bool) -> list[click.Option]:
    return [
        _option("--json", is_flag=True, hidden=hidden, callback=_keep, help="Print one JSON document, errors too."),
        _option("-v", "--verbose", count=True, hidden=hidden, callback=_add, help="Say more on stderr."),
        _option("-q", "--quiet", count=True, hidden=hidden, callback=_add, help="Say less on stderr."),
        _option("--traceback", is_flag=True, hidden=hidden, callback=_keep, help="Show the traceback of an error."),
        _option(
            "--config",
            type=click.Path(path_type=Path),
            metavar="FILE",
            hidden=hidden,
            callback=_keep,
            help="Configuration file.  [env: LOOM_CONFIG]",
        ),
        _option(
            "--disable-plugin",
            multiple=True,
            metavar="NAME",
            hidden=hidden,
            callback=_add,
            help="Do not load a plugin.  [env: LOOM_DISABLE_PLUGINS]",
        ),
    ]


def _db_option() -> click.Option:
    help_text = "Database, a path or a URL.  [env: LOOM_DB; default: runs.sqlite]"
    return _option("--db", metavar="DB", callback=_keep_flag("db"), help=help_text)


def _option(*declarations: str, **attributes: Any) -> click.Option:
    return click.Option(list(declarations), expose_value=False, **attributes)


def _with_options(function: F, options: list[click.Option]) -> F:
    if isinstance(function, click.Command):
        function.params.extend(options)
        return function
    # click reads this attribute back to front, because decorators apply from the bottom up.
    waiting: list[click.Parameter] = function.__dict__.setdefault("__click_params__", [])
    waiting.extend(reversed(options))
    return function


def _given(ctx: click.Context) -> dict[str, Any]:
    given: dict[str, Any] = ctx.meta.setdefault(_META, {"flags": {}})
    return given


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        _given(ctx)[str(param.name)] = value


def _add(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        given = _given(ctx)
        name = str(param.name)
        given[name] = given[name] + value if name in given else value


def _keep_flag(setting: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None:
            _given(ctx)["flags"][setting] = value

    return keep


def _invocation(given: Mapping[str, Any]) -> Invocation:
    flags = dict(given["flags"])
    if "disable_plugin" in given:
        flags["disable_plugins"] = tuple(given["disable_plugin"])
    output = Output.of_process(
        sys.stdout,
        sys.stderr,
        os.environ,
        as_json=given.get("json", False),
        verbosity=given.get("verbose", 0) - given.get("quiet", 0),
    )
    return Invocation(output=output, environ=os.environ, flags=flags, config_file=given.get("config"))
