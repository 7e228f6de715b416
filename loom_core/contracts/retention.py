"""How much of a run's history is kept, and how large texts are stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs

COMPACT_EVERY = 64
"""Steps after which ``compact`` begins its history anew: the group in which states are stored as differences."""

HistoryMode = Literal["full", "interval", "compact"]


@attrs.frozen(kw_only=True)
class CheckpointPolicy:
    """Which committed steps stay in the history. Every step is committed whatever the policy says.

    ``full`` keeps all; ``interval`` keeps the state that every ``every``-th step starts with; ``compact`` keeps the
    newest steps only, between one and 128. The newest state is always kept, so that resuming is exact; the journal of
    calls is not touched.
    """

    mode: HistoryMode = attrs.field(default="full", validator=attrs.validators.in_(("full", "interval", "compact")))
    every: int = attrs.field(default=1, validator=[attrs.validators.instance_of(int), attrs.validators.ge(1)])

    @every.validator
    def _is_meant(self, _attribute: object, every: int) -> None:
        if every != 1 and self.mode != "interval":
            raise ValueError(f"every={every} means nothing in mode `{self.mode}`; it belongs to mode `interval`")

    @property
    def period(self) -> int:
        """Steps from one thinning to the next, 0 for none."""
        if self.mode == "compact":
            return COMPACT_EVERY
        return self.every if self.mode == "interval" and self.every > 1 else 0


@attrs.frozen(kw_only=True)
class PayloadPolicy:
    """Up to which size a text (argument, result, error, note) lies in its own row.

    Larger ones are stored once by their hash, however often they occur, and read back whole. None is what the store
    finds cheapest; 0 stores every text by its hash.
    """

    max_inline_bytes: int | None = attrs.field(
        default=None, validator=attrs.validators.optional([attrs.validators.instance_of(int), attrs.validators.ge(0)])
    )


@attrs.frozen(kw_only=True)
class Gap:
    """Steps ``first`` to ``last`` that the history no longer has; with ``every``, it has still some of them.

    These are the steps after which the run's step number is a multiple of ``every``. -1 is the initial state.
    """

    first: int
    last: int
    every: int = 0

    def holds(self, step_index: int) -> bool:
        """Return True if the gap says that this step is gone."""
        if not self.first <= step_index <= self.last:
            return False
        return self.every == 0 or (step_index + 1) % self.every != 0

    def count(self) -> int:
        """Return how many steps are gone."""
        if self.every == 0:
            return self.last - self.first + 1
        kept = (self.last + 1) // self.every - self.first // self.every
        return self.last - self.first + 1 - kept


def is_gone(gaps: Iterable[Gap], step_index: int) -> bool:
    """Return True if one of the gaps says that this step is gone."""
    return any(gap.holds(step_index) for gap in gaps)
