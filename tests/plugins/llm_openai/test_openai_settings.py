"""Where the OpenAI backend connects to, with which credentials, and what it makes of single pieces."""

import json
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loom_llm_openai.body import fits_strict_mode
from loom_llm_openai.calls import CallDrafts
from loom_llm_openai.failures import retry_after
from loom_llm_openai.plugin import OpenAIConfig, loom_models
from loom_llm_openai.settings import settings_from

from loom_core.contracts.models import ModelRequest
from loom_core.errors import ConfigError
from loom_core.hookspecs import PluginContext

REQUEST = ModelRequest(model="m", messages=())


def test_configuration_wins_over_the_environment_and_the_environment_over_openais_own_address() -> None:
    assert settings_from(OpenAIConfig(), {}).base_url == "https://api.openai.com/v1"
    environ = {"OPENAI_BASE_URL": "http://there:1/v1", "OPENAI_API_KEY": "env-key"}
    assert settings_from(OpenAIConfig(), environ).base_url == "http://there:1/v1"
    assert settings_from(OpenAIConfig(), environ).api_key == "env-key"
    configured = settings_from(OpenAIConfig(base_url="http://here:1/v1", api_key="key"), environ)
    assert (configured.base_url, configured.api_key) == ("http://here:1/v1", "key")


def test_an_empty_key_is_no_key_and_blanks_around_one_do_not_count() -> None:
    assert settings_from(OpenAIConfig(), {"OPENAI_API_KEY": " "}).api_key is None
    assert settings_from(OpenAIConfig(), {"OPENAI_API_KEY": "key\n"}).api_key == "key"


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x/v1", "http://", "http://x:99999/v1", "http://a b/v1"])
def test_a_base_url_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.llm_openai\.base_url"):
        settings_from(OpenAIConfig(base_url=url), {})


def test_a_key_that_no_header_can_carry_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        settings_from(OpenAIConfig(api_key="sk-geheim\u2026\nx"), {})
    assert "geheim" not in str(caught.value)


def test_the_shown_url_has_no_credentials() -> None:
    shown = settings_from(OpenAIConfig(base_url="http://me:secret@host:1/v1?k=secret"), {}).shown_url
    assert shown == "http://host:1/v1"


def test_neither_the_plugin_nor_its_backend_imports_the_sdk_before_it_is_used(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from loom_core.hookspecs import PluginContext
from loom_llm_openai import plugin
before = set(sys.modules)
plugin.open_backend(PluginContext(cache_dir=Path("."), environ={}))
print("openai" in sys.modules, "asyncio" in before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["False", "False"]


def test_the_entry_names_what_it_needs_and_the_extra_that_installs_it() -> None:
    (entry,) = loom_models()
    assert (entry.prefix, entry.requires, entry.extra) == ("openai", ("openai",), "openai")
    assert entry.factory(PluginContext(cache_dir=Path(), environ={})) is not None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": formatdate(1000.0, usegmt=True)}, 10.0),
        ({"retry-after": formatdate(5.0, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_milliseconds_or_a_date_and_anything_else_is_nothing(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, now=990.0) == seconds


CLOSED: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({"type": "object", "properties": {}}, False),
        ({**CLOSED, "properties": {"a": {"type": "string"}}}, False),
        ({**CLOSED, "properties": {"a": CLOSED}, "required": ["a"]}, True),
        ({**CLOSED, "properties": {"a": {"type": "object"}}, "required": ["a"]}, False),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [CLOSED, {"type": "null"}]}, True),
        ({"oneOf": [CLOSED]}, False),
        ({**CLOSED, "$defs": {"x": {"type": "object"}}}, False),
        ({"enum": [{"type": "object"}]}, True),
    ],
)
def test_strict_is_said_only_of_schemas_that_strict_mode_takes(schema: dict[str, Any], strict: bool) -> None:
    assert fits_strict_mode(schema) is strict


@given(
    arguments=st.lists(st.dictionaries(st.text(), st.integers() | st.text()), min_size=1, max_size=4),
    data=st.data(),
)
def test_however_the_text_of_calls_is_cut_and_interleaved_they_come_back_whole(
    arguments: list[dict[str, object]], data: st.DataObject
) -> None:
    queues: list[list[dict[str, object]]] = []
    for index, value in enumerate(arguments):
        text = json.dumps(value)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
        parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        begin = {"index": index, "id": f"id{index}", "function": {"name": f"tool{index}", "arguments": ""}}
        queues.append([begin, *({"index": index, "function": {"arguments": part}} for part in parts)])
    drafts = CallDrafts()
    for queue in queues:
        drafts.add(queue.pop(0))
    while any(queues):
        drafts.add(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    made = drafts.calls(REQUEST)
    assert [call.id for call in made] == [f"id{index}" for index in range(len(arguments))]
    assert [json.loads(call.arguments) for call in made] == arguments


@pytest.mark.parametrize("piece", [{}, {"function": None}, {"index": "0", "function": {"arguments": []}}, {"id": 7}])
def test_a_piece_that_makes_no_sense_is_not_a_crash(piece: dict[str, object]) -> None:
    drafts = CallDrafts()
    drafts.add(piece)
    assert len(drafts.calls(REQUEST)) == 1
