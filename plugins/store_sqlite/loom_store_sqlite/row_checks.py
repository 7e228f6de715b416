"""Checks of single rows: seals, and values that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import apsw

from loom_core.contracts.stores import ENDED, Finding, RunRecord, RunStatus
from loom_store_sqlite import seals
from loom_store_sqlite.payloads import Reference
from loom_store_sqlite.queries import all_rows
from loom_store_sqlite.rows import OUTCOMES, agent_record, range_of

_COMPLETE = OUTCOMES.index("complete")
_INITIAL = OUTCOMES.index("initial")
_CHANGED = "it is not what was stored"


def check_rows(connection: apsw.Connection, record: RunRecord, run_no: int) -> Iterator[Finding | None]:
    """Yield what is wrong with single rows of a run; None wherever the caller may do something else in between."""
    for where, what, meaning in _faults(connection, record, run_no):
        yield Finding(run_id=record.run_id, where=where, what=what, meaning=meaning) if what else None


def _faults(connection: apsw.Connection, record: RunRecord, run_no: int) -> Iterator[tuple[str, str, str]]:
    yield from _check_identity(connection, record, run_no)
    yield from _check_head(record)
    yield from _check_steps(connection, record, run_no)
    yield from _check_claims(connection, run_no)
    yield from _check_attempts(connection, run_no)
    yield from _check_calls(connection, run_no)
    yield from _check_signals(connection, record, run_no)


def _check_identity(connection: apsw.Connection, record: RunRecord, run_no: int) -> Iterator[tuple[str, str, str]]:
    (kept,) = all_rows(connection, "SELECT seal FROM runs WHERE run_no = ?", (run_no,))[0]
    made = seals.of_run(record.run_id, record.agent, record.input_digest, record.created_at, record.origin)
    if kept is not None and kept != made:
        yield (
            "run",
            f"its name, agent, input, origin or time of creation: {_CHANGED}",
            "it may have another name, or be resumed with other code",
        )


def _check_head(record: RunRecord) -> Iterator[tuple[str, str, str]]:
    resume = "resuming may do nothing, or what it should not"
    if record.status not in get_args(RunStatus):
        yield "head", f"there is no status `{record.status}`", resume
    if (record.ended_at is not None) != (record.status in ENDED):
        yield "head", f"it is {record.status}, and the time of its end says otherwise", resume
    if (record.lease is not None) != (record.status == "running"):
        yield "head", f"it is {record.status}, and its lease says otherwise", resume
    if record.result is not None and record.status != "completed":
        yield "head", f"it is {record.status}, and has a result", resume
    kind, _, name = (record.reason or "").partition(":")
    if record.status == "waiting" and kind == "signal" and name != record.wake_signal:
        yield "head", f"it waits for `{name}` and would be woken by `{record.wake_signal}`", "it may wait for ever"
    if record.attempt_index < 0:
        yield "head", f"its attempt is number {record.attempt_index}", "retries would be counted wrongly"


def _check_steps(connection: apsw.Connection, record: RunRecord, run_no: int) -> Iterator[tuple[str, str, str]]:
    base, last = range_of(run_no)
    cursor = connection.cursor().execute(
        "SELECT id, outcome, attempt_index, epoch, form IS NULL FROM steps WHERE id BETWEEN ? AND ? ORDER BY id",
        (base, last),
    )
    first = -1 if record.origin is None or record.origin.forked_step is None else record.origin.forked_step - 1
    before = 1
    outcome = None
    for row_id, outcome, attempt_index, epoch, ends in cursor:
        step_index = row_id - base - 2
        where = f"step {step_index}"
        if not 0 <= outcome < len(OUTCOMES) or (outcome == _COMPLETE) != bool(ends):
            yield where, f"it has the outcome {outcome}", "it is not known what this step did"
        elif (outcome == _INITIAL) != (step_index == first):
            yield where, f"it is `{OUTCOMES[outcome]}`", "it is not known where the run begins"
        if attempt_index < 0 or not before <= epoch <= record.epoch:
            yield where, f"its attempt is {attempt_index}, its epoch {epoch}", "it is not known who committed it"
        before = max(before, min(epoch, record.epoch))
        yield where, "", ""
    if outcome is not None and (record.status == "completed") > (outcome == _COMPLETE):
        yield "head", "it is completed, and its last step did not complete it", "its result is not that of its steps"


def _check_claims(connection: apsw.Connection, run_no: int) -> Iterator[tuple[str, str, str]]:
    base, last = range_of(run_no)
    # Texts are not read: those that are damaged are found by their own hash.
    for row in connection.cursor().execute(
        "SELECT c.id, c.owner, c.at, c.step_index, c.found, c.seal, a.name, a.version, a.reference, a.code_hash,"
        " a.schema_hash FROM claims c LEFT JOIN agents a ON a.id = c.id WHERE c.id BETWEEN ? AND ? ORDER BY c.id",
        (base, last),
    ):
        row_id, owner, at, step_index, found, seal, *agent = row
        code = None if agent[0] is None else agent_record(agent)
        made = seals.of_claim(seals.mark_stored(connection, owner), at, step_index, found, code)
        if seal is not None and seal != made:
            yield f"claim {row_id - base}", _CHANGED, "it is not known who owned the run, or with what code"
        yield "", "", ""
    for (row_id,) in all_rows(
        connection,
        "SELECT id FROM agents WHERE id BETWEEN ? AND ? AND id NOT IN (SELECT id FROM claims)",
        (base, last),
    ):
        yield f"claim {row_id - base}", "its code is recorded, and it is not", "it is not known who owned the run"


def _check_attempts(connection: apsw.Connection, run_no: int) -> Iterator[tuple[str, str, str]]:
    base, last = range_of(run_no)
    for row in connection.cursor().execute(
        "SELECT id, seal, error, step_index, attempt_index, epoch, started_at, ended_at, retry_at FROM attempts"
        " WHERE id BETWEEN ? AND ? ORDER BY id",
        (base, last),
    ):
        row_id, seal, error, *values = row
        if seal is not None and seal != seals.seal((*values, seals.mark_stored(connection, error))):
            yield f"attempt {row_id - base}", _CHANGED, "it is not known what failed there"
        yield "", "", ""


def _check_calls(connection: apsw.Connection, run_no: int) -> Iterator[tuple[str, str, str]]:
    base, last = range_of(run_no)
    rows = connection.cursor().execute(
        "SELECT id, step_index, key, try_index, seal FROM calls"
        " WHERE id BETWEEN ? AND ? AND seal IS NOT NULL ORDER BY id",
        (base, last),
    )
    for row_id, step_index, key, try_index, seal in rows:
        if seals.of_call(connection, row_id) != seal:
            yield (
                f"call {step_index}/{key}~{try_index}",
                _CHANGED,
                "the step would be given another result than the call returned, or make it again",
            )
        yield "", "", ""


def _check_signals(connection: apsw.Connection, record: RunRecord, run_no: int) -> Iterator[tuple[str, str, str]]:
    base, last = range_of(run_no)
    rows: Iterator[tuple[int, str, Reference, float, int | None, str | None, str | None, Any]] = iter(
        connection.cursor().execute(
            "SELECT id, name, payload, sent_at, consumed_by, sent_by, sent_user, seal FROM signals"
            " WHERE id BETWEEN ? AND ?",
            (base, last),
        )
    )
    for row_id, name, payload, sent_at, consumed_by, sent_by, sent_user, seal in rows:
        mark = seals.mark_stored(connection, payload)
        if seal is not None and seal != seals.of_signal(name, mark, sent_at, consumed_by, (sent_by, sent_user)):
            yield f"signal {row_id - base}", _CHANGED, "a step may be woken by something else, twice, or never"
        if consumed_by is not None and not 0 <= consumed_by <= record.step_index:
            yield (
                f"signal {row_id - base}",
                f"consumed by step {consumed_by}",
                "it may never wake the step that it should",
            )
        yield "", "", ""
    for (count,) in all_rows(connection, "SELECT signals FROM inboxes WHERE run_no = ?", (run_no,)):
        (newest,) = all_rows(connection, "SELECT max(id) FROM signals WHERE id BETWEEN ? AND ?", (base, last))[0]
        there = 0 if newest is None else newest - base
        if there != count:
            yield "signals", f"{count} have come, and {there} are there", "a message of the inbox was lost"
