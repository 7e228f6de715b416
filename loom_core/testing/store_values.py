"""What the store contract writes: small values with names, made in one place."""

from __future__ import annotations

import json
from hashlib import blake2b

from loom_core.contracts.budgets import Budget, Spending
from loom_core.contracts.schedules import ScheduleRecord
from loom_core.contracts.stores import (
    AgentRecord,
    AttemptRecord,
    CallEnd,
    CallIntent,
    CallKind,
    EncodedState,
    ErrorRecord,
    NewRun,
    Owner,
    RunRecord,
    SignalRecord,
)

OWNER = Owner(host="one", pid=11, nonce="a", boot_id="boot", pid_namespace="ns", started="1")
RIVAL = Owner(host="two", pid=22, nonce="b")
AGENT = AgentRecord(name="counter", version="2", reference="agent.py:agent", code_hash="c0de", schema_hash="5c")
ERROR = ErrorRecord(type="OSError", message="no route to host", category="transient", traceback="Traceback …\n" * 30)

LEASE_S = 30.0

NASTY_TEXTS = (
    '""',
    '"' + "x" * 127 + '"',
    '"' + "x" * 128 + '"',
    '"ünïcode — 漢字 — 🦉"',
    '"\\u0000 and a real one: \0"',
    '"' + "0123456789" * 1_000 + '"',
    '"' + "é" * 40_000 + '"',
    json.dumps([{"i": i, "text": f"entry {i * 7919 % 1000}"} for i in range(25_000)]),
)
"""JSON texts around every limit at which a store may change how it keeps them; the last has about 1 MB."""


def encode(value: object) -> EncodedState:
    """Return a state as the runtime would encode it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    fields = None
    if isinstance(value, dict):
        fields = {key: json.dumps(v, separators=(",", ":"), ensure_ascii=False) for key, v in value.items()}
    return EncodedState(text, digest(text), fields)


def digest(text: str) -> bytes:
    """Return the digest of a text as ``EncodedState`` defines it."""
    return blake2b(text.encode(), digest_size=16).digest()


def new_run(run_id: str = "run", value: object = 0, agent: AgentRecord = AGENT, budget: Budget | None = None) -> NewRun:
    """Return a run to create."""
    return NewRun(run_id=run_id, agent=agent, state=encode(value), budget=budget)


def intent(
    step_index: int = 0,
    key: str = "0",
    *,
    try_index: int = 0,
    kind: CallKind = "tool",
    arguments: str = '{"n":1}',
    idempotency_key: str | None = None,
    messages: tuple[str, ...] = (),
    facts: str | None = None,
    reserves: Spending | None = None,
) -> CallIntent:
    """Return a call about to be made."""
    return CallIntent(
        step_index=step_index,
        key=key,
        try_index=try_index,
        attempt_index=0,
        kind=kind,
        name="mock:echo" if kind == "model" else "send_mail",
        effect="idempotent" if kind == "model" else "once",
        arguments=arguments,
        arguments_digest=digest(arguments),
        idempotency_key=idempotency_key,
        messages=messages,
        facts=facts,
        reserves=reserves,
    )


def done(step_index: int = 0, key: str = "0", *, try_index: int = 0, result: str = '"ok"') -> CallEnd:
    """Return the end of a call that went well."""
    return CallEnd(step_index=step_index, key=key, try_index=try_index, status="done", result=result)


def failed_attempt(
    step_index: int = 0, attempt_index: int = 0, *, epoch: int = 1, retry_at: float | None = None
) -> AttemptRecord:
    """Return a failed attempt."""
    return AttemptRecord(
        step_index=step_index,
        attempt_index=attempt_index,
        epoch=epoch,
        started_at=10.0,
        ended_at=11.5,
        error=ERROR,
        retry_at=retry_at,
    )


def schedule_record(
    name: str = "daily", *, version: int = 1, backlog: tuple[float, ...] = (), last_run_id: str | None = None
) -> ScheduleRecord:
    """Return a schedule."""
    return ScheduleRecord(
        name=name,
        agent_name=AGENT.name,
        agent_reference=AGENT.reference,
        rule="cron 0 3 * * *",
        zone="Europe/Berlin",
        overlap="queue",
        catch_up="all",
        input='{"text":"ünï 🦉"}',
        created_at=1_750_000_000.25,
        decided_until=1_750_000_000.25,
        backlog=backlog,
        last_run_id=last_run_id,
        version=version,
    )


def admit(record: RunRecord, signal: SignalRecord | None) -> None:
    """Admit every claim."""
