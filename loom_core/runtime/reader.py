"""What can be read of a run, without its agent's code and without disturbing it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from loom_core.contracts.stores import AttemptRecord, CallRecord, RunRecord, RunStatus, Store
from loom_core.runtime.results import RunStats, RunStep, RunVerification

if TYPE_CHECKING:
    from loom_core.runtime.explain import RunExplanation


@attrs.frozen
class RunReader:
    """Reads runs from an open store. Every method raises ``RunNotFound`` for a run that is not there."""

    store: Store

    async def get_run(self, run_id: str) -> RunRecord:
        """Return the run's own row."""
        return await self.store.get_run(run_id)

    async def list_runs(
        self, *, limit: int = 50, offset: int = 0, status: RunStatus | None = None, agent: str | None = None
    ) -> Sequence[RunRecord]:
        """Return runs, the newest first."""
        return await self.store.list_runs(limit=limit, offset=offset, status=status, agent=agent)

    async def get_history(
        self, run_id: str, *, limit: int = 100, offset: int = 0, states: bool = True
    ) -> Sequence[RunStep]:
        """Return committed steps in order, the initial state (``step_index`` -1) first."""
        steps = await self.store.get_steps(run_id, first=offset - 1, limit=limit, states=states)
        return [RunStep(record=s, state=None if s.state is None else json.loads(s.state)) for s in steps]

    async def get_attempts(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[AttemptRecord]:
        """Return failed attempts in order."""
        return await self.store.get_attempts(run_id, limit=limit, offset=offset)

    async def get_tool_calls(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[CallRecord]:
        """Return managed calls in order, those of models included."""
        return await self.store.get_calls(run_id, limit=limit, offset=offset)

    async def get_stats(self, run_id: str) -> RunStats:
        """Return totals, all from the run's own row."""
        record = await self.store.get_run(run_id)
        return RunStats(
            run_id=run_id,
            status=record.status,
            steps=record.step_index,
            counters=record.counters,
            created_at=record.created_at,
            updated_at=record.updated_at,
            duration_s=(record.ended_at or record.updated_at) - record.created_at,
        )

    async def verify_run(self, run_id: str | None = None) -> RunVerification:
        """Check what is stored of one run, or of all, against itself."""
        return RunVerification(run_id=run_id, findings=await self.store.verify(run_id))

    async def explain_run(self, run_id: str) -> RunExplanation:
        """Return what happened, in order, and what resuming would do."""
        from loom_core.runtime.explain import explain

        return await explain(self.store, run_id)
