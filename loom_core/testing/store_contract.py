"""The contract of a store as a test class that a plugin's author subclasses.

Imports no test framework; ``tmp_path`` is pytest's. Override ``open_store``:

    class TestMyStore(StoreContract):
        def open_store(self, folder):
            return MyStore.open(folder / "runs", wall=self.clocks.wall, boot=self.clocks.boot)

What it checks is in ``docs/promises.md`` and in the docstrings of ``loom_core.contracts.stores``. It cannot check what
needs a power cut or a killed process; ``tests/plugins/store_sqlite`` shows how such tests look.
"""

# ruff: noqa: D102 - the names of the tests are the promises

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from loom_core.testing.memory_store import MemoryStore
from loom_core.testing.store_contract_history import HistoryLaws, OutcomeLaws
from loom_core.testing.store_contract_journal import InboxLaws, JournalLaws
from loom_core.testing.store_contract_people import ApprovalLaws, WishLaws
from loom_core.testing.store_contract_runs import FenceLaws, RunLaws
from loom_core.testing.store_contract_time import ScheduleLaws
from loom_core.testing.store_machine import compare


class StoreContract(
    RunLaws, FenceLaws, JournalLaws, InboxLaws, HistoryLaws, OutcomeLaws, ScheduleLaws, ApprovalLaws, WishLaws
):
    """What every store promises."""

    def test_random_operations_give_the_answers_of_the_memory_store(self, tmp_path: Path) -> None:
        for seed in range(12):
            folder = tmp_path / str(seed)
            folder.mkdir()
            self.compare_with_memory(folder, Random(seed))

    def compare_with_memory(self, folder: Path, random: Random, operations: int = 60) -> None:
        """Do the same random things to a store in ``folder`` and to the memory store, and compare every answer."""

        async def trial() -> None:
            oracle = MemoryStore(wall=self.clocks.wall, boot=self.clocks.boot)
            async with self.opened(folder) as store, self.opened(folder) as other:
                await compare([store, other], [oracle, oracle.reopen()], self.clocks, random, operations)
                assert list(await store.verify()) == []
                assert list(await oracle.verify()) == []

        asyncio.run(trial())
