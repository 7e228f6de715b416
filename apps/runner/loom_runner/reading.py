"""Reading commands: open the database for reading, ask, close. Never loads an agent, never creates a file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import attrs
from loom_cli import Invocation

from loom_core.contracts.stores import RunRecord, Store
from loom_core.runtime.assembly import DEFAULT_DB, StoreMode

T = TypeVar("T")


@attrs.frozen
class Page:
    """Part of a list; ``more`` if there is a record after it, ``following`` the offset of that if it is not the sum."""

    limit: int
    offset: int
    more: bool
    following: int | None = None

    def data(self) -> dict[str, object]:
        """Return it as JSON data."""
        return {"limit": self.limit, "offset": self.offset, "more": self.more}


def database(invocation: Invocation) -> str:
    """Return the database that is meant, as it was given."""
    return invocation.config.db or DEFAULT_DB


def with_store(invocation: Invocation, work: Callable[[Store], Awaitable[T]], mode: StoreMode = "read") -> T:
    """Open the database, do ``work`` with it, close it. Raises ``StoreUnusable`` and what ``work`` raises."""

    async def main() -> T:
        runtime = invocation.runtime()
        try:
            return await work(runtime.open_store(None, mode))
        finally:
            await runtime.aclose()

    return asyncio.run(main())


async def page_of(read: Callable[[int], Awaitable[Sequence[T]]], limit: int, offset: int) -> tuple[Sequence[T], Page]:
    """Read one record more than asked for, to know whether there are more."""
    found = await read(limit + 1)
    return found[:limit], Page(limit, offset, len(found) > limit)


def say_more(invocation: Invocation, page: Page) -> None:
    """Tell how to see what comes after this page."""
    if page.more:
        following = page.offset + page.limit if page.following is None else page.following
        invocation.output.note(f"there are more: --offset {following}")


def normal_reference(agent: str) -> str:
    """Return what the loader would store for AGENT, without loading it."""
    place, _, name = agent.partition(":")
    if place.endswith(".py") or "/" in place:
        place = str(Path(place).absolute())
    return f"{place}:{name}" if name else place


def is_of_agent(record: RunRecord, agent: str) -> bool:
    """Return True if the run was started from AGENT."""
    stored = record.agent.reference or ""
    wanted = normal_reference(agent)
    return stored == wanted or stored.startswith(f"{wanted}:")


def check_agent(invocation: Invocation, record: RunRecord, agent: str | None) -> None:
    """Say on stderr that the run was started from another agent than the one that was named."""
    if agent is not None and not is_of_agent(record, agent):
        begun = record.agent.reference or f"agent `{record.agent.name}`, made in code"
        invocation.output.warning(f"run `{record.run_id}` was not started from {agent} but from {begun}")
