"""What the installed plugins offer, and by which names it is found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

import attrs

from loom_core.errors import (
    BadInput,
    LoomError,
    ModelNotFound,
    PluginError,
    PluginUnavailable,
    StoreUnusable,
    ToolNotFound,
)
from loom_core.hookspecs import CommandEntry, Entry, ModelEntry, RetryEntry, StoreEntry, ToolEntry
from loom_core.plugins.hooks import KINDS, Kind
from loom_core.plugins.info import Offer, PluginInfo

E = TypeVar("E", bound=Entry)


@attrs.frozen
class Bound:
    """An entry and the plugin that offers it."""

    plugin: str
    kind: Kind
    entry: Entry


@attrs.frozen(kw_only=True)
class Registry:
    """The plugins there are and what can be used of them. Immutable; made by ``load_registry``.

    ``stores``, ``models``, ``tools``, ``retries`` and ``commands`` have what can be used, in the order of plugin
    names. The look-ups of the same names in the singular raise ``PluginUnavailable`` for a missing extra,
    ``PluginError`` for a broken plugin or a name clash, and otherwise say that there is nothing of that name and
    what there is (``StoreUnusable``, ``ModelNotFound``, ``ToolNotFound``, ``BadInput``). ``warnings`` are for people.
    """

    plugins: tuple[PluginInfo, ...]
    warnings: tuple[str, ...] = ()
    stores: tuple[tuple[PluginInfo, StoreEntry], ...] = ()
    models: tuple[tuple[PluginInfo, ModelEntry], ...] = ()
    tools: tuple[tuple[PluginInfo, ToolEntry], ...] = ()
    retries: tuple[tuple[PluginInfo, RetryEntry], ...] = ()
    commands: tuple[tuple[PluginInfo, CommandEntry], ...] = ()

    @classmethod
    def of(cls, plugins: Iterable[PluginInfo], bound: Iterable[Bound], warnings: tuple[str, ...] = ()) -> Registry:
        """Return a registry in which every name that two plugins offer is marked as a clash of both."""
        infos = _with_clashes(tuple(plugins))
        # Entries of a plugin whose name is taken twice are not bound, so the name finds the one that is loaded.
        usable = {info.name: info for info in infos if info.status == "active"}
        found: dict[str, list[tuple[PluginInfo, Entry]]] = defaultdict(list)
        for item in bound:
            info = usable.get(item.plugin)
            if info and _is_ready(info, item.kind, item.entry):
                found[item.kind.noun].append((info, item.entry))
        return cls(
            plugins=infos,
            warnings=warnings,
            stores=_of_type(found["store"], StoreEntry),
            models=_of_type(found["model"], ModelEntry),
            tools=_of_type(found["tool"], ToolEntry),
            retries=_of_type(found["retry"], RetryEntry),
            commands=_of_type(found["command"], CommandEntry),
        )

    def plugin(self, name: str) -> PluginInfo:
        """Return what is known of a plugin; raises ``BadInput`` for a name that no installed plugin has."""
        for info in self.plugins:
            if info.name == name:
                return info
        names = tuple(dict.fromkeys(info.name for info in self.plugins))
        raise BadInput(f"there is no plugin `{name}`", hint=_near(name, names) or _those_there_are("plugins", names))

    def store(self, scheme: str) -> tuple[PluginInfo, StoreEntry]:
        """Return what opens databases of a URL scheme; ``""`` is a plain path."""
        hit = _hit(self.stores, scheme, lambda entry: entry.schemes)
        if hit:
            return hit
        what = f"no plugin opens `{scheme}://…` databases" if scheme else "no plugin opens database files"
        schemes = tuple(key for _, entry in self.stores for key in entry.schemes if key)
        raise self._missing("store", scheme, schemes, StoreUnusable(what, hint=_those_there_are("schemes", schemes)))

    def model(self, prefix: str) -> tuple[PluginInfo, ModelEntry]:
        """Return the model backend of a prefix."""
        hit = _hit(self.models, prefix, lambda entry: (entry.prefix,))
        if hit:
            return hit
        prefixes = tuple(entry.prefix for _, entry in self.models)
        error = ModelNotFound(f"there is no model backend `{prefix}:`", hint=_those_there_are("prefixes", prefixes))
        raise self._missing("model", prefix, prefixes, error)

    def tool(self, name: str) -> tuple[PluginInfo, ToolEntry]:
        """Return the tool of a name."""
        hit = _hit(self.tools, name, lambda entry: (entry.name,))
        if hit:
            return hit
        names = tuple(entry.name for _, entry in self.tools)
        raise self._missing("tool", name, names, ToolNotFound(name, names))

    def retry(self, name: str) -> tuple[PluginInfo, RetryEntry]:
        """Return the retry policy or classifier of a name."""
        hit = _hit(self.retries, name, lambda entry: (entry.name,))
        if hit:
            return hit
        names = tuple(entry.name for _, entry in self.retries)
        error = BadInput(f"there is no retry policy `{name}`", hint=_those_there_are("policies", names))
        raise self._missing("retry", name, names, error)

    def command(self, name: str) -> tuple[PluginInfo, CommandEntry]:
        """Return the command of a name that a plugin offers."""
        hit = _hit(self.commands, name, lambda entry: (entry.name,))
        if hit:
            return hit
        names = tuple(entry.name for _, entry in self.commands)
        error = BadInput(f"no plugin offers a command `{name}`", hint=_those_there_are("commands", names))
        raise self._missing("command", name, names, error)

    def _missing(self, noun: str, key: str, known: Iterable[str], otherwise: LoomError) -> LoomError:
        """Return why a name finds nothing: a plugin that cannot be used, or nothing of that name."""
        for info in self.plugins:
            for offer in info.offers:
                if offer.kind == noun and key in offer.keys:
                    return _unusable(info, offer, f"{noun} `{key}`")
        # A plugin that was never asked, or could not answer, is recognised by its name only.
        for info in self.plugins:
            if not info.offers and (info.name == key or info.name.endswith(f"_{key}")):
                if info.status == "failed":
                    return _broken(info)
                if info.status == "disabled":
                    otherwise.hint = f"plugin `{info.name}` is disabled: {_HOW_TO_ENABLE}"
                    return otherwise
        near = _near(key, tuple(known))
        silent = [info.name for info in self.plugins if not info.offers and info.status in ("failed", "disabled")]
        others = f"not loaded: {', '.join(dict.fromkeys(silent))} (see: loom plugins list)" if silent else None
        otherwise.hint = " · ".join(part for part in (near, otherwise.hint, others) if part) or None
        return otherwise


_HOW_TO_ENABLE = "take it out of --disable-plugin, LOOM_DISABLE_PLUGINS and disable_plugins"


def _unusable(info: PluginInfo, offer: Offer, what: str) -> LoomError:
    if info.status == "failed" and offer.status != "clash":
        return _broken(info)
    if offer.status == "clash":
        return PluginError(offer.problem or what, hint=offer.hint)
    return PluginUnavailable(f"{what} of plugin {info.origin} cannot be used: {offer.problem}", hint=offer.hint)


def _broken(info: PluginInfo) -> PluginError:
    return PluginError(f"plugin {info.origin} cannot be used: {info.error}", hint=info.hint)


def _hit(
    pairs: tuple[tuple[PluginInfo, E], ...], key: str, keys: Callable[[E], tuple[str, ...]]
) -> tuple[PluginInfo, E] | None:
    return next(((info, entry) for info, entry in pairs if key in keys(entry)), None)


def _of_type(pairs: Iterable[tuple[PluginInfo, Entry]], record: type[E]) -> tuple[tuple[PluginInfo, E], ...]:
    return tuple((info, entry) for info, entry in pairs if isinstance(entry, record))


def _is_ready(info: PluginInfo, kind: Kind, entry: Entry) -> bool:
    keys = kind.keys(entry)
    return any(o.kind == kind.noun and o.keys == keys and o.status == "ready" for o in info.offers)


def _with_clashes(infos: tuple[PluginInfo, ...]) -> tuple[PluginInfo, ...]:
    """Mark what two plugins offer under one name. A broken plugin offers nothing, so it clashes with nobody."""
    offered: dict[tuple[str, str], list[PluginInfo]] = defaultdict(list)
    for info in infos:
        if info.status in ("active", "unavailable"):
            for offer in info.offers:
                for key in offer.keys:
                    offered[offer.kind, key].append(info)
    clashes = {where: who for where, who in offered.items() if len(who) > 1}
    return tuple(_clashed(info, clashes) if info.status in ("active", "unavailable") else info for info in infos)


def _clashed(info: PluginInfo, clashes: Mapping[tuple[str, str], list[PluginInfo]]) -> PluginInfo:
    offers = tuple(_clashed_offer(offer, clashes) for offer in info.offers)
    marked = [offer for offer in offers if offer.status == "clash"]
    if not marked:
        return info
    ready = any(offer.status == "ready" for offer in offers)
    return attrs.evolve(
        info,
        offers=offers,
        status="active" if ready else "failed",
        error="; ".join(offer.problem or "" for offer in marked),
        hint=marked[0].hint,
    )


def _clashed_offer(offer: Offer, clashes: Mapping[tuple[str, str], list[PluginInfo]]) -> Offer:
    for key in offer.keys:
        who = clashes.get((offer.kind, key))
        if who:
            shown = next(kind.shown for kind in KINDS if kind.noun == offer.kind).format(key)
            distributions = tuple(dict.fromkeys(info.distribution for info in who))
            either = " or ".join(f"--disable-plugin {info.name}" for info in who)
            hint = (
                f"disable one: {either} (or LOOM_DISABLE_PLUGINS, or disable_plugins in the "
                f"configuration) · or uninstall one: pip uninstall {' or '.join(distributions)}"
            )
            problem = f"the {offer.kind} `{shown}` is offered by {' and '.join(info.origin for info in who)}"
            return attrs.evolve(offer, status="clash", problem=problem, hint=hint)
    return offer


def _near(name: str, known: tuple[str, ...]) -> str | None:
    near = get_close_matches(name, known, n=1, cutoff=0.65)
    return f"did you mean `{near[0]}`?" if near else None


def _those_there_are(what: str, names: tuple[str, ...]) -> str | None:
    return f"{what} there are: {', '.join(names)}" if names else None
