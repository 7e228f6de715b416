"""Checking what is stored against itself, a little at a time so that the event loop goes on."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

import apsw

from loom_core.contracts.stores import Finding, RunRecord
from loom_store_sqlite import payloads, states, timers
from loom_store_sqlite.people_checks import check_approvals, check_budget
from loom_store_sqlite.queries import all_rows, one_row
from loom_store_sqlite.reader import Reader
from loom_store_sqlite.rows import range_of
from loom_store_sqlite.settling import digest_of_result

Checks = Iterator[Finding | None]
"""Findings, and None wherever the caller may do something else in between."""

_SEQUENCES: Final = {
    "attempts": "the record of failed attempts is incomplete",
    "calls": "the journal is incomplete: an effect may have happened that is not recorded",
    "claims": "it is not recorded who owned the run",
    "signals": "a message of the inbox was lost",
    "approvals": "a question or its answer was lost",
}

_TEXTS: Final = {
    "heads": ("result", "error"),
    "steps": ("notes",),
    "attempts": ("error",),
    "calls": ("arguments", "result", "error", "facts", "late_result"),
    "claims": ("owner",),
    "signals": ("payload",),
    "approvals": ("subject", "arguments", "approvers", "facts", "note"),
}


def check_file(connection: apsw.Connection) -> Checks:
    """Check the file's structure, by SQLite itself, and the payloads that all runs share."""
    try:
        yield from _check_structure(connection)
        yield from _check_payloads(connection)
    except apsw.CorruptError as error:
        yield damage(None, str(error))


def _check_structure(connection: apsw.Connection) -> Checks:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield damage(None, str(line))
        yield None


def _check_payloads(connection: apsw.Connection) -> Checks:
    cursor = connection.execute("SELECT id, hash, form, body FROM payloads")
    for row_id, digest, form, body in cursor:
        try:
            text = payloads.unpack(form, body)
        except apsw.CorruptError:
            text = None
        if text is None or blake2b(text.encode(), digest_size=16).digest() != digest:
            yield Finding(
                run_id=None,
                where=f"payload {row_id}",
                what="its text does not have its digest",
                meaning="an argument, a result or a message that was stored has changed",
            )
        yield None


def check_runs(connection: apsw.Connection, name: str) -> Checks:
    """Check every run that can be found."""
    try:
        for (run_no,) in connection.execute("SELECT run_no FROM runs ORDER BY run_no"):
            yield from check_run(connection, name, run_no)
    except apsw.CorruptError as error:
        yield damage(None, f"the list of runs cannot be read to its end ({error})")


def check_run(connection: apsw.Connection, name: str, run_no: int) -> Checks:
    """Check one run: its history, its row, its journal. What cannot be read of it is a finding, and hides no other."""
    try:
        record = Reader(connection, name).run_numbered(run_no)
    except apsw.CorruptError as error:
        yield _lost(connection, run_no, error)
        return
    try:
        yield from _check_rows(connection, record, run_no)
    except apsw.CorruptError as error:
        yield damage(record.run_id, str(error))


def _check_rows(connection: apsw.Connection, record: RunRecord, run_no: int) -> Checks:
    yield from _check_texts(connection, record, run_no)
    yield from _check_history(connection, record, run_no)
    for table, meaning in _SEQUENCES.items():
        yield from _check_sequence(connection, record, run_no, table, meaning)
    yield from _check_counters(connection, record, run_no)
    yield from check_budget(connection, record, run_no)
    yield from check_approvals(connection, record, run_no)
    yield from _check_calls(connection, record, run_no)
    yield from _check_messages(connection, record, run_no)
    yield from timers.findings(record)


