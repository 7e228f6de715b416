"""Contract suites and fakes for plugin authors.

Imports no test framework. ``StoreContract`` and ``ModelContract`` are test classes to subclass; ``MemoryStore`` is a
store without a file that keeps the same contract, and ``FakeClocks`` the clocks that tests move by hand, and
``VirtualClock`` one on which a run that sleeps for a week is over at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loom_core.testing.clocks import FakeClocks, VirtualClock
    from loom_core.testing.memory_store import MemoryStore
    from loom_core.testing.model_contract import ModelContract
    from loom_core.testing.store_contract import StoreContract

__all__ = ["FakeClocks", "MemoryStore", "ModelContract", "StoreContract", "VirtualClock"]

_MODULES = {
    "FakeClocks": "clocks",
    "MemoryStore": "memory_store",
    "ModelContract": "model_contract",
    "StoreContract": "store_contract",
    "VirtualClock": "clocks",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
