"""The plugin's entry point: the model backend ``openai:``, for OpenAI and every server that speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from loom_core.hookspecs import ModelEntry, PluginContext, hookimpl

if TYPE_CHECKING:
    from loom_core.contracts.models import ModelBackend


@attrs.frozen(kw_only=True)
class OpenAIConfig:
    """What is left out comes from ``OPENAI_BASE_URL``, ``OPENAI_API_KEY``, ``OPENAI_ORG_ID``, ``OPENAI_PROJECT_ID``."""

    base_url: str | None = None
    api_key: str | None = attrs.field(default=None, repr=False)
    organization: str | None = None
    project: str | None = None


@hookimpl
def loom_models() -> Iterable[ModelEntry]:
    """Offer ``openai:MODEL``."""
    yield ModelEntry(
        name="openai",
        prefix="openai",
        summary="OpenAI, or any server that speaks Chat Completions (llama.cpp, vLLM, LM Studio, …)",
        config=OpenAIConfig,
        requires=("openai",),
        extra="openai",
        factory=open_backend,
    )


def open_backend(context: PluginContext) -> ModelBackend:
    """Return the backend, which connects when it is first used; raises ``ConfigError``."""
    from loom_llm_openai.backend import OpenAIBackend
    from loom_llm_openai.settings import settings_from

    return OpenAIBackend(settings_from(context.config or OpenAIConfig(), context.environ))
