"""The plugin's entry point: the model backend ``ollama:``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from loom_core.hookspecs import ModelEntry, PluginContext, hookimpl

if TYPE_CHECKING:
    from loom_core.contracts.models import ModelBackend

THINKING = ("default", "on", "off", "low", "medium", "high", "max")


@attrs.frozen(kw_only=True)
class OllamaConfig:
    """How Ollama is asked.

    ``base_url`` is in ``OLLAMA_HOST``'s form and comes from there if left out. ``num_ctx`` is the context in tokens
    that the model is loaded with; Ollama's own default is smaller than an agent's conversation. ``thinking``
    ``default`` leaves it to the model. ``keep_alive`` says how long the model stays loaded (``5m``, ``-1`` for ever).
    """

    base_url: str | None = None
    api_key: str | None = attrs.field(default=None, repr=False)
    num_ctx: int = attrs.field(default=8192, validator=attrs.validators.ge(256))
    thinking: str = attrs.field(default="default", validator=attrs.validators.in_(THINKING))
    keep_alive: str | None = None


@hookimpl
def loom_models() -> Iterable[ModelEntry]:
    """Offer ``ollama:MODEL``."""
    yield ModelEntry(
        name="ollama",
        prefix="ollama",
        summary="models of an Ollama server",
        config=OllamaConfig,
        requires=("httpx2",),
        extra="ollama",
        factory=open_backend,
    )


def open_backend(context: PluginContext) -> ModelBackend:
    """Return the backend, which connects when it is first used; raises ``ConfigError``."""
    from loom_llm_ollama.backend import OllamaBackend
    from loom_llm_ollama.settings import settings_from

    return OllamaBackend(settings_from(context.config or OllamaConfig(), context.environ))
