"""The plugin's entry point: the model backend ``mock:``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from loom_core.hookspecs import ModelEntry, PluginContext, hookimpl

if TYPE_CHECKING:
    from loom_core.contracts.models import ModelBackend


@attrs.frozen(kw_only=True)
class MockConfig:
    """``script`` is a JSON file of rules that answer instead of the built-in ones (``docs/models.md``)."""

    script: str | None = None


@hookimpl
def loom_models() -> Iterable[ModelEntry]:
    """Offer ``mock:default``."""
    yield ModelEntry(
        name="mock",
        prefix="mock",
        summary="deterministic answers without a model, for tests and dry runs",
        config=MockConfig,
        factory=open_backend,
    )


def open_backend(context: PluginContext) -> ModelBackend:
    """Return the backend; raises ``ConfigError`` with every fault of the script, if one is configured."""
    from pathlib import Path

    from loom_llm_mock.backend import MockBackend
    from loom_llm_mock.script import load_script

    config = context.config or MockConfig()
    return MockBackend(load_script(Path(config.script).expanduser()) if config.script else None)
