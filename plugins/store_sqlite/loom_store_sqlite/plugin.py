"""What this plugin offers: the store for paths and ``sqlite:`` locations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from loom_core.hookspecs import PluginContext, StoreEntry, hookimpl

if TYPE_CHECKING:
    from loom_core.contracts.stores import Store


def open_store(location: str, mode: str, context: PluginContext) -> Store:
    """Open a run database; ``mode`` is ``read``, ``write`` or ``create``. Raises ``StoreUnusable``, ``StoreBusy``."""
    from loom_store_sqlite.store import SQLiteStore

    return SQLiteStore.open(location, mode)


@hookimpl
def loom_stores() -> Iterable[StoreEntry]:
    """Offer the SQLite store."""
    yield StoreEntry(
        name="sqlite",
        summary="Runs in one SQLite file; nothing to install or to start.",
        schemes=("", "sqlite"),
        requires=("apsw",),
        factory=open_store,
    )
