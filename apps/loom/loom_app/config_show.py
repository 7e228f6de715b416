"""`loom config show`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, db_option, examples, pass_invocation
from loom_cli.invocation import model_option

from loom_app.plugin_settings import PluginSetting, plugin_settings
from loom_core.config.secrets import MASK

# The value that a command uses where nothing says otherwise.
_CORE_DEFAULTS: dict[str, object] = {"db": "runs.sqlite", "model": None, "disable_plugins": []}


@click.command(
    "show",
    epilog=examples("loom config show", "loom config show --origin --json"),
)
@click.option("--origin", is_flag=True, help="Show where each value comes from, and the defaults too.")
@db_option
@model_option
@common_options
@pass_invocation
def show_command(invocation: Invocation, origin: bool) -> None:
    """Show the settings in force, secrets masked, and check those of every plugin.

    A flag wins over the environment, that over --config FILE, and that over the user's file.
    """
    out = invocation.output
    invocation.check_plugin_tables()
    settings = _core(invocation) + _of_plugins(invocation)
    unknown = invocation.config.unknown_plugins(info.name for info in invocation.registry.plugins)
    shown = [setting for setting in settings if origin or setting.origin != "default"]
    if out.as_json:
        facts = [setting.facts() for setting in settings]
        out.document("loom.config.show/1", {"settings": facts, "warnings": list(unknown)})
        return
    if origin:
        out.table(["SETTING", "VALUE", "ORIGIN"], [[s.path, s.text, s.origin] for s in shown])
    elif shown:
        out.fields([(setting.path, setting.text) for setting in shown])
    else:
        out.note("nothing is set; the defaults: loom config show --origin")
    for sentence in unknown:
        out.warning(sentence)


def _core(invocation: Invocation) -> list[PluginSetting]:
    given = {item.path: item for item in invocation.config.items()}
    settings = []
    for name, default in _CORE_DEFAULTS.items():
        item = given.get(name)
        value, origin = (item.shown, item.origin) if item else (default, "default")
        settings.append(PluginSetting(path=name, type="", shown=value, origin=origin))
    return settings


def _of_plugins(invocation: Invocation) -> list[PluginSetting]:
    """Return the settings of plugins: of the loaded ones with their defaults, of others what was given.

    Of a plugin that is not installed nobody knows what is a secret, so no value is shown.
    """
    config = invocation.config
    installed = {_normal(info.name) for info in invocation.registry.plugins}
    loaded = [setting for info in invocation.registry.plugins for setting in plugin_settings(info, config)]
    paths = {setting.path for setting in loaded}
    others = [
        PluginSetting(
            path=item.path,
            type="",
            shown=item.shown if _normal(item.path.split(".")[1]) in installed else MASK,
            origin=item.origin,
        )
        for item in config.items()
        if item.path.startswith("plugins.") and item.path not in paths
    ]
    return sorted([*loaded, *others], key=lambda setting: setting.path)


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")
