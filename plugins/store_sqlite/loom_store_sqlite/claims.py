"""Creating and claiming: the only two ways to a writer, each one transaction."""

from __future__ import annotations

from shlex import quote
from typing import NamedTuple

import apsw

from loom_core.contracts.budgets import BudgetRecord
from loom_core.contracts.origins import RunOrigin
from loom_core.contracts.people import ApprovalRecord
from loom_core.contracts.stores import Admit, AgentRecord, CallRecord, NewRun, Owner, RunRecord, SignalRecord
from loom_core.errors import RunExists
from loom_store_sqlite import approvals, budgets, inbox, journal, payloads, seals, states, timers
from loom_store_sqlite.clocks import Clocks
from loom_store_sqlite.fence import Fence
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.reader import Reader
from loom_store_sqlite.rows import base_of, encode_owner


class Claim(NamedTuple):
    """What a claim found and made; a writer is made of it once it is committed."""

    fence: Fence
    record: RunRecord
    state: states.Restored
    calls: list[tuple[int, CallRecord]]
    signal: SignalRecord | None
    approvals: tuple[ApprovalRecord, ...] = ()
    controls: tuple[SignalRecord, ...] = ()
    budget: BudgetRecord | None = None
    asks: bool = False
    """Whether a question of the run has no answer yet."""


def create(
    connection: apsw.Connection,
    new: NewRun,
    first: tuple[int, bytes],
    owner: Owner,
    lease_s: float,
    clocks: Clocks,
    name: str,
) -> Claim:
    """Create a run with epoch 1; ``first`` is its state as history keeps it. Raises ``RunExists``."""
    check_free(connection, new.run_id)
    now = clocks.wall()
    agent = new.agent
    run_no = insert_run(connection, new.run_id, agent, new.state.digest, now)
    fence = Fence(run_id=new.run_id, run_no=run_no, epoch=1, lease_s=lease_s, clocks=clocks)
    lease = fence.lease()
    connection.execute(
        "INSERT INTO heads(run_no, status, step_index, attempt_index, epoch, lease_wall_s, lease_boot_s, updated_at,"
        " calls, model_calls, failed_attempts, failed_calls, unknown_calls, tokens_in, tokens_out)"
        " VALUES(?, 'running', 0, 0, 1, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0)",
        (run_no, lease.wall_s, lease.boot_s, now),
    )
    connection.execute(
        "INSERT INTO steps(id, outcome, attempt_index, epoch, at, digest, form, body) VALUES(?, 0, 0, 1, ?, ?, ?, ?)",
        (fence.base + 1, now, new.state.digest, *first),
    )
    budgets.create(connection, run_no, new.budget)
    fence.budget_no = budgets.number_of(connection, new.run_id)
    record_claim(connection, fence, owner, now, 0, "new")
    record = Reader(connection, name).run_numbered(run_no)
    budget = None if fence.budget_no is None else budgets.record_of(connection, new.run_id)
    return Claim(fence, record, states.Restored(new.state.text, 0), [], None, budget=budget)


def check_free(connection: apsw.Connection, run_id: str) -> None:
    """Raise ``RunExists`` if there is a run of that id."""
    taken = all_rows(
        connection, "SELECT h.status FROM runs r JOIN heads h ON h.run_no = r.run_no WHERE r.run_id = ?", (run_id,)
    )
    if taken:
        raise RunExists(
            run_id,
            taken[0][0],
            hint=f"look at it: loom-runner explain --run-id {quote(run_id)}; or choose another id",
        )


def insert_run(
    connection: apsw.Connection,
    run_id: str,
    agent: AgentRecord,
    input_digest: bytes,
    created_at: float,
    origin: RunOrigin | None = None,
) -> int:
    """Insert what never changes of a run; return its number."""
    run_no: int = one_row(
        connection, "SELECT max(coalesce((SELECT max(run_no) FROM runs), 0), max(last_run_no)) + 1 FROM numbers"
    )[0]
    connection.execute(
        "INSERT INTO runs(run_no, run_id, agent_name, agent_version, agent_reference, code_hash, schema_hash,"
        " input_digest, created_at, seal) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run_no,
            run_id,
            *seals.agent_values(agent),
            input_digest,
            created_at,
            seals.of_run(run_id, agent, input_digest, created_at, origin),
        ),
    )
    if origin is not None:
        values = (run_no, *seals.origin_values(origin))
        connection.execute(
            "INSERT INTO origins(run_no, forked_from, forked_step, imported_from, imported_at) VALUES(?, ?, ?, ?, ?)",
            values,
        )
    return run_no


