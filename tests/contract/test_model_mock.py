"""The mock keeps the contract of models."""

from loom_llm_mock.backend import MockBackend

from loom_core.contracts.models import ModelBackend
from loom_core.testing import ModelContract


class TestMock(ModelContract):
    expected_text = "You said: hello"
    tool_prompt = 'call add {"a": 1, "b": 2}'

    def backend(self) -> ModelBackend:
        return MockBackend()
