"""What the tests of the embedded model share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from loom_llm_local.backend import LocalBackend
from loom_llm_local.config import LocalConfig

from loom_core.contracts.models import Message, ModelEvent, ModelRequest, TextDelta, ToolSpec

T = TypeVar("T")

READ_FILE = ToolSpec(
    name="read_file",
    description="Read a file",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)


def run(folder: Path, use: Callable[[LocalBackend], Awaitable[T]], *, limit_s: float = 60, **config: object) -> T:
    """Give ``use`` a backend that keeps its models in ``folder``, and close it afterwards."""

    async def scenario() -> T:
        backend = LocalBackend(LocalConfig(**{"n_threads": 1, **config}), cache_dir=folder)  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(limit_s):
                return await use(backend)
        finally:
            await backend.aclose()

    return asyncio.run(scenario())


def asked(model: Path | str, text: str = "hello", **fields: object) -> ModelRequest:
    return ModelRequest(model=str(model), messages=(Message(role="user", content=text),), **fields)  # type: ignore[arg-type]


async def collect(backend: LocalBackend, request: ModelRequest) -> list[ModelEvent]:
    async with aclosing(backend.stream(request)) as stream:
        return [event async for event in stream]


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))
