"""The backend behind ``local:``: which file a name means, one engine a file, requests in and events out."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from loom_core.contracts.models import ModelCapabilities, ModelEvent, ModelInfo, ModelRequest, PullProgress
from loom_core.errors import ErrorCategory, ModelFailed
from loom_core.wire.chat_completions import ChunkAssembler
from loom_core.wire.chat_requests import prompt_chars
from loom_llm_local.body import chat_body
from loom_llm_local.catalogue import CATALOGUE, known_model
from loom_llm_local.config import LocalConfig
from loom_llm_local.engine import WHO, Engine
from loom_llm_local.engine_spec import EngineSpec
from loom_llm_local.gguf import fault_of
from loom_llm_local.pull import Pull
from loom_llm_local.shelf import Shelf, is_path
from loom_llm_local.threads import on_thread
from loom_llm_local.trial import Trials


def _no_files() -> frozenset[tuple[int, int]]:
    return frozenset()


class LocalBackend:
    """llama.cpp in this process. A file is loaded when it is first asked and stays loaded until ``aclose``.

    Belongs to one event loop. Requests to one file are answered one after the other. Closing a stream early stops its
    generation within about two seconds; the stream itself is closed at once.
    """

    def __init__(
        self,
        config: LocalConfig,
        *,
        cache_dir: Path,
        protected_files: Callable[[], frozenset[tuple[int, int]]] = _no_files,
    ) -> None:
        self._config = config
        self._shelf = Shelf((config.models_dir or cache_dir / "models").expanduser())
        self._trials = Trials(self._shelf.folder / ".tried")
        self._protected_files = protected_files
        self._engines: dict[EngineSpec, asyncio.Task[Engine]] = {}

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask the model. Raises ``ModelNotFound`` without its weights and ``ModelFailed`` for all else."""
        engine = await self._engine(self._spec(request.model))
        assembler = ChunkAssembler(who=WHO, prompt_chars=prompt_chars(request))
        chunks = engine.chat(
            chat_body(request, self._config),
            first_timeout_s=request.first_event_timeout_s,
            idle_timeout_s=request.idle_timeout_s,
        )
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                for event in assembler.feed(chunk):
                    yield event
        for event in assembler.end():
            yield event

    async def capabilities(self, model: str) -> ModelCapabilities:
        """Return the context that the model is loaded with; raises ``ModelNotFound`` without its weights."""
        return ModelCapabilities(context_tokens=self._spec(model).n_ctx)

    async def models(self) -> Sequence[ModelInfo]:
        """Return the catalogue and whatever else is on the shelf."""
        names = self._shelf.names()
        known = [
            ModelInfo(name=model.name, summary=model.summary, ready=model.name in names, size_bytes=model.size_bytes)
            for model in CATALOGUE
        ]
        others = [name for name in names if not known_model(name)]
        return [*known, *map(self._pulled, others)]

    async def pull(self, source: str, progress: PullProgress) -> ModelInfo:
        """Fetch weights: a name of the catalogue, the path of a GGUF file (copied), or a URL of one (resumable).

        ``progress`` is called in the event loop. Cancelling stops the fetching within a second; what has arrived of a
        URL is kept and a later pull goes on from there. Raises ``BadInput`` and ``ModelFailed``; what was there before
        is then still there.
        """
        pull = Pull(
            self._shelf,
            progress=progress,
            try_out=lambda path, stop: self._trials.failure(self._spec_of(path, template=None), stop),
            protected_files=self._protected_files,
        )
        return self._pulled(await pull.fetch(source))

    async def aclose(self) -> None:
        """Unload every model."""
        tasks = list(self._engines.values())
        self._engines.clear()
        for task in tasks:
            if not task.done():
                task.cancel()  # what is still loading is dropped when it is there
        for engine in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(engine, Engine):
                await engine.aclose()

    def _pulled(self, name: str) -> ModelInfo:
        known, origin = known_model(name), self._shelf.origin(name)
        summary = known.summary if known else f"from {origin.source}" if origin else "put there by hand"
        return ModelInfo(name=name, summary=summary, size_bytes=self._shelf.path_of(name).stat().st_size)

    def _spec(self, model: str) -> EngineSpec:
        path = self._shelf.find(model)
        fault = fault_of(path, self._protected_files)
        if fault:
            raise _unusable(path, fault)
        known = None if is_path(model) else known_model(model)
        template = known.template.read_text(encoding="utf-8") if known else None
        return self._spec_of(path, template=template)

    def _spec_of(self, path: Path, *, template: str | None) -> EngineSpec:
        config = self._config
        return EngineSpec(path=str(path.resolve()), n_ctx=config.n_ctx, n_threads=config.n_threads, template=template)

    async def _engine(self, spec: EngineSpec) -> Engine:
        task = self._engines.get(spec)
        if task is None:
            task = self._engines[spec] = asyncio.create_task(self._load(spec))
        try:
            # Shielded: who gives up waiting must not take the engine from the others that wait for it.
            return await asyncio.shield(task)
        except ModelFailed:
            if self._engines.get(spec) is task:
                del self._engines[spec]
            raise

    async def _load(self, spec: EngineSpec) -> Engine:
        stop = threading.Event()
        try:
            reason = await on_thread(lambda: self._trials.failure(spec, stop))
        finally:
            stop.set()
        if reason:
            raise _unusable(Path(spec.path), reason)
        try:
            return await on_thread(lambda: Engine(spec, verbose=self._config.verbose))
        except (RuntimeError, ValueError, OSError) as error:
            raise _unusable(Path(spec.path), str(error)) from error


def _unusable(path: Path, reason: str) -> ModelFailed:
    return ModelFailed(
        f"{path} cannot be used as a model: {reason}",
        error_category=ErrorCategory.VALIDATION,
        is_retryable=False,
        hint="it must be a complete GGUF file of an architecture that llama.cpp knows",
    )
