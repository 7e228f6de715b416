"""A managed call as it is asked for, before it is compared with what is recorded."""

from __future__ import annotations

import asyncio
import json
from typing import TypedDict

import attrs

from loom_core.contracts.stores import CallKind, CallRecord, Effect
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
