"""The backend ``ollama:``: ``/api/chat``, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from loom_core.contracts.models import ModelCapabilities, ModelEvent, ModelInfo, ModelRequest
from loom_core.errors import ModelFailed, ModelNotFound
from loom_llm_ollama.assembler import Assembler
from loom_llm_ollama.settings import Settings

if TYPE_CHECKING:
    from loom_llm_ollama.wire import Wire


class OllamaBackend:
    """Reaches one Ollama server. Belongs to the event loop that it is first used on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wire: Wire | None = None

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Stream one answer; closing early hangs up, at which Ollama stops generating.

        An answer that the server has finished counts as whole even if the connection breaks afterwards.
        """
        answer = Assembler(request)
        lines = self._open().lines(request)
        try:
            async for line in lines:
                for event in answer.feed(line):
                    yield event
        except ModelFailed:
            if not answer.finished:
                raise
        finally:
            await lines.aclose()
        for event in answer.end():
            yield event

    async def capabilities(self, model: str) -> ModelCapabilities:
        """Return the context that requests ask for; raises ``ModelNotFound`` for a model that is not pulled."""
        names = {info.name for info in await self.models()}
        if model not in names and f"{model}:latest" not in names:
            raise ModelNotFound(
                f"Ollama at {self._settings.url} has no model `{model}`", hint=f"fetch it: ollama pull {model}"
            )
        return ModelCapabilities(context_tokens=self._settings.num_ctx)

    async def models(self) -> Sequence[ModelInfo]:
        """Return the models that have been pulled, by name; ``:latest`` may be left out when asking."""
        listed = await self._open().models()
        found = listed.get("models") if isinstance(listed, Mapping) else None
        made = [_info(item) for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
        return tuple(sorted((info for info in made if info.name), key=lambda info: info.name))

    async def aclose(self) -> None:
        """Close the connections, if there are any."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()

    def _open(self) -> Wire:
        if self._wire is None:
            from loom_llm_ollama.wire import Wire  # imports the HTTP client

            self._wire = Wire.open(self._settings)
        return self._wire


def _info(item: Mapping[str, object]) -> ModelInfo:
    name, size, details = item.get("name") or item.get("model"), item.get("size"), item.get("details")
    facts = [details.get("parameter_size"), details.get("quantization_level")] if isinstance(details, Mapping) else []
    return ModelInfo(
        name=name if isinstance(name, str) else "",
        summary=" ".join(fact for fact in facts if isinstance(fact, str)),
        size_bytes=size if isinstance(size, int) else None,
    )
