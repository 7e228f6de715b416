"""The memory store keeps the contract of stores."""

from pathlib import Path

from loom_core.contracts.stores import Store
from loom_core.testing import MemoryStore, StoreContract


class TestMemoryStore(StoreContract):
    def setup_method(self) -> None:
        super().setup_method()
        self._stores: dict[Path, MemoryStore] = {}

    def open_store(self, folder: Path) -> Store:
        if folder not in self._stores:
            self._stores[folder] = MemoryStore(wall=self.clocks.wall, boot=self.clocks.boot)
            return self._stores[folder]
        return self._stores[folder].reopen()
