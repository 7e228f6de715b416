"""The store: where runs, their history, their journal and their inbox live.

Two verbs write a run's progress, ``commit`` (one step, the hot path) and ``settle`` (an outcome that ends, parks or
pauses the run); everything else around them is the journal of managed calls. Every one of these writes goes through a
``RunWriter``, which only a claim (or the creation) of the run hands out and which carries the run's epoch: an unfenced
write cannot be expressed. The promises are in ``docs/promises.md``; ``loom_core.testing.StoreContract`` checks them.

All times are Unix seconds (UTC). All payloads are JSON texts: a store never sees a Python object of the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import attrs

from loom_core.contracts.budgets import Budget, BudgetRecord, Spending
from loom_core.contracts.people import ApprovalAnswer, ApprovalRecord, ApprovalRequest, Person
from loom_core.contracts.schedules import ScheduleRecord
from loom_core.contracts.timers import BootTime, Moment, Woken

RunStatus = Literal["queued", "running", "paused", "waiting", "completed", "failed", "cancelled"]
CallStatus = Literal["started", "done", "failed", "unknown"]
CallKind = Literal["tool", "model"]
Effect = Literal["read", "idempotent", "once"]
OutcomeKind = Literal["initial", "continue", "sleep", "wait", "complete"]

ENDED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


class EncodedState(NamedTuple):
    """A state as JSON. A named tuple, because one is made at every step.

    ``fields`` has the encoded top-level fields when the state is a JSON object worth storing as a difference, else
    None; joined they are ``text``. ``digest`` is 16 bytes of BLAKE2b over the UTF-8 text.
    """

    text: str
    digest: bytes
    fields: Mapping[str, str] | None = None


@attrs.frozen(kw_only=True)
class Owner:
    """A process that may own runs. Two owners are the same only if every field is equal.

    ``boot_id``, ``pid_namespace`` and ``started`` are None where the system does not tell them; such an owner can
    never be proved dead and is replaced only when its lease has expired. ``nonce`` tells two openings of a store in
    one process apart.
    """

    host: str
    pid: int
    nonce: str
    boot_id: str | None = None
    pid_namespace: str | None = None
    started: str | None = None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@attrs.frozen(kw_only=True)
class Lease:
    """Until when an owner may be assumed to be alive, on two clocks.

    ``boot_s`` is seconds since boot (``CLOCK_BOOTTIME``), None where there is no such clock; it is compared only by
    a process of the same boot, because the wall clock may be set back and forth. ``wall_s`` is Unix time.
    """

    wall_s: float
    boot_s: float | None = None


@attrs.frozen(kw_only=True)
class AgentRecord:
    """Which code a run belongs to; ``reference`` is ``file.py:name`` or ``module:name``, None if made in code."""

    name: str
    version: str = "1"
    reference: str | None = None
    code_hash: str | None = None
    schema_hash: str | None = None


@attrs.frozen(kw_only=True)
class ErrorRecord:
    """An exception as data. ``traceback`` is the formatted text, cut to 8,000 characters."""

    type: str
    message: str
    category: str
    traceback: str | None = None


@attrs.frozen(kw_only=True)
class RunCounters:
    """Totals kept in the run's own row, so that reading them costs nothing at 100,000 steps."""

    calls: int = 0
    model_calls: int = 0
    failed_attempts: int = 0
    failed_calls: int = 0
    unknown_calls: int = 0
    claims: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@attrs.frozen(kw_only=True)
