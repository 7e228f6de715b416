"""Building the registry: every plugin is found, loaded and asked by itself, and what fails is kept as a fact.

Loom has its own loader because pluggy's stops at the first import error, drops a second distribution with the same
entry name without a word, and goes through distributions in the order of directories.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from importlib.metadata import EntryPoint

import attrs

from loom_core.errors import PluginError
from loom_core.hookspecs import Entry
from loom_core.plugins.discovery import Found, found, installed, unknown_names
from loom_core.plugins.extras import install_hint, missing_modules
from loom_core.plugins.hooks import Gathered, Kind, described, gather
from loom_core.plugins.info import Offer, PluginInfo, PluginStatus
from loom_core.plugins.overhearing import overheard
from loom_core.plugins.registry import Bound, Registry


def load_registry(
    *,
    disabled: Collection[str] = (),
    strict: bool = False,
    entry_points: Collection[EntryPoint] | None = None,
) -> Registry:
    """Load every installed plugin and return what there is.

    ``disabled`` plugins are not imported; a name may be written ``NAME@DISTRIBUTION`` to mean one of several with the
    same name. With ``strict`` (``LOOM_STRICT_PLUGINS=1``) a plugin that is broken or clashes raises ``PluginError``
    instead of being recorded; a missing extra is no defect and never raises. ``entry_points`` replaces the installed
    ones. Plugins are loaded in the order of their names. What one prints meanwhile is not printed, but is a warning
    that names it. Blocks for as long as their modules take to import.
    """
    warnings: list[str] = []
    plugins = found(installed(warnings) if entry_points is None else entry_points)
    names = Counter(plugin.name for plugin in plugins if not plugin.is_one_of(disabled))
    bound: list[Bound] = []
    infos: list[PluginInfo] = []
    causes: list[BaseException] = []
    for plugin in plugins:
        info = PluginInfo(
            name=plugin.name,
            status="disabled",
            distribution=plugin.distribution,
            version=plugin.version,
            module=plugin.point.value,
        )
        if plugin.is_one_of(disabled):
            infos.append(info)
        elif names[plugin.name] > 1:
            infos.append(_same_name(info, [p for p in plugins if p.name == info.name and not p.is_one_of(disabled)]))
        else:
            with overheard() as printed:
                info, entries, cause = _load(info, plugin.point)
            if printed.text:
                warnings.append(f"plugin {info.origin} printed something while it was loaded: {printed.text}")
            infos.append(info)
            bound.extend(Bound(info.name, kind, entry) for kind, entry in entries)
            causes.extend(cause)
    registry = Registry.of(infos, bound, (*warnings, *unknown_names(disabled, plugins)))
    if strict:
        _raise_faults(registry, causes)
    return registry


def _load(
    info: PluginInfo, point: EntryPoint
) -> tuple[PluginInfo, Sequence[tuple[Kind, Entry]], Sequence[BaseException]]:
    started = time.perf_counter()
    try:
        plugin = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the border between Loom and a plugin
        took = (time.perf_counter() - started) * 1000
        return _failed(attrs.evolve(info, import_ms=took), f"it does not import: {described(error)}"), (), (error,)
    info = attrs.evolve(info, import_ms=(time.perf_counter() - started) * 1000)
    gathered = gather(plugin, info.name)
    info = attrs.evolve(
        info,
        hooks=gathered.hooks,
        offers=tuple(_offer(kind, entry, info.distribution) for kind, entry in gathered.entries),
        config=next((entry.config for _, entry in gathered.entries if entry.config), None),
    )
    if gathered.faults:
        return _failed(info, "; ".join(gathered.faults)), gathered.entries, gathered.causes
    return _judged(info, gathered), gathered.entries, ()


def _judged(info: PluginInfo, gathered: Gathered) -> PluginInfo:
    if not gathered.entries:
        return attrs.evolve(info, status="idle")
    lacking = [offer for offer in info.offers if offer.status == "unavailable"]
    if not lacking:
        return attrs.evolve(info, status="active")
    status: PluginStatus = "unavailable" if len(lacking) == len(info.offers) else "active"
    problems = dict.fromkeys(offer.problem or "" for offer in lacking)
    return attrs.evolve(info, status=status, error="; ".join(problems), hint=lacking[0].hint)


def _offer(kind: Kind, entry: Entry, distribution: str) -> Offer:
    offer = Offer(kind=kind.noun, name=entry.name, summary=entry.summary, keys=kind.keys(entry))
    missing = missing_modules(entry)
    if not missing:
        return offer
    problem = f"{', '.join(f'`{name}`' for name in missing)} is not installed"
    return attrs.evolve(offer, status="unavailable", problem=problem, hint=install_hint(entry, distribution, missing))


def _failed(info: PluginInfo, cause: str) -> PluginInfo:
    hint = f"see why: loom plugins check {info.name} · go on without it: --disable-plugin {info.name}"
    return attrs.evolve(info, status="failed", error=cause, hint=hint)


def _same_name(info: PluginInfo, everyone: Sequence[Found]) -> PluginInfo:
    who = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in everyone)
    distributions = [plugin.distribution for plugin in everyone]
    either = " or ".join(f"--disable-plugin {info.name}@{name}" for name in distributions)
    ways_out = (
        f"disable one: {either} (or LOOM_DISABLE_PLUGINS, or disable_plugins in the configuration)"
        f" · or uninstall one: pip uninstall {' or '.join(distributions)}"
    )
    return attrs.evolve(
        info, status="failed", error=f"{who} both have a plugin named `{info.name}`; neither is loaded", hint=ways_out
    )


def _raise_faults(registry: Registry, causes: Sequence[BaseException]) -> None:
    broken = [info for info in registry.plugins if info.status == "failed" or _clashes(info)]
    if broken:
        # Two plugins that clash have one sentence, which names both.
        sentences: dict[str, str] = {}
        for info in broken:
            sentences.setdefault(info.error or "", info.origin)
        message = "; ".join(f"plugin {origin}: {error}" for error, origin in sentences.items())
        raise PluginError(message, hint=broken[0].hint) from (causes[0] if causes else None)


def _clashes(info: PluginInfo) -> bool:
    return any(offer.status == "clash" for offer in info.offers)
