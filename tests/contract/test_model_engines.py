"""What only a real engine can show: limits, overflow and schemas, through the OpenAI and the Ollama backend."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("xllamacpp")

from loom_llm_ollama.backend import OllamaBackend
from loom_llm_ollama.plugin import OllamaConfig
from loom_llm_ollama.settings import settings_from
from loom_llm_openai.backend import OpenAIBackend
from loom_llm_openai.settings import Settings

from loom_core.contracts.models import Message, ModelAnswer, ModelBackend, ModelRequest
from loom_core.errors import ErrorCategory, ModelFailed
from loom_core.testing.model_contract import answer_of, collect
from tests.engines import llama_server, ollama_facade
from tests.engines.scripted_gguf import build

Open = Callable[[], ModelBackend]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("engines") / "scripted.gguf")


@pytest.fixture(scope="module", params=["openai", "ollama"])
def opened(request: pytest.FixtureRequest, gguf: Path) -> Iterator[Open]:
    if request.param == "openai":
        with llama_server.serve(gguf) as url:
            yield lambda: OpenAIBackend(Settings(base_url=url))
    else:
        with ollama_facade.serve(gguf) as url:
            yield lambda: OllamaBackend(settings_from(OllamaConfig(base_url=url), {}))


def ask(opened: Open, request: ModelRequest) -> ModelAnswer:
    async def run() -> ModelAnswer:
        backend = opened()
        try:
            return answer_of(await collect(backend, request))
        finally:
            await backend.aclose()

    return asyncio.run(run())


def request(text: str) -> ModelRequest:
    return ModelRequest(model="scripted", messages=(Message(role="user", content=text),), temperature=0.0)


def test_the_engine_counts_the_tokens(opened: Open) -> None:
    made = ask(opened, request("hello"))
    assert made.usage is not None
    assert not made.usage.estimated
    assert made.usage.input_tokens > 5
    assert made.usage.output_tokens >= 3


def test_an_answer_that_reaches_the_limit_says_so(opened: Open) -> None:
    limited = ModelRequest(model="scripted", messages=request("hello").messages, temperature=0.0, max_tokens=1)
    made = ask(opened, limited)
    assert (made.text, made.finish) == ("H", "length")


def test_a_schema_is_kept(opened: Open) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    asked = ModelRequest(
        model="scripted", messages=request("hello").messages, temperature=0.0, max_tokens=64, schema=schema
    )
    assert list(json.loads(ask(opened, asked).text)) == ["name"]


def test_a_conversation_longer_than_the_context_is_refused_and_never_silently_cut(opened: Open) -> None:
    with pytest.raises(ModelFailed, match="context") as caught:
        ask(opened, request("word " * 5000))
    assert caught.value.error_category is ErrorCategory.VALIDATION
    assert caught.value.hint
