"""A runner over a real database, tools whose effects are counted, and a clock that needs no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from loom_core import AgentRunner, ExponentialBackoff, RetryPolicy

AT_ONCE = RetryPolicy(max_attempts=3, backoff=ExponentialBackoff(initial_s=0, max_s=0))


def runner(place: Path, step: Any, *tools: Any, **options: Any) -> AgentRunner:
    options.setdefault("retry_policy", AT_ONCE)
    return AgentRunner(step=step, store=place / "runs.sqlite", tools=tools, **options)


def play(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())
