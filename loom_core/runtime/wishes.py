"""What people ask of a run that is under way: to pause after its step, or to be cancelled.

They are messages of the run's inbox. The owner looks for them a few times a second, beside the run and between its
steps, never in a commit. A cancellation is first told to the step, at its next managed call (``RunCancelled``), which
may then clean up, with managed calls too; when its time is over the step's task is cancelled.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence

import attrs

from loom_core.contracts.people import CANCEL, PAUSE
from loom_core.contracts.stores import ENDED, RunStatus, SignalRecord
from loom_core.errors import LoomError
from loom_core.runtime.outcomes import RunCancelled
from loom_core.runtime.stopping import Sleep, StopRequest

POLL_S = 0.25
DEFAULT_GRACE_S = 10.0


@attrs.frozen(kw_only=True)
class Cancellation:
    """That somebody wants the run to end. ``deadline`` (Unix time) is when the step is cut off."""

    by: str
    note: str | None
    deadline: float


class Wishes:
    """The wishes for one active run.

    ``paused_by`` and ``cancellation`` are set once and stay. ``on_news`` is called whenever one of them is set.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Sequence[SignalRecord]]],
        task: asyncio.Task[object] | None,
        wall: Callable[[], float],
        on_news: Callable[[], None],
    ) -> None:
        self.paused_by: str | None = None
        self.cancellation: Cancellation | None = None
        self._read = read
        self._task = task
        self._wall = wall
        self._on_news = on_news
        self._heard: dict[int, str] = {}
        self._outdated: set[int] = set()
        self._looked_s = -POLL_S
        self._cut = False
        self._timer: asyncio.TimerHandle | None = None

    def take_over(self, found: Iterable[SignalRecord], *, asked: bool) -> None:
        """Take up what was in the inbox when the run was claimed.

        A wish to pause that nobody has fulfilled still holds, unless it is outdated because a person ``asked`` to go on
        with a run that had been left. A cancellation always holds.
        """
        for signal in found:
            self._take(signal, pauses=not asked)

    async def look(self) -> None:
        """Read the inbox if that was not done just now."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_s < POLL_S:
            return
        self._looked_s = now_s
        for signal in await self._read():
            if signal.signal_id not in self._heard:
                self._take(signal, pauses=True)

    async def nap(self, stop: StopRequest, seconds: float, sleep: Sleep) -> None:
        """Wait before a retry: for ``seconds``, until a stop is requested, or until there is a wish."""
        left_s = seconds
        while left_s > 0:
            span_s = min(POLL_S, left_s)
            await stop.wait(span_s, sleep)
            left_s -= span_s
            if stop.requested:
                return
            await self.look()
            if self.paused_by is not None or self.cancellation is not None:
                return

    def fulfilled_by(self, status: RunStatus) -> tuple[int, ...]:
        """Return the messages that are taken up when the run is left so: those that it fulfils, or that are outdated.

        What is not, in a run that falls asleep for example, stays in the inbox for ``fulfil_pending``.
        """
        fulfilled = (PAUSE, CANCEL) if status in ENDED else (PAUSE,) if status == "paused" else ()
        return tuple(n for n, name in self._heard.items() if name in fulfilled or n in self._outdated)

    def check_may_call(self, told: bool) -> None:
        """Raise ``RunCancelled`` at a managed call: once in each task, and always after the deadline."""
        if self.cancellation is not None and (not told or self._cut):
            raise RunCancelled(self.cancellation.by, self.cancellation.note)

    def is_cut(self, error: BaseException) -> bool:
        """Return True if ``error`` is the cancellation of the step's task at the deadline, and nobody else's."""
        if not self._cut or not isinstance(error, asyncio.CancelledError):
            return False
        self.close()
        return self._task is not None and self._task.cancelling() == 0

    def close(self) -> None:
        """Let nothing more happen at the deadline, and forget the cancellation of the task if it has happened."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            if self._cut and self._task is not None:
                self._task.uncancel()

    def _take(self, signal: SignalRecord, *, pauses: bool) -> None:
        self._heard[signal.signal_id] = signal.name
        by = "somebody" if signal.sender is None else signal.sender.name
        if signal.name == PAUSE and not pauses:
            self._outdated.add(signal.signal_id)
        elif signal.name == PAUSE and self.paused_by is None:
            self.paused_by = by
            self._on_news()
        elif signal.name == CANCEL and self.cancellation is None:
            self._cancel(by, signal)

    def _cancel(self, by: str, signal: SignalRecord) -> None:
        note, within_s = read_cancel(signal.payload)
        # Counted from when it is heard of, so that a step always has its time to clean up.
        self.cancellation = Cancellation(by=by, note=note, deadline=self._wall() + within_s)
        self._timer = asyncio.get_running_loop().call_later(within_s, self._cut_off)
        self._on_news()

    def _cut_off(self) -> None:
        self._cut = True
        if self._task is not None:
            self._task.cancel()


class InboxWatch:
    """Looks into the inboxes of a runner's runs while their steps are under way; one task for all of them."""

    def __init__(self) -> None:
        self._watched: list[Wishes] = []
        self._task: asyncio.Task[None] | None = None

    def watch(self, wishes: Wishes) -> None:
        """Look for this run from now on."""
        self._watched.append(wishes)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look_around())

    def unwatch(self, wishes: Wishes) -> None:
        """Look for this run no longer."""
        wishes.close()
        if wishes in self._watched:
            self._watched.remove(wishes)
        if not self._watched and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            for wishes in tuple(self._watched):
                try:
                    await wishes.look()
                except LoomError:
                    # The run's own next write says what is wrong with the store; the next look may work.
                    continue


def cancel_payload(note: str | None, within_s: float) -> str:
    """Return the payload of a cancellation."""
    return json.dumps({"note": note, "within_s": within_s})


def pause_payload(note: str | None) -> str:
    """Return the payload of a wish to pause."""
    return json.dumps({"note": note})


def read_cancel(payload: str) -> tuple[str | None, float]:
    """Return note and seconds of a cancellation; anything that another program may have sent is one, too."""
    data = json.loads(payload)
    given = data if isinstance(data, dict) else {}
    note, within_s = given.get("note"), given.get("within_s")
    if not isinstance(within_s, (int, float)) or isinstance(within_s, bool) or not 0 <= within_s < 1e9:
        within_s = DEFAULT_GRACE_S
    return (note if isinstance(note, str) else None), float(within_s)
