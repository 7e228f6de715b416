"""What the commands of `loom store` share: opening the database, and names for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from shlex import quote
from typing import TypeVar

from loom_cli import Invocation

from loom_core.contracts.stores import Store
from loom_core.runtime.assembly import DEFAULT_DB, StoreMode

T = TypeVar("T")


def database(invocation: Invocation) -> str:
    """Return the database that is meant, as it was given."""
    return invocation.config.db or DEFAULT_DB


def with_store(
    invocation: Invocation, work: Callable[[Store], Awaitable[T]], mode: StoreMode = "read", db: str | None = None
) -> T:
    """Open the database (``db``, or the one that is meant), do ``work`` with it, close it."""

    async def main() -> T:
        runtime = invocation.runtime()
        try:
            return await work(runtime.open_store(db, mode))
        finally:
            await runtime.aclose()

    return asyncio.run(main())


def command(invocation: Invocation, *words: str) -> str:
    """Return a command on this database, fit to be pasted."""
    return " ".join([*words, "--db", quote(database(invocation))])
