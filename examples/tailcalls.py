"""Tail calls: a poller, a pager and a connection, each written as the recursion that it is.

    python examples/tailcalls.py
    loom tailcalls explain examples/tailcalls.py

None of the three needs more stack for a hundred thousand rounds than for one.
"""

import asyncio
from dataclasses import dataclass

from loom_core import tailrec, tailstream


@dataclass
class Job:
    """Something slow elsewhere: done after so many questions."""

    questions_left: int

    async def status(self) -> str:
        self.questions_left -= 1
        return "running" if self.questions_left else "done"


@tailrec
async def poll(job: Job, asked: int = 1, *, pause_s: float = 0.0) -> int:
    """Ask until the job is done, and return how often that was."""
    match await job.status():
        case "done":
            return asked
        case "failed":
            raise RuntimeError(f"the job failed after {asked} questions")
        case _:
            await asyncio.sleep(pause_s)
            return await poll(job, asked + 1, pause_s=pause_s)


async def fetch(cursor: int, pages: int) -> tuple[list[int], int | None]:
    """Return a page of a listing, and the cursor of the next one."""
    return [cursor * 10, cursor * 10 + 1], cursor + 1 if cursor + 1 < pages else None


@tailstream
async def listing(pages: int, cursor: int = 0):
    """Yield every item of every page; a page is fetched when its first item is asked for."""
    items, following = await fetch(cursor, pages)
    for item in items:
        yield item
    if following is not None:
        async for item in listing(pages, following):
            yield item


@tailrec(group="connection")
async def connecting(events: list[str], attempts: int = 0) -> str:
    """Wait until the connection is up, then hand over."""
    match events.pop(0):
        case "up":
            return await connected(events, attempts)
        case "closed":
            return f"closed after {attempts} attempts"
        case _:
            return await connecting(events, attempts + 1)


@tailrec(group="connection")
async def connected(events: list[str], attempts: int) -> str:
    """Work until the connection is lost, then hand back."""
    if events.pop(0) == "lost":
        return await connecting(events, attempts + 1)
    return await connected(events, attempts)


async def main() -> None:
    """Run all three, far deeper than recursion could go."""
    print("asked:", await poll(Job(100_000)))
    print("items:", sum([1 async for _ in listing(50_000)]))
    print("connection:", await connecting(["refused", "up", "data", "lost"] * 25_000 + ["closed"]))


if __name__ == "__main__":
    asyncio.run(main())
