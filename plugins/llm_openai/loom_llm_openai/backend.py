"""The backend ``openai:``: Chat Completions, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from loom_core.contracts.models import ModelCapabilities, ModelEvent, ModelInfo, ModelRequest
from loom_core.errors import ModelFailed, ModelNotFound
from loom_llm_openai.assembler import Assembler
from loom_llm_openai.settings import Settings

if TYPE_CHECKING:
    from loom_llm_openai.wire import Wire


class OpenAIBackend:
    """Reaches one server. Belongs to the event loop that it is first used on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wire: Wire | None = None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Stream one answer; closing early hangs up, at which servers stop generating.

        An answer that the server has finished counts as whole even if the connection breaks afterwards; then only
        the usage may be missing, and is estimated.
        """
        answer = Assembler(request)
        chunks = self._open().chunks(request)
        try:
            async for chunk in chunks:
                for event in answer.feed(chunk):
                    yield event
        except ModelFailed:
            if not answer.finished:
                raise
        finally:
            await chunks.aclose()
        for event in answer.end():
            yield event

    async def capabilities(self, model: str) -> ModelCapabilities:
        """Return nothing in particular; raises ``ModelNotFound`` for a model that OpenAI itself does not list.

        Other servers are not asked: many answer under any name, whatever they list.
        """
        if self._settings.official and model not in {info.name for info in await self.models()}:
            raise ModelNotFound(f"OpenAI lists no model `{model}` for this key", hint="see: loom models list")
        return ModelCapabilities()

    async def models(self) -> Sequence[ModelInfo]:
        """Return what the server lists, by name."""
        listed = await self._open().models()
        found = listed.get("data") if isinstance(listed, Mapping) else None
        names = {item.get("id") for item in found if isinstance(item, Mapping)} if isinstance(found, list) else set()
        return tuple(ModelInfo(name=name) for name in sorted(name for name in names if isinstance(name, str) and name))

    async def aclose(self) -> None:
        """Close the connections, if there are any."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()

    def _open(self) -> Wire:
        if self._wire is None:
            from loom_llm_openai.wire import Wire  # the SDK takes half a second to import

            self._wire = Wire.open(self._settings)
        return self._wire