def _check_history(connection: apsw.Connection, record: RunRecord, run_no: int) -> Checks:
    base, last = range_of(run_no)
    text: str | None = None
    position = 0
    cursor = connection.execute(
        "SELECT id, digest, form, body FROM steps WHERE id BETWEEN ? AND ? ORDER BY id", (base, last)
    )
    for row_id, digest, form, body in cursor:
        position += 1
        if row_id != base + position:
            yield _finding(record, f"step {position - 2}", "its row is missing", "the history has a gap")
            position = row_id - base
            text = None
        ends = record.status == "completed" and position == record.step_index + 1
        problem, text = _check_state(record, digest, form, body, text, ends=ends)
        if problem is not None:
            yield _finding(
                record, f"step {position - 2}", problem, "the state after this step cannot be shown, forked or resumed"
            )
        yield None
    if position != record.step_index + 1:
        yield _finding(
            record,
            "head",
            f"its row says {record.step_index} committed steps, the history has {position - 1}",
            "resuming would execute steps again, or skip some",
        )


def _check_state(
    record: RunRecord, digest: bytes, form: int | None, body: bytes, before: str | None, *, ends: bool
) -> tuple[str | None, str | None]:
    if form is None:
        # Completed once and claimed again, its result is not kept.
        matches = not ends or digest == digest_of_result(record.result)
        return (None if matches else "the run's result is not the one that it completed with"), before
    try:
        text = states.after(before, form, body)
    except apsw.CorruptError as error:
        return str(error), before
    if blake2b(text.encode(), digest_size=16).digest() != digest:
        return "its state does not have its digest", text
    return None, text


def _check_sequence(connection: apsw.Connection, record: RunRecord, run_no: int, table: str, meaning: str) -> Checks:
    base, last = range_of(run_no)
    count, newest = one_row(
        connection,
        f"SELECT count(*), max(id) FROM {table} WHERE id BETWEEN ? AND ?",  # noqa: S608 - from _SEQUENCES
        (base, last),
    )
    if count and newest != base + count:
        yield _finding(record, table, f"numbered up to {newest - base}, but there are {count}", meaning)
    yield None


def _check_counters(connection: apsw.Connection, record: RunRecord, run_no: int) -> Checks:
    ids = range_of(run_no)
    calls = one_row(
        connection,
        "SELECT count(*), coalesce(sum(kind = 'model'), 0), coalesce(sum(status = 'failed'), 0),"
        " coalesce(sum(status = 'unknown'), 0), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0)"
        " FROM calls WHERE id BETWEEN ? AND ?",
        ids,
    )
    attempts = one_row(connection, "SELECT count(*) FROM attempts WHERE id BETWEEN ? AND ?", ids)[0]
    claims = one_row(connection, "SELECT count(*) FROM claims WHERE id BETWEEN ? AND ?", ids)[0]
    counted = {
        **dict(
            zip(
                ("calls", "model_calls", "failed_calls", "unknown_calls", "tokens_in", "tokens_out"), calls, strict=True
            )
        ),
        "failed_attempts": attempts,
        "claims": claims,
    }
    for name, count in counted.items():
        kept = getattr(record.counters, name)
        if kept != count:
            yield _finding(
                record,
                f"counter {name}",
                f"the run's row says {kept}, counted are {count}",
                "budgets and lists are wrong",
            )
    yield None


def _check_calls(connection: apsw.Connection, record: RunRecord, run_no: int) -> Checks:
    cursor = connection.execute(
        "SELECT step_index, key, try_index, epoch, status FROM calls WHERE id BETWEEN ? AND ? ORDER BY id",
        range_of(run_no),
    )
    seen: set[tuple[str, int]] = set()
    at_step = -1
    for step_index, key, try_index, epoch, status in cursor:
        where = f"call {step_index}/{key}~{try_index}"
        if step_index != at_step:
            seen.clear()
        problem = _problem_of_call(record, at_step, step_index, epoch, status)
        if problem is None and (key, try_index) in seen:
            problem = "it is recorded twice"
        if problem is not None:
            yield _finding(record, where, problem, "the journal cannot be trusted to replay this step's calls")
        seen.add((key, try_index))
        at_step = step_index
        yield None


