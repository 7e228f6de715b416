"""`loom plugins list`."""

from __future__ import annotations

import click
from loom_cli import Invocation, common_options, examples, pass_invocation

from loom_app.main import OWN_COMMANDS
from loom_app.plugin_facts import offers_in_words, plugin_facts
from loom_core.plugins import PluginInfo


@click.command(
    "list",
    epilog=examples("loom plugins list", "loom plugins list --json --disable-plugin llm_local"),
)
@common_options
@pass_invocation
def list_command(invocation: Invocation) -> None:
    """List every installed plugin, working or not.

    A plugin is active, disabled (by you), unavailable (its extra is not installed), failed, or idle (it offers
    nothing).
    """
    out, plugins = invocation.output, invocation.registry.plugins
    shadowed = tuple(sentence for info in plugins for sentence in _shadowed(info))
    if out.as_json:
        warnings = [*invocation.registry.warnings, *shadowed]
        out.document("loom.plugins.list/1", {"plugins": [plugin_facts(info) for info in plugins], "warnings": warnings})
        return
    out.table(
        ["NAME", "STATUS", "DISTRIBUTION", "IMPORT", "OFFERS"],
        [
            [info.name, info.status, f"{info.distribution} {info.version}", _import_time(info), offers_in_words(info)]
            for info in plugins
        ],
        right=["IMPORT"],
    )
    # Two plugins that clash have one sentence, which names both.
    errors: dict[str, PluginInfo] = {}
    for info in plugins:
        if info.error:
            errors.setdefault(info.error, info)
    for error, info in errors.items():
        out.warning(f"{info.name}: {error}", info.hint)
    for sentence in shadowed:
        out.warning(sentence)


def _import_time(info: PluginInfo) -> str:
    return "–" if info.import_ms is None else f"{info.import_ms:.1f}ms"


def _shadowed(info: PluginInfo) -> list[str]:
    return [
        f"{info.name}: its command `{offer.name}` cannot be reached: loom has one of its own"
        for offer in info.offers
        if offer.kind == "command" and offer.name in OWN_COMMANDS
    ]
