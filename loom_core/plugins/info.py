"""What is known of a plugin, whether it works or not."""

from __future__ import annotations

from typing import Literal

import attrs

PluginStatus = Literal["active", "disabled", "unavailable", "failed", "idle"]
UNKNOWN = "unknown"
OfferStatus = Literal["ready", "unavailable", "clash"]


@attrs.frozen(kw_only=True)
class Offer:
    """One thing a plugin offers. ``keys`` are the names it is found by (schemes, a prefix, or its own name).

    ``problem`` and ``hint`` say why it cannot be used and what to do, unless it is ``ready``.
    """

    kind: str
    name: str
    summary: str
    keys: tuple[str, ...]
    status: OfferStatus = "ready"
    problem: str | None = None
    hint: str | None = None


@attrs.frozen(kw_only=True)
class PluginInfo:
    """One plugin that is installed.

    ``active``: loaded, and something it offers can be used · ``idle``: loaded, and offers nothing · ``disabled``: not
    even imported, because the user says so · ``unavailable``: nothing it offers can be used until its extra is
    installed · ``failed``: it did not load, one of its hooks failed, or all that it offers clashes with another
    plugin. ``error`` and ``hint`` are the cause and the way out of the last two; an active plugin has them where a
    part of what it offers cannot be used. ``module`` is the entry point's value, ``import_ms`` None if not imported.
    """

    name: str
    status: PluginStatus
    distribution: str
    version: str
    module: str
    offers: tuple[Offer, ...] = ()
    hooks: tuple[str, ...] = ()
    import_ms: float | None = None
    config: type | None = None
    error: str | None = None
    hint: str | None = None

    @property
    def origin(self) -> str:
        """``NAME (DISTRIBUTION VERSION)``, or its module where that is not known; for messages."""
        where = self.module if self.distribution == UNKNOWN else f"{self.distribution} {self.version}"
        return f"`{self.name}` ({where})"
