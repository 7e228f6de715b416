"""Which steps of a run's history are gone, and how they go: at a commit that thins it, or when it is pruned."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from loom_core.contracts.retention import CheckpointPolicy, Gap
from loom_core.contracts.stores import EncodedState
from loom_core.history import HistoryEncoder
from loom_store_sqlite import states
from loom_store_sqlite.queries import all_rows
from loom_store_sqlite.rows import SEQUENCE_MASK, base_of, range_of


def listed(connection: apsw.Connection, run_no: int) -> list[Gap]:
    """Return the run's gaps in order."""
    rows = all_rows(
        connection, "SELECT id, last, every FROM gaps WHERE id BETWEEN ? AND ? ORDER BY id", range_of(run_no)
    )
    return [Gap(first=(row_id & SEQUENCE_MASK) - 2, last=last - 2, every=every) for row_id, last, every in rows]


def insert(connection: apsw.Connection, run_no: int, gap: Gap) -> None:
    """Add a gap."""
    connection.execute(
        "INSERT INTO gaps(id, last, every) VALUES(?, ?, ?)", (base_of(run_no) + gap.first + 2, gap.last + 2, gap.every)
    )


def cut(connection: apsw.Connection, run_no: int, step_index: int) -> int:
    """Forget all steps before ``step_index``, whose state is stored whole; return how many rows that were."""
    first = base_of(run_no)
    connection.execute("DELETE FROM steps WHERE id BETWEEN ? AND ?", (first, first + step_index + 1))
    gone = connection.changes()
    connection.execute("DELETE FROM gaps WHERE id BETWEEN ? AND ?", (first, first + step_index + 1))
    insert(connection, run_no, Gap(first=-1, last=step_index - 1))
    return gone


class Thinning:
    """When and how the commits of one writer thin the history; ``at`` is the next step whose commit does, or -1."""

    __slots__ = ("_keeps_multiples", "_period", "at")

    def __init__(self, policy: CheckpointPolicy, step_index: int) -> None:
        self._period = policy.period
        self._keeps_multiples = policy.mode == "interval"
        self.at = -1 if not self._period else step_index + (-step_index - 1) % self._period

    def move_on(self) -> None:
        """Look to the next step that thins, after the one that did."""
        self.at += self._period

    def encode(
        self, connection: apsw.Connection, run_no: int, step_index: int, state: EncodedState
    ) -> tuple[HistoryEncoder, int, bytes]:
        """Make room for the row of step ``step_index``; return its form and body, and the encoder that goes on.

        Inside the transaction that inserts the row. After ``interval``, the row is a difference to the last one that
        is kept, which is read here: a writer that holds it all the time would hold every state twice.
        """
        encoder = HistoryEncoder()
        if not self._keeps_multiples:
            cut(connection, run_no, step_index)
        else:
            kept = step_index - self._period
            before = states.left_by(connection, run_no, kept)
            if before is not None:
                encoder = HistoryEncoder.resume(before.text, before.distance)
            self._cut_between(connection, run_no, kept, step_index)
        return (encoder, *encoder.push(state))

    def _cut_between(self, connection: apsw.Connection, run_no: int, kept: int, step_index: int) -> None:
        first = base_of(run_no)
        rows: Sequence[tuple[int]] = all_rows(
            connection,
            # A fork's first state may lie in between, and stays.
            "SELECT id FROM steps WHERE id > ? AND id < ? AND outcome <> 0 ORDER BY id LIMIT 1",
            (first + kept + 2, first + step_index + 2),
        )
        if not rows:
            return
        lowest = rows[0][0]
        connection.execute("DELETE FROM steps WHERE id >= ? AND id < ?", (lowest, first + step_index + 2))
        gaps = listed(connection, run_no)
        last = gaps[-1] if gaps else None
        if last is not None and last.every == self._period and last.last == kept - 1:
            connection.execute("UPDATE gaps SET last = ? WHERE id = ?", (step_index + 1, first + last.first + 2))
            return
        connection.execute("DELETE FROM gaps WHERE id >= ? AND id <= ?", (lowest, range_of(run_no)[1]))
        insert(connection, run_no, Gap(first=lowest - first - 2, last=step_index - 1, every=self._period))
