"""Keeping a store in order: what is in it, what may go, and how runs leave it and come into another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from loom_core.contracts.dumps import Part
    from loom_core.contracts.stores import RunRecord

Admissible = Callable[["RunRecord"], None]
"""Decides inside a transaction whether a run may be taken away; raises when not."""


@attrs.frozen(kw_only=True)
class StoreInfo:
    """What is in a store. ``bytes`` is None where it has no size; ``free_bytes`` is what ``vacuum`` would give back.

    ``runs`` counts runs by their stored status, ``rows`` the rows of each kind.
    """

    location: str
    kind: str
    version: int
    bytes: int | None
    free_bytes: int
    runs: Mapping[str, int]
    rows: Mapping[str, int]


class StoreUpkeep(Protocol):
    """The part of a store that keeps it in order; every write is on disk before it returns, whole or not at all."""

    async def info(self) -> StoreInfo:
        """Return what is in the store."""
        ...

    async def prune_history(self, run_id: str, *, keep_steps: int = 0, dry_run: bool = False) -> int:
        """Forget whole groups of a run's history before the newest ``keep_steps`` steps; return how many steps went.

        The group of the newest state stays, so that resuming is not touched; calls stay as well. With ``dry_run``
        nothing is changed. The run may be under way meanwhile.
        """
        ...

    async def delete_run(self, run_id: str, admit: Admissible) -> None:
        """Take a run away with everything that belongs to it, if ``admit`` agrees."""
        ...

    async def sweep(self) -> int:
        """Delete texts that nothing refers to any more; return how many they were."""
        ...

    async def vacuum(self) -> None:
        """Give unused space back to the file system. Raises ``StoreBusy`` while others keep the store."""
        ...

    async def export_runs(self, run_ids: Sequence[str] | None, take: Callable[[Part], None]) -> None:
        """Hand out runs (None: all, the oldest first) part by part, as they are at one moment."""
        ...

    async def import_runs(
        self, parts: Callable[[], Iterable[Part]], *, imported_from: str | None, skip_existing: bool = False
    ) -> Sequence[str]:
        """Add the runs of a dump, all of them or none; return their ids.

        ``parts`` is called anew for each try. A run that was ``running`` becomes ``paused`` (``imported``), its open
        calls ``unknown``. With ``imported_from`` the runs' origin says so. Raises ``RunExists`` (unless
        ``skip_existing`` leaves such runs out), and ``BadInput`` for a dump that contradicts itself.
        """
        ...