def claim(
    connection: apsw.Connection,
    run_id: str,
    owner: Owner,
    lease_s: float,
    admit: Admit,
    clocks: Clocks,
    name: str,
    agent: AgentRecord | None = None,
) -> Claim:
    """Claim a run if ``admit`` agrees: the epoch rises, and calls that somebody left ``started`` are in doubt."""
    reader = Reader(connection, name)
    run_no = reader.run_no(run_id)
    found = reader.run_numbered(run_no)
    signal = reader.waking_signal(run_no, found)
    woken = admit(found, signal)
    fence = Fence(run_id=run_id, run_no=run_no, epoch=found.epoch + 1, lease_s=lease_s, clocks=clocks)
    doubts = journal.doubt_started(connection, run_no, found.step_index)
    lease = fence.lease()
    now = clocks.wall()
    approvals.expire(connection, run_no, now)
    fence.budget_no = budgets.number_of(connection, run_id)
    if found.status == "running":
        # Of an owner that has died it is known until when it lived: its last write.
        budgets.work(connection, fence.budget_no, found.updated_at - _claimed_at(connection, found, run_no))
    connection.execute(
        "UPDATE heads SET status = 'running', reason = NULL, epoch = ?, lease_wall_s = ?, lease_boot_s = ?,"
        " updated_at = ?, ended_at = NULL, result = NULL, error = NULL, unknown_calls = unknown_calls + ?"
        " WHERE run_no = ?",
        (fence.epoch, lease.wall_s, lease.boot_s, now, doubts, run_no),
    )
    if woken is not None:
        timed_out = found.timed_out or (woken == "timeout" and found.wake_signal is not None)
        timers.run_out(connection, run_no, timed_out=timed_out)
    changed = agent if agent is not None and agent != reader.agent_of(run_no, found.epoch) else None
    record_claim(connection, fence, owner, now, found.step_index, found.status, changed)
    return Claim(
        fence,
        reader.run_numbered(run_no),
        states.at(connection, run_no, found.step_index),
        journal.of_step(connection, run_no, found.step_index),
        signal,
        approvals.of_step(connection, run_no, found.step_index),
        tuple(inbox.pending_controls(connection, run_no)),
        None if fence.budget_no is None else budgets.record_of(connection, run_id),
        approvals.are_pending(connection, run_no),
    )


def _claimed_at(connection: apsw.Connection, found: RunRecord, run_no: int) -> float:
    rows = all_rows(connection, "SELECT at FROM claims WHERE id = ?", (base_of(run_no) + found.epoch,))
    return float(rows[0][0]) if rows else found.updated_at


def record_claim(
    connection: apsw.Connection,
    fence: Fence,
    owner: Owner,
    now: float,
    step_index: int,
    found: str,
    agent: AgentRecord | None = None,
) -> None:
    """Insert a claim; ``agent`` is the code that goes on, None if it is the same as before."""
    row_id = base_of(fence.run_no) + fence.epoch
    prepared = payloads.prepare(encode_owner(owner))
    connection.execute(
        "INSERT INTO claims(id, owner, at, step_index, found, seal) VALUES(?, ?, ?, ?, ?, ?)",
        (
            row_id,
            payloads.put(connection, prepared),
            now,
            step_index,
            found,
            seals.of_claim(seals.mark(prepared), now, step_index, found, agent),
        ),
    )
    if agent is not None:
        connection.execute(
            "INSERT INTO agents(id, name, version, reference, code_hash, schema_hash) VALUES(?, ?, ?, ?, ?, ?)",
            (row_id, *seals.agent_values(agent)),
        )