class RunRecord:
    """A run's own row.

    ``step_index`` is the number of committed steps and so the step that comes next; ``attempt_index`` the attempt that
    comes next of it. ``reason`` says why a run is paused, waiting or queued, as a code: ``slice:steps``,
    ``slice:seconds``, ``interrupt``, ``signal:NAME``, ``timer``, ``retry``, ``doubt:CALL_ID``, ``reconcile:CALL_ID``,
    ``resolved``, ``submitted``, ``drained``, ``approval:ID``, ``answered``, ``person:NAME`` (who paused it),
    ``cancelled:NAME``, ``budget:NAME``, ``budget raised``.
    ``wake_signal`` and ``wake_at`` are what the step that comes next is woken by; the commit of that step clears them.
    ``wake_boot`` is the same moment as ``wake_at`` on the clock that counts on its boot, None for a time of the
    calendar. ``timed_out`` says that the step that comes next goes on without its signal: once it has begun so, a
    signal that comes late does not change it.
    """

    run_id: str
    agent: AgentRecord
    status: RunStatus
    reason: str | None
    step_index: int
    attempt_index: int
    epoch: int
    owner: Owner | None
    lease: Lease | None
    wake_signal: str | None
    wake_at: float | None
    input_digest: bytes
    created_at: float
    updated_at: float
    ended_at: float | None
    result: str | None
    error: ErrorRecord | None
    counters: RunCounters
    wake_boot: BootTime | None = None
    timed_out: bool = False


@attrs.frozen(kw_only=True)
class StepRecord:
    """One committed step, or the initial state (``step_index`` -1, ``outcome`` ``initial``).

    ``state`` is what the next step starts with; None when the reader did not ask for it or the step completed the run.
    ``notes`` is a JSON object or None: ``facts`` (values of ``now``, ``random``, ``uuid4``), ``events`` (``emit``),
    ``timed_out`` (the signal that the step waited for in vain).
    """

    step_index: int
    outcome: OutcomeKind
    attempt_index: int
    epoch: int
    at: float
    digest: bytes
    state: str | None
    notes: str | None


@attrs.frozen(kw_only=True)
class AttemptRecord:
    """One failed attempt of a step. ``retry_at`` is when the next one may start, None when there is none."""

    step_index: int
    attempt_index: int
    epoch: int
    started_at: float
    ended_at: float
    error: ErrorRecord
    retry_at: float | None


@attrs.frozen(kw_only=True)
class CallIntent:
    """A managed call about to be made.

    ``key`` is ``BRANCH/ORDINAL`` within the step (``0``, ``g0.1/2``) or ``=NAME`` for a call with a name of its own;
    ``try_index``
    counts executions of the same key. ``arguments`` is the JSON text that is stored and shown; ``messages`` are the
    messages of a model call, each a JSON text, stored once per run however often they are sent.
    ``idempotency_key`` is the user's own, unique in the run, or None. ``facts`` is a JSON object or None.
    ``approval_id`` is the approval that allows the call; it is used in the intent's own transaction. ``reserves`` is
    taken from the run's budget in the same transaction; None, or a run without a budget, takes nothing.
    """

    step_index: int
    key: str
    try_index: int
    attempt_index: int
    kind: CallKind
    name: str
    effect: Effect
    arguments: str
    arguments_digest: bytes
    idempotency_key: str | None = None
    messages: tuple[str, ...] = ()
    facts: str | None = None
    approval_id: str | None = None
    reserves: Spending | None = None


@attrs.frozen(kw_only=True)
class CallEnd:
    """How a managed call ended. ``result`` is JSON for ``done``; ``failed`` has an ``error``, ``unknown`` may have one.

    ``not_started`` marks a failure of which it is certain that nothing happened. ``spent`` is what the call is known to
    have spent of the run's budget; None: nobody knows, and it is charged what was reserved.
    """

    step_index: int
    key: str
    try_index: int
    status: Literal["done", "failed", "unknown"]
    result: str | None = None
    error: ErrorRecord | None = None
    not_started: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    decided_by: str | None = None
    spent: Spending | None = None


def may_end(status: CallStatus, decided_by: str | None, end: CallEnd) -> bool:
    """Return True if a call may be ended so: once, but a person may decide again what failed or what was decided."""
    if status in ("started", "unknown"):
        return True
    return end.decided_by is not None and (status == "failed" or decided_by is not None)


@attrs.frozen(kw_only=True)
class CallRecord:
    """A managed call as stored; ``call_id``, unique in the run and short enough to type, is ``STEP/KEY[~TRY]``."""

    call_id: str
    step_index: int
    key: str
    try_index: int
    attempt_index: int
    epoch: int
    kind: CallKind
    name: str
    effect: Effect
    arguments: str
    arguments_digest: bytes
    idempotency_key: str | None
    status: CallStatus
    result: str | None
    error: ErrorRecord | None
    not_started: bool
    started_at: float
    ended_at: float | None
    decided_by: str | None
    facts: str | None
    late_result: str | None
    tokens_in: int = 0
    tokens_out: int = 0


