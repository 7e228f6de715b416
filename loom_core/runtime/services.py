"""What an active run needs from outside: tools, models, time, chance, and somebody who watches."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from typing import Any

import attrs

from loom_core.contracts.models import ModelBackend
from loom_core.contracts.retries import Classification
from loom_core.contracts.tools import Tool
from loom_core.errors import ModelNotFound, ToolNotFound
from loom_core.runtime.failures import classify


@attrs.frozen
class Observation:
    """Something that happens in a run, told to the observer as it happens and nowhere stored.

    ``kind`` is ``model_event`` (``data``: a ``ModelEvent``), ``call_started``, ``call_ended``, ``call_replayed``,
    ``attempt_failed``.
    """

    kind: str
    step_index: int
    call_id: str | None
    name: str | None
    data: Any = None


Observer = Callable[[Observation], None]


def no_observer(_observation: Observation) -> None:
    """Watch nothing."""


def _no_model(name: str) -> tuple[ModelBackend, str]:
    raise ModelNotFound(
        f"no model backend for `{name}`: this runner was given no models",
        hint="pass models=Runtime.open(…).model to AgentRunner",
    )


def _no_tool(name: str) -> Tool:
    raise ToolNotFound(name)


@attrs.frozen(kw_only=True)
class Services:
    """Bound once per runner; no plugin hook is called while a run is under way."""

    tool: Callable[[str], Tool] = _no_tool
    model: Callable[[str], tuple[ModelBackend, str]] = _no_model
    classify: Callable[[BaseException], Classification] = classify
    observe: Observer = no_observer
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = random.random
    uuid4: Callable[[], uuid.UUID] = uuid.uuid4
