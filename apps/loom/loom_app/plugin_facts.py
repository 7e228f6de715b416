"""A plugin as JSON data."""

from __future__ import annotations

from loom_core.plugins import Offer, PluginInfo


def plugin_facts(info: PluginInfo) -> dict[str, object]:
    """Return what ``loom plugins list --json`` and ``show --json`` say of a plugin."""
    return {
        "name": info.name,
        "status": info.status,
        "distribution": info.distribution,
        "version": info.version,
        "module": info.module,
        "offers": [offer_facts(offer) for offer in info.offers],
        "hooks": list(info.hooks),
        "import_ms": None if info.import_ms is None else round(info.import_ms, 2),
        "error": info.error,
        "hint": info.hint,
    }


def offer_facts(offer: Offer) -> dict[str, object]:
    """Return one offer as JSON data."""
    return {
        "kind": offer.kind,
        "name": offer.name,
        "summary": offer.summary,
        "keys": list(offer.keys),
        "status": offer.status,
        "problem": offer.problem,
        "hint": offer.hint,
    }


def offers_in_words(info: PluginInfo) -> str:
    """Return what a plugin offers in one line, by kind."""
    by_kind: dict[str, list[str]] = {}
    for offer in info.offers:
        by_kind.setdefault(offer.kind, []).append(offer.name)
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in by_kind.items()) or "–"