def call_id(step_index: int, key: str, try_index: int) -> str:
    """Return the name under which people and commands speak of a call."""
    return f"{step_index}/{key}" + (f"~{try_index}" if try_index else "")


@attrs.frozen(kw_only=True)
class SignalRecord:
    """One message in a run's inbox. ``consumed_by`` is the step whose commit consumed it, None while it is pending.

    Names of ``CONTROLS`` are wishes of people that the runtime takes up itself. ``sender`` is None if none was given.
    """

    signal_id: int
    name: str
    payload: str
    sent_at: float
    consumed_by: int | None
    sender: Person | None = None


@attrs.frozen(kw_only=True)
class ClaimRecord:
    """One claim of a run: who took it, when, at which step, and in what status it was found."""

    epoch: int
    owner: Owner
    at: float
    step_index: int
    found: str


@attrs.frozen(kw_only=True)
class Settlement:
    """An outcome that ends, parks or pauses the run and releases its lease, in one synced transaction.

    With ``outcome`` set it is also the commit of step ``step_index`` (``state`` is then what the next step starts
    with, None for ``complete``); without it the run is left before the step ``step_index`` finished.
    ``attempt`` is a failed attempt, recorded in the same transaction: the one that ended the run, or one that is
    followed by another when the run's timer is due. ``wake_boot`` belongs to ``wake_at``, see ``RunRecord``.

    ``questions`` are asked by it. A run that is to wait for ``approval:ID`` becomes ``queued`` (``answered``) instead
    if that answer has come meanwhile. Questions that have no answer yet are withdrawn if the run ends, if a step is
    committed, or if another one at the same call takes their place. ``takes`` are wishes of the inbox that are taken up
    by it.
    """

    step_index: int
    status: RunStatus
    reason: str | None = None
    outcome: Literal["sleep", "wait", "complete"] | None = None
    attempt_index: int = 0
    state: EncodedState | None = None
    wake_signal: str | None = None
    wake_at: float | None = None
    result: str | None = None
    error: ErrorRecord | None = None
    attempt: AttemptRecord | None = None
    notes: str | None = None
    wake_boot: BootTime | None = None
    questions: tuple[ApprovalRequest, ...] = ()
    takes: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class NewRun:
    """What a run is created with."""

    run_id: str
    agent: AgentRecord
    state: EncodedState
    budget: Budget | None = None


@attrs.frozen(kw_only=True)
class ClaimedRun:
    """What an owner needs to go on: the row after the claim, the state of the step that comes next, that step's calls
    in the order of their intents, the pending signal it is woken by (None if there is none, or if the step goes on
    without it), that step's questions in their order, the pending wishes of its inbox, and the owner's own writer.
    """

    record: RunRecord
    state: str
    calls: tuple[CallRecord, ...]
    signal: SignalRecord | None
    writer: RunWriter
    approvals: tuple[ApprovalRecord, ...] = ()
    controls: tuple[SignalRecord, ...] = ()
    budget: BudgetRecord | None = None


@attrs.frozen(kw_only=True)
class Finding:
    """One inconsistency that ``verify`` found: where, what, and what it means for the user."""

    run_id: str | None
    where: str
    what: str
    meaning: str


Admit = Callable[["RunRecord", "SignalRecord | None"], "Woken | None"]
"""Decides inside the claim's transaction whether the run may be claimed; raises when not. May be called again.

Returns what woke the run if that was no signal: its timer is then cleared by the claim, and ``timeout`` sets
``timed_out`` of a run that waits for a signal. The signal that it is given is the one the step would be woken by.
"""

Ready = Callable[["RunRecord", "SignalRecord | None"], bool]
"""Says whether a run may be claimed now; the rule of ``Admit`` as a question."""


