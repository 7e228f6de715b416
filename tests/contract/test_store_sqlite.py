"""The SQLite store keeps the contract of stores, and answers like the memory store whatever is done to it."""

import tempfile
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loom_store_sqlite.clocks import Clocks
from loom_store_sqlite.store import SQLiteStore

from loom_core.contracts.stores import Store
from loom_core.testing import StoreContract


class TestSQLiteStore(StoreContract):
    def open_store(self, folder: Path) -> Store:
        clocks = Clocks(wall=self.clocks.wall, boot=self.clocks.boot)
        return SQLiteStore.open(str(folder / "runs.sqlite"), "create", clocks=clocks)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(random=st.randoms(use_true_random=False))
    def test_operations_that_hypothesis_chooses_give_the_answers_of_the_memory_store(self, random: Random) -> None:
        self.setup_method()
        with tempfile.TemporaryDirectory() as folder:
            self.compare_with_memory(Path(folder), random, operations=30)
