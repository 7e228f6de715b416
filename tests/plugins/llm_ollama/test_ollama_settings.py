"""How the Ollama backend finds its server."""

import subprocess
import sys
from pathlib import Path

import pytest
from loom_llm_ollama.plugin import OllamaConfig, loom_models
from loom_llm_ollama.settings import server_url, settings_from

from loom_core.errors import ConfigError
from loom_core.hookspecs import PluginContext


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:11434"),
        ("[::]:9", "http://[::1]:9"),
        ("::1", "http://[::1]:11434"),
        ("localhost", "http://localhost:11434"),
        (":5", "http://127.0.0.1:5"),
        ("gpu.lan:80", "http://gpu.lan:80"),
        (' "gpu.lan" ', "http://gpu.lan:11434"),
        ("http://gpu.lan", "http://gpu.lan:80"),
        ("https://gpu.lan", "https://gpu.lan:443"),
        ("https://gpu.lan:1/ollama/", "https://gpu.lan:1/ollama"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434"),
    ],
)
def test_a_host_may_lack_scheme_name_or_port_and_may_be_the_servers_own_form(host: str, url: str) -> None:
    assert server_url(host) == url


@pytest.mark.parametrize("host", ["ftp://x", "x:port", "x:0", "x:65536", "a b", "user@x", "x?y", "x:1:2"])
def test_a_host_that_is_none_is_a_configuration_error_that_says_where_it_came_from(host: str) -> None:
    with pytest.raises(ConfigError, match="OLLAMA_HOST"):
        settings_from(OllamaConfig(), {"OLLAMA_HOST": host})
    with pytest.raises(ConfigError, match=r"plugins\.llm_ollama\.base_url"):
        settings_from(OllamaConfig(base_url=host), {})


def test_configuration_wins_over_the_environment() -> None:
    environ = {"OLLAMA_HOST": "there", "OLLAMA_API_KEY": "env-key"}
    settings = settings_from(OllamaConfig(base_url="here", api_key="key"), environ)
    assert (settings.url, settings.api_key) == ("http://here:11434", "key")
    assert settings_from(OllamaConfig(), environ).api_key == "env-key"


def test_a_key_that_no_header_can_carry_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        settings_from(OllamaConfig(api_key="geheim\u2026"), {})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"num_ctx": 0}, {"thinking": "maybe"}])
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OllamaConfig(**wrong)  # type: ignore[arg-type]


def test_neither_the_plugin_nor_its_backend_imports_the_client_before_it_is_used(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from loom_core.hookspecs import PluginContext
from loom_llm_ollama import plugin
before = set(sys.modules)
plugin.open_backend(PluginContext(cache_dir=Path("."), environ={}))
print("httpx2" in sys.modules, "asyncio" in before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["False", "False"]


def test_the_entry_names_what_it_needs_and_the_extra_that_installs_it() -> None:
    (entry,) = loom_models()
    assert (entry.prefix, entry.requires, entry.extra) == ("ollama", ("httpx2",), "ollama")
    assert entry.factory(PluginContext(cache_dir=Path(), environ={})) is not None
