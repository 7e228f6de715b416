"""Which model a conversation uses; never a guess, and never the mock unless it was asked for."""

from __future__ import annotations

from loom_core.contracts.models import ModelCapabilities
from loom_core.errors import ModelNotFound

MOCK = "mock:default"
WAYS = """no model is configured; choose one of these:
  embedded   pip install 'loom-stack[local]' && loom models pull smollm2, then --model local:smollm2
  Ollama     pip install 'loom-stack[ollama]', ollama pull qwen3, then --model ollama:qwen3
  OpenAI     pip install 'loom-stack[openai]', export OPENAI_API_KEY=…, then --model openai:NAME
             (any compatible server: set base_url of plugin llm_openai)
  dry run    --mock-llm answers with a fixed script and needs no model"""
DEFAULT_WINDOW_CHARS = 96_000
# Characters per token, on the low side, so that a window in characters stays within a context in tokens.
CHARS_PER_TOKEN = 2.5
# What of a context is kept for tool schemas, the template and the answer.
RESERVED_TOKENS = 1_400


def choose_model(*, asked: str | None, mock: bool) -> str:
    """Return the model's full name; raises ``ModelNotFound`` with the ways to get one."""
    if mock:
        return MOCK
    if asked:
        return asked
    raise ModelNotFound(WAYS, hint="LOOM_MODEL or `model` in the configuration make it the default")


def window_chars(capabilities: ModelCapabilities) -> int:
    """Return how many characters of a conversation fit into the model's context, as far as it is known."""
    if capabilities.context_tokens is None:
        return DEFAULT_WINDOW_CHARS
    return max(2_000, int((capabilities.context_tokens - RESERVED_TOKENS) * CHARS_PER_TOKEN))
