"""The Ollama backend keeps the contract of models, against a fake wire and against a real engine behind a facade."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from loom_core.contracts.models import ModelBackend
from loom_core.testing.model_contract import ModelContract
from tests.engines.fake_ollama import ollama_server
from tests.engines.fake_wires import TEXT, FakeServer

pytest.importorskip("httpx2")

from loom_llm_ollama.backend import OllamaBackend
from loom_llm_ollama.plugin import OllamaConfig
from loom_llm_ollama.settings import settings_from


def backend_at(url: str) -> OllamaBackend:
    return OllamaBackend(settings_from(OllamaConfig(), {"OLLAMA_HOST": url}))


class TestFakeWire(ModelContract):
    model = "good"
    expected_text = TEXT
    long_model = "endless"
    _server: FakeServer

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[ModelBackend]:
        with ollama_server() as self._server:
            backend = backend_at(self._server.url)
            yield backend
            await backend.aclose()

    async def wait_until_idle(self) -> None:
        await asyncio.to_thread(self._server.wait_until_idle)


class TestRealEngine(ModelContract):
    model = "scripted"
    expected_text = "Hi!"
    _url: str

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        pytest.importorskip("xllamacpp")
        from tests.engines.ollama_facade import serve
        from tests.engines.scripted_gguf import build

        with serve(build(tmp_path_factory.mktemp("ollama") / "scripted.gguf")) as cls._url:
            yield

    def backend(self) -> ModelBackend:
        return backend_at(self._url)