def _problem_of_call(record: RunRecord, at_step: int, step_index: int, epoch: int, status: str) -> str | None:
    if step_index < at_step:
        return f"it comes after calls of step {at_step}"
    if step_index > record.step_index:
        return f"the run is only at step {record.step_index}"
    if epoch > record.epoch:
        return f"its epoch is {epoch}, the run's {record.epoch}"
    if status == "started" and (record.status != "running" or step_index != record.step_index):
        return f"it is `started`, but the run is {record.status} at step {record.step_index}"
    return None


def _check_messages(connection: apsw.Connection, record: RunRecord, run_no: int) -> Checks:
    # A chain shares its beginning with others, so each message is looked at once, not each chain.
    known: dict[int, bool] = {}
    cursor = connection.execute(
        "SELECT step_index, key, try_index, messages FROM calls WHERE id BETWEEN ? AND ? AND messages IS NOT NULL",
        range_of(run_no),
    )
    for step_index, key, try_index, last in cursor:
        if not _is_rooted(connection, run_no, last, known):
            yield _finding(
                record,
                f"call {step_index}/{key}~{try_index}",
                "one of its messages is missing",
                "what the model was asked cannot be shown",
            )
        yield None


def _is_rooted(connection: apsw.Connection, run_no: int, last: int, known: dict[int, bool]) -> bool:
    way: list[int] = []
    at = last
    while at not in known and at != -run_no:
        rows = all_rows(connection, "SELECT parent, body FROM messages WHERE id = ?", (at,))
        if not rows or rows[0][0] >= at or not _is_there(connection, rows[0][1]):
            known[at] = False
            break
        way.append(at)
        at = rows[0][0]
    found = known.get(at, True)
    known.update(dict.fromkeys(way, found))
    return found


def _check_texts(connection: apsw.Connection, record: RunRecord, run_no: int) -> Checks:
    for table, columns in _TEXTS.items():
        key, ids = ("run_no", (run_no, run_no)) if table == "heads" else ("id", range_of(run_no))
        for column in columns:
            missing = all_rows(
                connection,
                f"SELECT {key} FROM {table} WHERE {key} BETWEEN ? AND ? AND typeof({column}) = 'integer'"  # noqa: S608
                f" AND {column} NOT IN (SELECT id FROM payloads) LIMIT 10",
                ids,
            )
            for (row_id,) in missing:
                yield _finding(
                    record,
                    f"{table} {row_id - ids[0]}" if table != "heads" else "head",
                    f"the text of its {column} is missing",
                    "it cannot be shown, and a call that needs it cannot be replayed",
                )
            yield None


def _is_there(connection: apsw.Connection, reference: Any) -> bool:
    if not isinstance(reference, int):
        return reference is not None
    return bool(all_rows(connection, "SELECT 1 FROM payloads WHERE id = ?", (reference,)))


def _lost(connection: apsw.Connection, run_no: int, error: apsw.CorruptError) -> Finding:
    """Return the finding for a run whose row cannot be read; it is named if its name can be."""
    run_id: str | None = None
    try:
        for (found,) in all_rows(connection, "SELECT run_id FROM runs WHERE run_no = ?", (run_no,)):
            run_id = found if isinstance(found, str) else None
    except apsw.CorruptError:
        return damage(None, str(error))
    if getattr(error, "result", None) == apsw.SQLITE_CORRUPT:
        return damage(run_id, str(error))
    # What is missing here is a row, in a file that SQLite finds sound.
    what = str(error).replace(f"run number {run_no}", "the run")
    return Finding(run_id=run_id, where="head", what=what, meaning="the run cannot be shown or resumed")


def damage(run_id: str | None, detail: str) -> Finding:
    """Return the finding for a file whose pages SQLite cannot make sense of."""
    return Finding(
        run_id=run_id,
        where="file",
        what=f"the file is damaged: {detail}",
        meaning=(
            "what lies on the damaged pages is lost or cannot be trusted; go back to a copy of the file, or get out "
            'what can be read: sqlite3 FILE ".recover" | sqlite3 NEW'
        ),
    )


def _finding(record: RunRecord, where: str, what: str, meaning: str) -> Finding:
    return Finding(run_id=record.run_id, where=where, what=what, meaning=meaning)
