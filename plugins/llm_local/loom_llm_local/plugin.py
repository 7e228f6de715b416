"""Register the embedded model: ``local:MODEL``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from loom_core.hookspecs import ModelEntry, PluginContext, hookimpl
from loom_llm_local.config import LocalConfig

if TYPE_CHECKING:
    from loom_core.contracts.models import PullableBackend


@hookimpl
def loom_models() -> Iterable[ModelEntry]:
    """Offer the prefix ``local``."""
    yield ModelEntry(
        name="local",
        prefix="local",
        summary="llama.cpp inside this process: no server, no port, no network once the weights are there",
        config=LocalConfig,
        requires=("xllamacpp",),
        extra="local",
        factory=_backend,
    )


def _backend(context: PluginContext) -> PullableBackend:
    from loom_llm_local.backend import LocalBackend

    return LocalBackend(
        context.config or LocalConfig(), cache_dir=context.cache_dir, protected_files=context.protected_files
    )
