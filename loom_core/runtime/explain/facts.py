"""``RunExplanation``: what happened to a run, what is in doubt, and what resuming would do, as facts."""

from __future__ import annotations

import attrs

from loom_core.contracts.budgets import BudgetRecord
from loom_core.contracts.stores import RunRecord
from loom_core.runtime.explain.budgets import budget_data
from loom_core.runtime.explain.events import Event, Failure
from loom_core.runtime.explain.failure import failure_of
from loom_core.runtime.explain.reading import Ends, Material
from loom_core.runtime.explain.resuming import Resuming, resuming_of
from loom_core.runtime.explain.standing import InDoubt, Standing, in_doubt, standing_of
from loom_core.runtime.explain.text import parsed
from loom_core.runtime.explain.timeline import timeline_of

SCHEMA = "loom.runner.explain/1"


@attrs.frozen(kw_only=True)
class FailedAt:
    """Where the run failed for good."""

    step_index: int
    attempt_index: int | None
    error: Failure


@attrs.frozen(kw_only=True)
class RunExplanation:
    """A run explained at one moment (``read_at``, Unix seconds); made by ``explain``, it reads nothing further.

    ``timeline`` has both ends of a long run; ``left_out`` says how much lies between. Texts in it are as they were
    recorded, only shortened: use ``lines`` for a terminal.
    """

    record: RunRecord
    location: str
    read_at: float
    standing: Standing
    timeline: tuple[Event, ...]
    left_out: Ends
    in_doubt: tuple[InDoubt, ...]
    failed_at: FailedAt | None
    resuming: Resuming
    budget: BudgetRecord | None = None

    def to_data(self) -> dict[str, object]:
        """Return all facts as JSON data, schema ``loom.runner.explain/1``."""
        record = self.record
        return {
            "schema": SCHEMA,
            "run_id": record.run_id,
            "status": self.standing.status,
            "stored_status": record.status,
            "reason": record.reason,
            "words": self.standing.words,
            "since": self.standing.since,
            "read_at": self.read_at,
            "db": self.location,
            "agent": attrs.asdict(record.agent),
            "owner": None if record.owner is None else str(record.owner),
            "epoch": record.epoch,
            "step_index": record.step_index,
            "attempt_index": record.attempt_index,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
            "ended_at": record.ended_at,
            "counters": attrs.asdict(record.counters),
            "budget": budget_data(self.budget),
            "result": parsed(record.result),
            "timeline": [event.to_data() for event in self.timeline],
            "left_out": attrs.asdict(self.left_out),
            "in_doubt": [attrs.asdict(doubt) for doubt in self.in_doubt],
            "failed_at": None if self.failed_at is None else attrs.asdict(self.failed_at),
            "resuming": {
                "what": list(self.resuming.what),
                "commands": [{"does": c.does, "command": c.line} for c in self.resuming.commands],
            },
        }

    def lines(self, *, all: bool = False, width: int | None = 100, now: float | None = None) -> list[str]:
        """Return the explanation as lines for a person, each at most ``width`` columns, safe to print.

        What a decision depends on (the standing, calls in doubt, errors, what resuming does) is wrapped; the timeline
        is cut, unless ``all``. None is no limit, for a pipe or a file. At most 200 lines, the middle of the timeline
        folded, unless ``all`` is given or the calls in doubt alone need more. Only a command's single word (a long
        path) may be longer than ``width``. ``now`` is what durations such as *5m ago* are counted from.
        """
        from loom_core.runtime.explain.lines import lines_of

        return lines_of(self, everything=all, width=width, now=self.read_at if now is None else now)


def explanation_of(material: Material, *, wall_s: float, boot_s: float | None) -> RunExplanation:
    """Return the explanation of what was read."""
    standing = standing_of(material.record, material.signals, wall_s=wall_s, boot_s=boot_s)
    doubts = in_doubt(material, standing)
    return RunExplanation(
        record=material.record,
        location=material.location,
        read_at=wall_s,
        standing=standing,
        timeline=timeline_of(material, standing),
        left_out=material.left_out,
        in_doubt=doubts,
        failed_at=_failed_at(material),
        resuming=resuming_of(material, standing, doubts),
        budget=material.budget,
    )


def _failed_at(material: Material) -> FailedAt | None:
    record = material.record
    error = failure_of(record.error, record.agent.reference)
    if record.status != "failed" or error is None:
        return None
    attempts = [a.attempt_index for a in material.attempts if a.step_index == record.step_index]
    return FailedAt(step_index=record.step_index, attempt_index=max(attempts, default=None), error=error)
