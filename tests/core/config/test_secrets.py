"""What is a secret by its name or its form, and what of it is ever shown."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from loom_core.config import load_config
from loom_core.config.secrets import MASK, is_secret, masked, masked_at, redacted, secrets_in, without_secrets
from loom_core.errors import ConfigError


@pytest.mark.parametrize(
    "name",
    [
        "key", "api_key", "apiKey", "APIKey", "API_KEY", "apikey", "x-api-key", "key2", "authtoken", "access_token",
        "token", "client_secret", "secrets", "password", "sslpassword", "db_pass", "passphrase", "pwd", "PWD", "auth",
        "oauth", "proxy_auth", "Authorization", "cookie", "session-cookie", "cookies", "bearer", "dsn", "sentryDSN",
        "credential", "credentials", "private", "private_pem", "jwt", "tokens", "api_keys", "accessTokens",
    ],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name, "value")
    assert masked(name, "value") == MASK


@pytest.mark.parametrize(
    "name",
    [
        "keys", "keyboard", "keyword", "author", "authors", "tokenizer", "passage", "compass_id", "db", "model",
        "secretary", "dsnx", "privately", "max_bytes",
    ],
)  # fmt: skip
def test_names_that_only_look_like_it(name: str) -> None:
    assert not is_secret(name, "value")


@pytest.mark.parametrize(("name", "value"), [("max_tokens", 100), ("output_tokens", "1_000"), ("max_keys", 3)])
def test_a_number_of_tokens_is_a_number(name: str, value: object) -> None:
    assert masked(name, value) == value
    assert masked(name, "sk-1") == MASK


def test_a_truth_value_is_no_secret_and_an_empty_one_is_seen_to_be_empty() -> None:
    assert masked("use_auth", True) is True
    assert masked("token", "") == ""
    assert masked("token", None) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://loom:hunter2@db/runs", "postgresql://********@db/runs"),
        ("postgresql://loom:p@ss@w@db:5432/runs", "postgresql://********@db:5432/runs"),
        ("postgresql://loom:hunter 2@db/runs", "postgresql://********@db/runs"),
        ("postgresql://loom:hun/ter2@db/runs", "postgresql://********@db/runs"),
        ("postgresql://loom:hun?ter#2@db/runs", "postgresql://********@db/runs"),
        ("https://ghp_bare@github.com/x", "https://********@github.com/x"),
        ("https://:only@h", "https://********@h"),
        ("https://h/x?api_key=k1&a=b", "https://h/x?api_key=********&a=b"),
        ("https://h/x?a=b&X-Amz-Signature=k1", "https://h/x?a=b&X-Amz-Signature=********"),
        ("https://h/x?sig=k1", "https://h/x?sig=********"),
        ("https://h/x#access_token=k1&x=1", "https://h/x#access_token=********&x=1"),
        ("https://h/x?max_tokens=5", "https://h/x?max_tokens=5"),
        ("https://h:8080/@someone/post", "https://h:8080/@someone/post"),
        ("https://[::1]/@someone", "https://[::1]/@someone"),
        ("http://localhost:11434", "http://localhost:11434"),
        ("runs@home.sqlite", "runs@home.sqlite"),
        ("see https://u:p@h/x, please", "see https://********@h/x, please"),
        ("host=db password=hunter2", "host=db password=********"),
        ("Bearer hunter2", "Bearer ********"),
    ],
)
def test_secrets_in_urls(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
    assert masked("url", [url]) == [shown]
    assert "hunter2" not in str(masked("servers", {"a": [{"url": url}]}))


def test_everything_in_a_table_with_a_secret_name_is_one() -> None:
    assert masked_at(("headers", "Authorization"), "x") == MASK
    assert masked_at(("credentials", "value"), "x") == MASK
    assert masked("auth", {"user": "u", "more": ["a"]}) == {"user": MASK, "more": MASK}


def test_a_fault_loses_its_secrets_but_not_its_place() -> None:
    secrets = list(secrets_in(("api_key",), "file"))
    assert redacted("plugins.x (file /c): bad file", secrets) == f"plugins.x (file /c): bad {MASK}"


def _refused(_self: object, _field: object, value: object) -> None:
    raise ValueError(f"cannot use {value!r}")


@attrs.frozen(kw_only=True)
class Server:
    port: int = 1
    url: str = attrs.field(default="", validator=_refused)


@attrs.frozen(kw_only=True)
class Settings:
    endpoint: int = 0
    tokens: tuple[str, ...] = ()
    api_key: str = ""
    cookie: int = 0
    server: Server | None = None
    token_file: str = ""
    url: str = ""

    def __attrs_post_init__(self) -> None:
        raise ValueError(f"{self.api_key} does not fit {self.url}")


@pytest.mark.parametrize(
    "toml",
    [
        'endpoint = "https://user:hunter2@host.example/"',
        'endpoint = "https://user:aaaaaaaaaaaaaaaaaaaaaaaaaaahunter2@host.example/"',
        'endpoint = "https://host.example/?token=hunter2"',
        'tokens = "hunter2"',
        'cookie = "hunter2"',
        'cookie = { a = "hunter2" }',
        'api_key = ["hunter2"]',
        'server = { url = "https://hunter2@h" }',
        'server = { port = "https://hunter2@h" }',
        'api_key = "hunter2"',
        'url = "https://hunter2@h"',
    ],
)
def test_no_fault_of_a_plugins_table_quotes_a_secret(tmp_path: Path, toml: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f"[plugins.x]\n{toml}\n")
    config = load_config(flags={}, environ={}, user_file=file)
    with pytest.raises(ConfigError) as raised:
        config.plugin("x", Settings)
    assert raised.value.faults and "hunter2" not in str(raised.value)
    assert "hunter2" not in str([item.shown for item in config.items()])


@pytest.mark.parametrize(
    ("field", "text"),
    [("ENDPOINT", "https://u:hunter2@h"), ("COOKIE", "hunter2"), ("SERVER", '{"url": "https://hunter2@h"}')],
)
def test_no_fault_of_a_variable_quotes_a_secret(tmp_path: Path, field: str, text: str) -> None:
    environ = {f"LOOM_PLUGINS__X__{field}": text}
    config = load_config(flags={}, environ=environ, user_file=tmp_path / "none")
    with pytest.raises(ConfigError) as raised:
        config.plugin("x", Settings)
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in str([item.shown for item in config.items()])