class RunWriter(Protocol):
    """The only way to write a run's progress; made by ``create_run`` and ``claim`` for one epoch.

    Every method raises ``LeaseLost`` and changes nothing when the run's epoch (or, for ``commit`` and ``settle`` with
    an outcome, its step number) is no longer the writer's; an expired lease alone is no reason, and every successful
    write renews it. Every method waits without blocking the event loop while the database is locked by somebody else,
    for up to 60 s, then raises ``StoreBusy``. All but ``commit`` without ``sync`` are on disk before they return.
    """

    @property
    def run_id(self) -> str:
        """The run that this writer writes."""
        ...

    @property
    def epoch(self) -> int:
        """The claim that made this writer."""
        ...

    async def commit(
        self,
        step_index: int,
        state: EncodedState,
        attempt_index: int = 0,
        notes: str | None = None,
        sync: bool = False,
        later: bool = False,
    ) -> None:
        """Record that step ``step_index`` ended in ``Continue(state)``: its row and the run's row, one transaction.

        Also consumes the signal that the step was woken by, and clears what it was waiting for. With ``later`` the
        writer may keep up to 100 such steps for up to 5 ms and write them together, before anything else of the run:
        a process that dies then loses them. What went wrong is raised by the next write.
        """
        ...

    async def settle(self, settlement: Settlement) -> None:
        """End, park or pause the run and release the lease. The writer cannot be used afterwards."""
        ...

    async def begin_call(self, intent: CallIntent) -> None:
        """Record the intent of a managed call, with status ``started``.

        With an ``approval_id`` also mark that approval as used; raises ``BadInput``, and records nothing, if it is not
        approved, was for another tool or other arguments, or allowed this try (or a later one) of the call already.
        With ``reserves`` also take that from the run's budget; raises ``BudgetExhausted``, and records nothing.
        """
        ...

    async def end_call(self, end: CallEnd) -> None:
        """Record how a managed call ended; raises ``BadInput`` where ``may_end`` says no."""
        ...

    async def fail_attempt(self, attempt: AttemptRecord) -> None:
        """Record a failed attempt that will be followed by another one; raises the run's ``attempt_index`` by one."""
        ...

    async def read_call(self, idempotency_key: str) -> CallRecord | None:
        """Return the newest call of the run with this idempotency key of the user's, at any step."""
        ...

    async def pending_controls(self) -> Sequence[SignalRecord]:
        """Return the wishes of people (``CONTROLS``) in the inbox that nothing has taken up; may be called often."""
        ...

    def lease_age_s(self) -> float:
        """Return the seconds since the last successful write; thread-safe."""
        ...

    def beat(self) -> bool:
        """Renew the lease from another thread, blocking for a few seconds at most. False when the lease is lost."""
        ...


