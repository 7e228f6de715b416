"""Renewing leases from another thread, while the event loop is blocked by a long step."""

from __future__ import annotations

import threading

from loom_core.errors import LoomError
from loom_store_sqlite.busy import patiently_blocking
from loom_store_sqlite.fence import Fence
from loom_store_sqlite.files import DatabaseFile
from loom_store_sqlite.guard import FileGuard
from loom_store_sqlite.opening import connect
from loom_store_sqlite.turnstile import Turnstile

BEAT_LIMIT_S = 5.0


class Beats:
    """Beats on connections of their own, since the writing one may be in the middle of a transaction.

    Each beat opens one and closes it: beats are seconds apart, and one that stays would outlive replaced files.
    """

    __slots__ = ("_closed", "_file", "_guard", "_lock", "_turnstile")

    def __init__(self, file: DatabaseFile, turnstile: Turnstile) -> None:
        self._file = file
        self._turnstile = turnstile
        self._guard = FileGuard(file)
        self._lock = threading.Lock()
        self._closed = False

    def renew(self, fence: Fence) -> None:
        """Renew the lease. Raises ``LeaseLost``, ``StoreClosed``, ``StoreUnusable``, and ``StoreBusy`` after 5 s."""
        patiently_blocking(lambda: self._beat(fence), self._file.name, BEAT_LIMIT_S)

    def close(self) -> None:
        """Let later beats raise; returns after the one under way."""
        with self._lock:
            self._closed = True

    def _beat(self, fence: Fence) -> None:
        with self._lock:
            if self._closed:
                raise StoreClosed(f"{self._file.name} is closed")
            self._turnstile.enter()
            try:
                self._guard.hold()
                connection = connect(self._file)
                try:
                    fence.renew(connection)
                finally:
                    connection.close()
            finally:
                self._turnstile.leave()


class StoreClosed(LoomError):
    """A beat after the store was closed; never reaches a user."""
