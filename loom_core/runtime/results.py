"""What the runner returns to its caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from loom_core.contracts.stores import ErrorRecord, Finding, RunCounters, RunStatus, StepRecord


@attrs.frozen(kw_only=True)
class RunResult:
    """Where a run stands when ``start`` or ``resume`` returns.

    ``state`` is the last committed state, decoded; ``result`` is set when ``status`` is ``completed``. ``reason`` is
    the code of
    ``RunRecord.reason`` (why it is paused or waiting), ``error`` the failure of a failed run. ``wake_at`` is when a
    waiting run is due (Unix time), None if only a signal or a person can wake it.
    """

    run_id: str
    status: RunStatus
    step_index: int
    state: Any = None
    result: Any = None
    reason: str | None = None
    error: ErrorRecord | None = None
    wake_at: float | None = None


@attrs.frozen(kw_only=True)
class RunStep:
    """One committed step as a reader sees it; ``state`` is JSON data, None when it was not asked for."""

    record: StepRecord
    state: Any = None


@attrs.frozen(kw_only=True)
class RunStats:
    """Totals of a run. Durations are seconds."""

    run_id: str
    status: RunStatus
    steps: int
    counters: RunCounters
    created_at: float
    updated_at: float
    duration_s: float


@attrs.frozen(kw_only=True)
class RunVerification:
    """What ``verify_run`` found; ``ok`` when there are no findings."""

    run_id: str | None
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """True if nothing was found."""
        return not self.findings
