"""Keeps leases alive while a step takes long, from a thread, so that a blocked event loop does not lose its runs."""

from __future__ import annotations

import logging
import threading

from loom_core.contracts.stores import RunWriter

_log = logging.getLogger("loom.runtime")


class LeaseKeeper:
    """One daemon thread for all runs of a runner; it beats for those whose last write is a third of the lease old.

    A commit renews the lease itself, so a run of short steps never causes a beat. ``watch`` and ``unwatch`` belong to
    the event loop's thread.
    """

    def __init__(self, lease_s: float) -> None:
        self._interval_s = lease_s / 3
        self._writers: dict[int, RunWriter] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, writer: RunWriter) -> None:
        """Beat for this writer from now on, as long as its lease is not lost."""
        with self._lock:
            self._writers[id(writer)] = writer
            self._changed.clear()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="loom-lease-keeper", daemon=True)
                self._thread.start()

    def unwatch(self, writer: RunWriter) -> None:
        """Stop beating for this writer, without waiting for a beat under way: the fence makes that one harmless."""
        with self._lock:
            self._writers.pop(id(writer), None)
            if not self._writers:
                self._changed.set()

    def _run(self) -> None:
        # Looks twice per interval, so that no writer is found older than half a lease.
        while True:
            self._changed.wait(self._interval_s / 2)
            with self._lock:
                if not self._writers:
                    self._thread = None
                    return
                due = [w for w in self._writers.values() if w.lease_age_s() > self._interval_s]
            for writer in due:
                if not _beat(writer):
                    with self._lock:
                        self._writers.pop(id(writer), None)


def _beat(writer: RunWriter) -> bool:
    """Renew one lease; False if it is lost. What fails once may work in a moment, and the others need their beats."""
    try:
        return writer.beat()
    except Exception:  # noqa: BLE001 - the thread must outlive whatever a store raises
        _log.exception("the lease of run %s could not be renewed", writer.run_id)
        return True
