"""``Worker``: goes on with runs of some agents whenever somebody has to, until it is stopped.

    look (indexed, jittered) ─► claim ─► drive until the run is left ─► look again
      queued · due · signal there · owner gone          never holds a run that waits

Several workers may share a database, on one machine or on several: they find the same runs, and the claim decides who
gets one. Nothing is remembered between two looks but which runs are in hand and which could not be begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal

import attrs

from loom_core.contracts.stores import RunRecord, SignalRecord, Store
from loom_core.errors import BadInput, LoomError, RunBusy
from loom_core.runtime.admission import Admission, NothingToDo
from loom_core.runtime.owners import this_owner
from loom_core.runtime.quarantine import MAX_DEATHS, deaths_without_progress, quarantine
from loom_core.runtime.runner import LEASE_S, AgentRunner
from loom_core.runtime.services import World
from loom_core.runtime.stopping import StopRequest

POLL_S = 1.0
CONCURRENCY = 8
_FIRST_REST_S = 10.0
_LONGEST_REST_S = 300.0
_log = logging.getLogger("loom.runtime")


@attrs.frozen(kw_only=True)
class WorkEvent:
    """What a worker did: it ``took`` a run, ``left`` it, or had ``trouble`` with it before any of its steps.

    ``record`` is the run's row after that, None if it could not be read; ``error`` what was raised, if something was.
    """

    kind: Literal["took", "left", "trouble"]
    run_id: str
    record: RunRecord | None = None
    error: Exception | None = None


Report = Callable[[WorkEvent], None]
Beside = Callable[[], Awaitable[None]]


def _silent(_event: WorkEvent) -> None:
    return None


async def _nothing() -> None:
    return None


class Worker:
    """Drives runs of the agents of ``runners``, at most ``concurrency`` at once. Belongs to one event loop.

    ``store`` is where it looks for work; the runners write to the same database. ``beside`` is called before each look
    (to fire schedules); what it raises is logged. ``report`` is told of every run and must not raise.
    """

    def __init__(
        self,
        runners: Sequence[AgentRunner],
        store: Store,
        *,
        concurrency: int = CONCURRENCY,
        poll_s: float = POLL_S,
        world: World | None = None,
        report: Report = _silent,
        beside: Beside = _nothing,
        lease_s: float = LEASE_S,
    ) -> None:
        if concurrency < 1:
            raise BadInput(f"concurrency is {concurrency}; a worker needs at least one place")
        self._runners = _by_name(runners)
        self._store = store
        self._concurrency = concurrency
        self._poll_s = poll_s
        self._world = world or World()
        self._report = report
        self._beside = beside
        self._lease_s = lease_s
        self._owner = this_owner()
        self._stop = StopRequest("queued")
        self._changed = asyncio.Event()
        self._in_hand: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, tuple[float, float]] = {}
        self._due_at: dict[str, float] = {}
        self._trouble: str | None = None
        self.taken: Counter[str] = Counter()
        for runner in self._runners.values():
            runner.configure(stopped_runs="queued")

    @property
    def agents(self) -> tuple[str, ...]:
        """The names of the agents whose runs it takes."""
        return tuple(self._runners)

    async def run(self) -> None:
        """Work until ``request_stop``; then every run in hand is left ``queued`` after the step under way."""
        try:
            while not self._stop.requested:
                await self._guarded(self._beside)
                await self._guarded(self._look)
                # Cleared only now: what changed while it looked is a reason to look again.
                await self._stop.wait(self._pause_s(), self._world.sleep, or_set=self._changed)
                self._changed.clear()
        finally:
            await self._drain()

    def request_stop(self) -> None:
        """Stop after the steps under way; callable from a signal handler and from any thread."""
        self._stop.request()
        for runner in self._runners.values():
            runner.request_stop()

    # -- looking --------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        free = self._concurrency - len(self._in_hand)
        if free < 1:
            return
        found = await self._store.find_claimable(self.agents, self._world.now(), self._ready, limit=free)
        # A timer is a reason to look once: its run may be somebody else's by now, or paused, and is then not found.
        now_s = self._steady_s()
        self._due_at = {run_id: due_s for run_id, due_s in self._due_at.items() if due_s > now_s}
        for record in found:
            if self._stop.requested:
                return
            task = asyncio.get_running_loop().create_task(self._work(record))
            self._in_hand[record.run_id] = task
            task.add_done_callback(partial(self._put_down, record.run_id))

    def _ready(self, record: RunRecord, signal: SignalRecord | None) -> bool:
        if record.run_id in self._in_hand:
            return False
        rest = self._resting.get(record.run_id)
        if rest is not None and rest[0] > self._steady_s():
            return False
        try:
            self._admission()(record, signal)
        except (NothingToDo, RunBusy):
            return False
        return True

    def _pause_s(self) -> float:
        """Return the seconds until the next look: about the poll interval, less if a timer of ours is due before."""
        # The jitter keeps workers that were started together from looking together.
        pause_s = self._poll_s * (0.75 + self._world.random() / 2)
        if not self._due_at or len(self._in_hand) >= self._concurrency:
            return pause_s
        return max(0.001, min(pause_s, min(self._due_at.values()) - self._steady_s()))

    async def _guarded(self, work: Beside) -> None:
        """Do ``work``; a locked or unreadable database now may be a good one in a moment, and a worker is for long."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the border of a service that has to outlive what is beside it
            trouble = f"{type(error).__name__}: {error}"
            if trouble != self._trouble:
                # Once, and not with every look.
                _log.warning("a look for work failed: %s", trouble)
            self._trouble = trouble

    # -- working --------------------------------------------------------------------------------------------------

    async def _work(self, record: RunRecord) -> None:
        run_id = record.run_id
        if self._stop.requested:
            return
        try:
            if record.status == "running" and await deaths_without_progress(self._store, record) >= MAX_DEATHS:
                await quarantine(self._store, record, self._owner, self._lease_s, self._admission())
                self.taken["quarantined"] += 1
                self._tell(WorkEvent(kind="left", run_id=run_id, record=await self._store.get_run(run_id)))
                return
            self._tell(WorkEvent(kind="took", run_id=run_id, record=record))
            result = await self._runners[record.agent.name].resume(run_id=run_id, wait_s=0, unasked=True)
        except (RunBusy, NothingToDo):
            # Another worker was faster.
            return
        except Exception as error:  # noqa: BLE001 - the border between a worker and one run of many
            await self._after_error(record, error)
            return
        self._resting.pop(run_id, None)
        self.taken[result.status] += 1
        after = await self._store.get_run(run_id)
        if result.wake_at is not None:
            self._due_at[run_id] = self._steady_s() + max(0.0, self._world.now().until(result.wake_at, after.wake_boot))
        self._tell(WorkEvent(kind="left", run_id=run_id, record=after))

    async def _after_error(self, before: RunRecord, error: Exception) -> None:
        """Tell a run that failed, which is recorded, from one that could not be gone on with, which is let rest."""
        run_id = before.run_id
        try:
            record: RunRecord | None = await self._store.get_run(run_id)
        except LoomError:
            record = None
        if record is not None and record.status == "failed" and record.epoch > before.epoch:
            self.taken["failed"] += 1
            self._tell(WorkEvent(kind="left", run_id=run_id, record=record, error=error))
            return
        _, rest_s = self._resting.get(run_id, (0.0, _FIRST_REST_S / 2))
        rest_s = min(rest_s * 2, _LONGEST_REST_S)
        self._resting[run_id] = (self._steady_s() + rest_s, rest_s)
        self._tell(WorkEvent(kind="trouble", run_id=run_id, record=record, error=error))

    def _put_down(self, run_id: str, _task: asyncio.Task[None]) -> None:
        self._in_hand.pop(run_id, None)
        self._changed.set()

    async def _drain(self) -> None:
        tasks = [*self._in_hand.values()]
        if not self._stop.requested:
            # Cancelled, and so now: each run is left where it stands.
            self.request_stop()
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _admission(self) -> Admission:
        world = self._world
        return Admission(unasked=True, wall=world.wall, boot=world.boot, boot_id=world.boot_id)

    def _steady_s(self) -> float:
        boot_s = self._world.boot()
        return self._world.wall() if boot_s is None else boot_s

    def _tell(self, event: WorkEvent) -> None:
        try:
            self._report(event)
        except Exception:  # noqa: BLE001 - who watches must not change what happens
            _log.exception("the report of a worker failed on run %s", event.run_id)


def _by_name(runners: Sequence[AgentRunner]) -> dict[str, AgentRunner]:
    found: dict[str, AgentRunner] = {}
    for runner in runners:
        name = runner.agent.name
        if name in found:
            raise BadInput(
                f"two of the agents are named `{name}`",
                hint="a worker tells runs by their agent's name: name them apart",
            )
        found[name] = runner
    if not found:
        raise BadInput("a worker needs at least one agent")
    return found