class Store(Protocol):
    """Durable runs. A store belongs to the event loop that opened it; other threads open their own.

    Readers never block a run and never create anything; they raise ``RunNotFound`` for an unknown run.
    """

    @property
    def location(self) -> str:
        """The path or URL without secrets, for messages."""
        ...

    async def create_run(self, new: NewRun, owner: Owner, lease_s: float) -> ClaimedRun:
        """Create a run, claimed by ``owner`` (epoch 1), on disk before it returns. Raises ``RunExists``."""
        ...

    async def claim(self, run_id: str, owner: Owner, lease_s: float, admit: Admit) -> ClaimedRun:
        """Claim a run atomically: ``admit`` decides, the epoch rises by one, the status becomes ``running``.

        Calls of the step that comes next which are still ``started`` become ``unknown`` in the same transaction:
        whoever started them is gone. Questions whose time is up become ``expired`` in it, too. A timer that ``admit``
        says has woken the run is cleared. Raises what ``admit``
        raises, ``RunNotFound``, ``StoreBusy``.
        """
        ...

    async def send_signal(self, run_id: str, name: str, payload: str, *, sender: Person | None = None) -> SignalRecord:
        """Append to the run's inbox, on disk before it returns; needs no claim."""
        ...

    async def answer_approval(self, run_id: str, approval_id: str, answer: ApprovalAnswer) -> ApprovalRecord:
        """Record a person's answer, on disk before it returns; needs no claim.

        Raises ``BadInput``, and changes nothing, for a question that is not there or as ``check_answer`` says. A run
        that waits for an answer becomes ``queued`` (``answered``) in the same transaction.
        """
        ...

    async def keep_late_result(self, run_id: str, step_index: int, key: str, try_index: int, text: str) -> None:
        """Keep what a call returned after its end was recorded, as evidence; it is never applied. Needs no fence."""
        ...

    async def find_claimable(
        self, agents: Sequence[str], now: Moment, ready: Ready, *, limit: int = 16
    ) -> Sequence[RunRecord]:
        """Return runs of these agents for which ``ready`` is true, ``limit`` at most, those created first first.

        ``ready`` is asked of runs that are queued or running, and of waiting ones whose timer is due at ``now`` or
        that a signal has come for; what it says is not remembered, and only a claim decides. The cost does not depend
        on how many runs have ended, are paused, or wait for what has not come.
        """
        ...

    async def save_schedule(self, schedule: ScheduleRecord) -> bool:
        """Store a schedule, on disk before it returns: a new one (version 1), or in the place of the version before.

        False, and nothing changed, if the name is taken, or if somebody else has changed or removed it in the meantime
        or made another one of its name (``created_at`` tells).
        """
        ...

    async def remove_schedule(self, name: str) -> bool:
        """Remove a schedule, on disk before it returns; False if there is none. Runs that it started stay."""
        ...

    async def list_schedules(self) -> Sequence[ScheduleRecord]:
        """Return all schedules, by name."""
        ...

    async def get_run(self, run_id: str) -> RunRecord:
        """Return the run's own row."""
        ...

    async def list_runs(
        self, *, limit: int = 50, offset: int = 0, status: RunStatus | None = None, agent: str | None = None
    ) -> Sequence[RunRecord]:
        """Return runs, the newest first."""
        ...

    async def get_steps(
        self, run_id: str, *, first: int = -1, limit: int = 100, states: bool = False
    ) -> Sequence[StepRecord]:
        """Return committed steps from step ``first`` on; -1 is the initial state."""
        ...

    async def get_state(self, run_id: str, step_index: int | None = None) -> str:
        """Return the JSON text of the state with which step ``step_index`` starts; None: the one that comes next."""
        ...

    async def get_attempts(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[AttemptRecord]:
        """Return failed attempts in order."""
        ...

    async def get_calls(
        self, run_id: str, *, limit: int = 100, offset: int = 0, status: CallStatus | None = None, newest: bool = False
    ) -> Sequence[CallRecord]:
        """Return managed calls in the order of their steps and intents, or the newest first."""
        ...

    async def get_messages(self, run_id: str, call: CallRecord) -> Sequence[str]:
        """Return the messages that a model call was made with, each a JSON text."""
        ...

    async def get_signals(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[SignalRecord]:
        """Return the inbox in the order in which signals arrived."""
        ...

    async def add_budget(self, run_id: str, more: Budget) -> BudgetRecord:
        """Raise limits of a run's budget, on disk before it returns; needs no claim.

        Raises ``BadInput``, and changes nothing, for what the run has no budget of. A run that is paused for want of
        what it gets more of becomes ``queued`` (``budget raised``) in the same transaction.
        """
        ...

    async def get_budget(self, run_id: str) -> BudgetRecord | None:
        """Return the budget that a run draws from, its root's; None if it has none."""
        ...

    async def get_approvals(
        self, run_id: str | None = None, *, pending: bool = False, limit: int = 100, offset: int = 0
    ) -> Sequence[ApprovalRecord]:
        """Return questions of one run or of all in the order in which they were asked (of all: run by run).

        ``pending`` leaves out those that were answered, have expired by now, or were withdrawn.
        """
        ...

    async def get_claims(self, run_id: str, *, limit: int = 100, offset: int = 0) -> Sequence[ClaimRecord]:
        """Return claims in order; the creation is the first."""
        ...

    async def verify(self, run_id: str | None = None) -> Sequence[Finding]:
        """Check what is stored (of one run or all) against itself: numbers, digests, counters, journal, references."""
        ...

    def protected_files(self) -> frozenset[tuple[int, int]]:
        """Return (device, inode) of every file that nobody else in this process may open while the store is open.

        Closing *any* descriptor of such a file drops this process's POSIX locks on it.
        """
        ...

    async def aclose(self) -> None:
        """Close; every other method must not be called afterwards."""
        ...
