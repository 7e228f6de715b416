"""Who says what, who wins, and what is said of everything that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loom_core.config import Config, cache_dir, load_config, user_config_file
from loom_core.errors import ConfigError


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return tmp_path / "user.toml"


def load(user: Path, environ: dict[str, str] | None = None, **options: Any) -> Config:
    options.setdefault("flags", {})
    return load_config(environ=environ or {}, user_file=user, **options)


def faults(user: Path, environ: dict[str, str] | None = None, **options: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        load(user, environ, **options)
    assert raised.value.exit_status == 2
    return raised.value.faults


def origins(config: Config) -> dict[str, tuple[object, str]]:
    return {item.path: (item.value, item.origin) for item in config.items()}


def test_without_anything_everything_is_unset(user: Path) -> None:
    config = load(user)
    assert (config.db, config.model, config.disable_plugins, config.items()) == (None, None, (), ())


def test_a_flag_wins_over_the_environment_that_over_the_named_file_that_over_the_users_file(
    user: Path, tmp_path: Path
) -> None:
    named = tmp_path / "named.toml"
    user.write_text('db = "user"\nmodel = "user"\ndisable_plugins = ["user"]\n[plugins.x]\na = "user"\nb = "user"\n')
    named.write_text('model = "named"\ndb = "named"\n[plugins.x]\na = "named"\n')
    environ = {"LOOM_DB": "env", "LOOM_PLUGINS__X__A": "env"}
    config = load(user, environ, config_file=named, flags={"db": "flag", "model": None})
    assert origins(config) == {
        "db": ("flag", "flag --db"),
        "model": ("named", f"file {named}"),
        "disable_plugins": (["user"], f"file {user}"),
        "plugins.x.a": ("env", "environment LOOM_PLUGINS__X__A"),
        "plugins.x.b": ("user", f"file {user}"),
    }


def test_a_list_is_replaced_never_added_to(user: Path) -> None:
    user.write_text('disable_plugins = ["a", "b"]')
    assert load(user).disable_plugins == ("a", "b")
    assert load(user, {"LOOM_DISABLE_PLUGINS": "c, d,"}).disable_plugins == ("c", "d")
    assert load(user, {"LOOM_DISABLE_PLUGINS": ""}).disable_plugins == ()
    assert load(user, {"LOOM_DISABLE_PLUGINS": "c"}, flags={"disable_plugins": ("e",)}).disable_plugins == ("e",)


def test_an_empty_variable_is_an_unset_one(user: Path) -> None:
    user.write_text('db = "user"')
    assert load(user, {"LOOM_DB": "", "LOOM_CONFIG": ""}).db == "user"


def test_loom_config_names_a_file_and_the_flag_wins_over_it(user: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text('db = "one"')
    two.write_text('db = "two"')
    assert load(user, {"LOOM_CONFIG": str(one)}).db == "one"
    assert load(user, {"LOOM_CONFIG": str(one)}, config_file=two).db == "two"


def test_a_workspaces_own_file_is_never_read_by_itself(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("loom.toml", "config.toml", ".loom.toml", "loom/config.toml", ".config/loom/config.toml"):
        file = tmp_path / "workspace" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('db = "evil"')
    monkeypatch.chdir(tmp_path / "workspace")
    assert load_config(flags={}, environ={"HOME": str(tmp_path / "home")}).db is None


@pytest.mark.parametrize("text", ["1", "true", "YES", " on "])
def test_strict_plugins_comes_from_the_environment(user: Path, text: str) -> None:
    assert load(user, {"LOOM_STRICT_PLUGINS": text}).strict_plugins
    assert not load(user, {"LOOM_STRICT_PLUGINS": "0"}).strict_plugins


def test_every_fault_of_every_source_is_reported_at_once_with_path_and_origin(user: Path, tmp_path: Path) -> None:
    named = tmp_path / "named.toml"
    named.write_text('modell = "x"\ndb = 3\n[plugins]\nx = 1\n')
    user.write_text('disable_plugins = "a"\nmodel = ""\n[colours]\nred = 1\n')
    found = faults(user, {"LOOM_PLUGINS__X": "1", "LOOM_PLUGINS__X__": "1"}, config_file=named)
    assert sorted(found) == sorted(
        [
            "environment LOOM_PLUGINS__X: is no setting; write LOOM_PLUGINS__NAME__FIELD",
            "environment LOOM_PLUGINS__X__: is no setting; write LOOM_PLUGINS__NAME__FIELD",
            f"modell (file {named}): is unknown; did you mean `model`?",
            f"plugins.x (file {named}): must be a table: write [plugins.x]",
            f"colours (file {user}): is unknown; settings there are: db, model, prices, disable_plugins, plugins",
            f"db (file {named}): must be a text that is not empty",
            f"model (file {user}): must be a text that is not empty",
            f"disable_plugins (file {user}): must be a list of names",
        ]
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"db = ", "is not TOML"),
        (b"db = 'a'\ndb = 'b'", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8 text (byte 0)"),
        (b"plugins = 3", "must be a table: write [plugins.NAME]"),
        (b"db.x = 3", "must be a text that is not empty"),
        (b"disable_plugins = [1]", "must be a list of names"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_clear_fault(user: Path, content: bytes, reason: str) -> None:
    user.write_bytes(content)
    (fault,) = faults(user)
    assert reason in fault and str(user) in fault


def test_a_named_file_must_exist_and_be_a_file(user: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert faults(user, config_file=missing) == (f"file {missing}: there is no such file",)
    assert faults(user, {"LOOM_CONFIG": str(tmp_path)}) == (f"file {tmp_path}: is a folder, not a file",)


def test_secrets_are_masked_where_values_are_shown_and_whole_where_they_are_used(user: Path) -> None:
    user.write_text(
        """
        db = "postgresql://loom:hunter2@db.example/runs"
        [plugins.x]
        api_key = "sk-1"
        Auth-Token = "t"
        max_tokens = 100
        key_numbers = [1, 2]
        password = 1234
        empty_secret = ""
        servers = [{ name = "a", client_secret = "s" }]
        """
    )
    shown = {item.path: item.shown for item in load(user, {"LOOM_PLUGINS__X__OUTPUT_TOKENS": "1_000"}).items()}
    assert shown == {
        "db": "postgresql://********@db.example/runs",
        "plugins.x.Auth-Token": "********",
        "plugins.x.api_key": "********",
        "plugins.x.empty_secret": "",
        "plugins.x.key_numbers": "********",
        "plugins.x.max_tokens": 100,
        "plugins.x.output_tokens": "1_000",
        "plugins.x.password": "********",
        "plugins.x.servers": [{"name": "a", "client_secret": "********"}],
    }
    assert load(user).db == "postgresql://loom:hunter2@db.example/runs"


def test_configuring_a_plugin_that_is_not_installed_is_named(user: Path) -> None:
    user.write_text("[plugins.llm_opnai]\nx = 1\ny = 2\n[plugins.llm-local]\nz = 1")
    assert load(user).unknown_plugins(["llm_openai", "llm_local"]) == (
        f"plugins.llm_opnai (file {user}): no such plugin is installed; did you mean `llm_openai`?",
    )


def test_the_folders_are_those_of_xdg_and_a_relative_one_is_ignored() -> None:
    home = {"HOME": "/home/u"}
    assert user_config_file(home) == Path("/home/u/.config/loom/config.toml")
    assert user_config_file({**home, "XDG_CONFIG_HOME": "/c"}) == Path("/c/loom/config.toml")
    assert user_config_file({**home, "XDG_CONFIG_HOME": "c"}) == Path("/home/u/.config/loom/config.toml")
    assert cache_dir({**home, "XDG_CACHE_HOME": "/k"}) == Path("/k/loom")
    assert cache_dir(home) == Path("/home/u/.cache/loom")


def test_loading_a_configuration_imports_neither_cattrs_nor_asyncio(user: Path) -> None:
    user.write_text('db = "x"\n[plugins.a]\nb = 1')
    code = (
        "import sys; from pathlib import Path; from loom_core.config import load_config; "
        f"load_config(flags={{}}, environ={{}}, user_file=Path({str(user)!r})).items(); "
        "print(sorted({'cattrs', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True
    )
    assert done.stdout.strip() == "[]"
