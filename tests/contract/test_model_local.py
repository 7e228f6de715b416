"""The embedded model keeps the contract of models, over the scripted weights."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loom_core.contracts.models import ModelBackend
from loom_core.testing.model_contract import ModelContract
from tests.engines.scripted_gguf import build

pytest.importorskip("xllamacpp")

from loom_llm_local.backend import LocalBackend
from loom_llm_local.config import LocalConfig

RAMBLES = """{% if add_generation_prompt %}{{ '"' }}{% endif %}"""  # the table goes from `"` to `a` and back for ever


class TestLocal(ModelContract):
    expected_text = "Hi!"
    _folder: Path

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def weights(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls._folder = tmp_path_factory.mktemp("models")
        build(cls._folder / "default.gguf")
        cls.long_model = str(build(cls._folder / "long.gguf", template=RAMBLES))

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[ModelBackend]:
        config = LocalConfig(n_threads=1, n_ctx=2048, models_dir=self._folder)
        backend = LocalBackend(config, cache_dir=self._folder)
        yield backend
        await backend.aclose()
