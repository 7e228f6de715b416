"""`loom plugins show NAME`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, examples, pass_invocation

from loom_app.plugin_facts import plugin_facts
from loom_app.plugin_settings import plugin_settings
from loom_core.errors import ConfigError
from loom_core.plugins import PluginInfo


@click.command(
    "show",
    epilog=examples("loom plugins show retry_policies", "loom plugins show store_sqlite --json"),
)
@click.argument("name")
@common_options
@pass_invocation
def show_command(invocation: Invocation, name: str) -> None:
    """Show one plugin: what it offers, its settings and where they come from, and what is wrong with it."""
    out, info = invocation.output, invocation.registry.plugin(name)
    settings = plugin_settings(info, invocation.config)
    faults = _faults(invocation, info)
    if out.as_json:
        facts = {**plugin_facts(info), "settings": [setting.facts() for setting in settings], "faults": list(faults)}
        out.document("loom.plugins.show/1", {"plugin": facts})
        return
    out.fields(
        [
            ("name", info.name),
            ("status", info.status),
            ("distribution", f"{info.distribution} {info.version}"),
            ("module", info.module),
            ("hooks", ", ".join(info.hooks) or "–"),
            *([("error", info.error)] if info.error else []),
            *([("hint", info.hint)] if info.hint else []),
        ]
    )
    if info.offers:
        out.line()
        rows = [[offer.kind, offer.name, offer.status, offer.summary] for offer in info.offers]
        out.table(["KIND", "NAME", "STATUS", "SUMMARY"], rows)
    if settings:
        out.line()
        rows = [[setting.path, setting.type, setting.text, setting.origin] for setting in settings]
        out.table(["SETTING", "TYPE", "VALUE", "ORIGIN"], rows)
    for fault in faults:
        out.warning(fault)


def _faults(invocation: Invocation, info: PluginInfo) -> tuple[str, ...]:
    if info.config is None:
        return ()
    try:
        invocation.config.plugin(info.name, info.config)
    except ConfigError as error:
        return error.faults
    return ()
