"""How the laws of the store contract are tried: a store per test, clocks that stand still, no test framework."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from loom_core.contracts.stores import Store
from loom_core.testing.clocks import FakeClocks

E = TypeVar("E", bound=BaseException)


class Caught:
    """The exception that a ``raises`` block ended with."""

    def __init__(self) -> None:
        self.error: BaseException | None = None


@contextmanager
def raises(kind: type[BaseException]) -> Iterator[Caught]:
    """Demand that the block raises ``kind``."""
    caught = Caught()
    try:
        yield caught
    except kind as error:
        caught.error = error
        return
    raise AssertionError(f"{kind.__name__} was not raised")


class StoreLaws:
    """What every group of laws has: ``clocks``, and a way to open stores."""

    clocks: FakeClocks

    def setup_method(self) -> None:
        """Give every test clocks of its own."""
        self.clocks = FakeClocks()

    def open_store(self, folder: Path) -> Store:
        """Return a newly opened store that uses ``self.clocks``; to be overridden.

        Called again with the same folder in the same test, it opens the same runs once more, as another process would.
        """
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self, folder: Path) -> AsyncIterator[Store]:
        """Open a store and close it."""
        store = self.open_store(folder)
        try:
            yield store
        finally:
            await store.aclose()

    def try_law(self, folder: Path, law: Callable[[Store], Awaitable[None]]) -> None:
        """Try a law in an event loop and a store of its own, and demand that what it leaves behind is consistent."""

        async def trial() -> None:
            async with self.opened(folder) as store:
                await law(store)
                assert list(await store.verify()) == []

        asyncio.run(trial())
