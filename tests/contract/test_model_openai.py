"""The OpenAI backend keeps the contract of models, against a fake wire and against llama.cpp's own server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from loom_core.contracts.models import ModelBackend
from loom_core.testing.model_contract import ModelContract
from tests.engines.fake_openai import openai_server
from tests.engines.fake_wires import TEXT, FakeServer

pytest.importorskip("openai")

from loom_llm_openai.backend import OpenAIBackend
from loom_llm_openai.settings import Settings


class TestFakeWire(ModelContract):
    model = "good"
    expected_text = TEXT
    long_model = "endless"
    _server: FakeServer

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[ModelBackend]:
        with openai_server() as self._server:
            backend = OpenAIBackend(Settings(base_url=self._server.url))
            yield backend
            await backend.aclose()

    async def wait_until_idle(self) -> None:
        await asyncio.to_thread(self._server.wait_until_idle)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    from tests.engines.llama_server import serve
    from tests.engines.scripted_gguf import build

    with serve(build(folder / "scripted.gguf")) as url:
        yield url


class TestLlamaCpp(ModelContract):
    model = "scripted"
    expected_text = "Hi!"
    unknown_model = None  # llama.cpp's server answers under any name
    _url: str

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        pytest.importorskip("xllamacpp")
        with served(tmp_path_factory.mktemp("llama")) as cls._url:
            yield

    @asynccontextmanager
    async def backend(self) -> AsyncIterator[ModelBackend]:
        backend = OpenAIBackend(Settings(base_url=self._url))
        yield backend
        await backend.aclose()
