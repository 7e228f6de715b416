"""A managed call as it is asked for, before it is compared with what is recorded."""

from __future__ import annotations

import asyncio
import json
from typing import TypedDict

import attrs

from loom_core.contracts.stores import CallIntent, CallKind, CallRecord, Effect, call_id
from loom_core.contracts.tools import Tool
from loom_core.errors import ErrorCategory, ModelFailed

_SHOWN_CHARS = 200


@attrs.frozen
class AskedCall:
    """What the step asks for now. ``idempotency_key`` is the user's own; ``messages`` are those of a model call."""

    kind: CallKind
    name: str
    effect: Effect
    arguments: str
    arguments_digest: bytes
    idempotency_key: str | None = None
    messages: tuple[str, ...] = ()


def begun_record(intent: CallIntent, *, epoch: int, at: float) -> CallRecord:
    """Return the record of a call whose intent has just been written."""
    return CallRecord(
        call_id=call_id(intent.step_index, intent.key, intent.try_index),
        step_index=intent.step_index,
        key=intent.key,
        try_index=intent.try_index,
        attempt_index=intent.attempt_index,
        epoch=epoch,
        kind=intent.kind,
        name=intent.name,
        effect=intent.effect,
        arguments=intent.arguments,
        arguments_digest=intent.arguments_digest,
        idempotency_key=intent.idempotency_key,
        status="started",
        result=None,
        error=None,
        not_started=False,
        started_at=at,
        ended_at=None,
        decided_by=None,
        facts=intent.facts,
        late_result=None,
    )


class CallPlace(TypedDict):
    """The three fields that name one execution of a call within its run."""

    step_index: int
    key: str
    try_index: int


def place_of(call: CallRecord) -> CallPlace:
    """Return where ``call`` is recorded, as keyword arguments of a ``CallEnd``."""
    return CallPlace(step_index=call.step_index, key=call.key, try_index=call.try_index)


class Turns:
    """Lets calls under one key of the user's follow each other, so that the second finds the first one's record."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}

    def of(self, key: str) -> asyncio.Lock:
        """Return the lock of this key."""
        return self._locks.setdefault(key, asyncio.Lock())


def result_text(tool: Tool, result: object) -> str:
    """Return a tool's result as the JSON text that is recorded; raises ``ValueNotEncodable``."""
    from loom_core.values import encode_json

    return encode_json(tool.encode_result(result), f"result of tool `{tool.name}`")


def recorded_result(tool: Tool, call: CallRecord) -> object:
    """Return what a finished call returned when it was executed."""
    return tool.decode_result(json.loads(call.result or "null"))


def recorded_model_failure(call: CallRecord) -> ModelFailed:
    """Return the exception that stands for a recorded failure of a model call."""
    message = call.error.message if call.error else "no error was recorded"
    category = ErrorCategory(call.error.category) if call.error else ErrorCategory.UNKNOWN
    return ModelFailed(message, error_category=category)


def short(text: str) -> str:
    """Return ``text`` cut to what fits into a message."""
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
