"""`loom plugins`, `loom config`, and what a broken plugin may cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apps.loom.conftest import Ended
from tests.core.plugins.distributions import TOOL, Site

Loom = Callable[..., Ended]

COMMAND = """
@hookimpl
def loom_commands():
    yield CommandEntry(name="{name}", summary="Greets people.", target="{target}")
"""

GREETING = """
import click

@click.command()
@click.argument("who")
def greet(who):
    click.echo(f"hello {who}")
"""


def test_list_shows_every_plugin_with_its_status_and_what_it_offers(here: Site, loom: Loom) -> None:
    here.add("acme", TOOL.format(name="acme_tool"), version="3.1")
    here.add("broken", "raise RuntimeError('boom')")
    ended = loom("plugins", "list")
    assert ended.status == 0
    rows = {line.split()[0]: line for line in ended.stdout.splitlines()}
    assert rows["acme"].split()[1:4] == ["active", "dist-acme", "3.1"] and rows["acme"].endswith("tool: acme_tool")
    assert rows["broken"].split()[1] == "failed"
    assert "warning: broken: it does not import: RuntimeError: boom" in ended.stderr
    assert {"store_sqlite", "llm_mock", "tools_workspace", "retry_policies"} <= set(rows)


def test_list_as_json_has_every_fact(here: Site, loom: Loom) -> None:
    here.add("acme", TOOL.format(name="acme_tool"))
    ended = loom("plugins", "list", "--json", "--disable-plugin", "llm_local", "--disable-plugin", "nothing")
    document = ended.document
    assert document["schema"] == "loom.plugins.list/1"
    by_name = {plugin["name"]: plugin for plugin in document["plugins"]}
    acme = by_name["acme"]
    assert set(acme) == {
        "name", "status", "distribution", "version", "module", "offers", "hooks", "import_ms", "error", "hint",
    }  # fmt: skip
    assert acme["offers"][0]["keys"] == ["acme_tool"] and acme["hooks"] == ["loom_tools"]
    assert by_name["llm_local"]["status"] == "disabled" and by_name["llm_local"]["import_ms"] is None
    assert document["warnings"] == ["there is no plugin `nothing` to disable"]


@pytest.mark.parametrize("way", ["flag", "environment", "configuration"])
def test_a_plugin_is_disabled_by_flag_environment_and_configuration(
    here: Site, loom: Loom, home: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    here.add("acme", "raise AssertionError('imported')")
    args = []
    if way == "flag":
        args = ["--disable-plugin", "acme"]
    elif way == "environment":
        monkeypatch.setenv("LOOM_DISABLE_PLUGINS", "other, acme")
    else:
        (home / ".config/loom").mkdir(parents=True)
        (home / ".config/loom/config.toml").write_text('disable_plugins = ["acme"]')
    plugins = loom("plugins", "list", "--json", *args).document["plugins"]
    assert [plugin["status"] for plugin in plugins if plugin["name"] == "acme"] == ["disabled"]


@pytest.mark.parametrize(
    "source",
    ["raise RuntimeError", "import sys; sys.exit(1)", "print('noise')\nraise OSError", "def (", "import no_such"],
)
@pytest.mark.parametrize("args", [["--help"], ["--version"], ["plugins", "list"], ["plugins", "list", "--json"]])
def test_a_broken_plugin_never_breaks_help_version_or_list(
    here: Site, loom: Loom, source: str, args: list[str]
) -> None:
    here.add("broken", source)
    ended = loom(*args)
    assert ended.status == 0
    assert "noise" not in ended.stdout
    if "--json" in args:
        assert ended.document


def test_strict_plugins_make_a_broken_plugin_an_error(here: Site, loom: Loom, monkeypatch: pytest.MonkeyPatch) -> None:
    here.add("broken", "raise RuntimeError('boom')")
    monkeypatch.setenv("LOOM_STRICT_PLUGINS", "1")
    ended = loom("plugins", "list")
    assert ended.status == 3
    assert "plugin `broken` (dist-broken 1.0): it does not import: RuntimeError: boom" in ended.stderr


def test_help_lists_the_commands_of_plugins_without_importing_them(here: Site, loom: Loom) -> None:
    here.add("acme", COMMAND.format(name="greet", target="no_such_module:greet"))
    ended = loom("--help")
    assert ended.status == 0
    assert "greet" in ended.stdout and "Greets people." in ended.stdout


def test_a_plugins_command_runs_like_one_of_looms_own(here: Site, loom: Loom) -> None:
    (here.folder / "site_greeting.py").write_text(GREETING)
    here.modules.append("site_greeting")
    here.add("acme", COMMAND.format(name="greet", target="site_greeting:greet"))
    assert loom("greet", "world") == Ended(0, "hello world\n", "")


def test_a_plugins_command_that_does_not_import_names_the_plugin(here: Site, loom: Loom) -> None:
    here.add("acme", COMMAND.format(name="greet", target="no_such_module:greet"))
    ended = loom("greet", "world")
    assert ended.status == 3
    assert ended.stderr.startswith(
        "error: the command `greet` of plugin `acme` (dist-acme 1.0) does not load: ModuleNotFoundError"
    )


def test_a_command_of_looms_own_cannot_be_replaced_and_the_list_says_so(here: Site, loom: Loom) -> None:
    here.add("acme", COMMAND.format(name="plugins", target="no_such_module:x"))
    ended = loom("plugins", "list")
    assert ended.status == 0
    assert "acme: its command `plugins` cannot be reached: loom has one of its own" in ended.stderr


def test_a_broken_configuration_costs_help_only_the_commands_of_plugins(
    loom: Loom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOOM_CONFIG", str(tmp_path / "missing.toml"))
    ended = loom("--help")
    assert ended.status == 0 and "plugins" in ended.stdout
    assert "there is no such file" in ended.stderr
    assert loom("--version").status == 0
    assert loom("plugins", "list").status == 2


def test_show_has_settings_with_their_origins_and_faults(loom: Loom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_PLUGINS__RETRY_POLICIES__MAX_ATTEMPTS", "0")
    monkeypatch.setenv("LOOM_PLUGINS__LLM_OPENAI__API_KEY", "sk-secret")
    plugin = loom("plugins", "show", "retry_policies", "--json").document["plugin"]
    settings = {setting["path"]: (setting["value"], setting["origin"]) for setting in plugin["settings"]}
    assert settings["plugins.retry_policies.max_attempts"] == (
        "0",
        "environment LOOM_PLUGINS__RETRY_POLICIES__MAX_ATTEMPTS",
    )
    assert settings["plugins.retry_policies.factor"] == (2.0, "default")
    assert "must be >= 1" in plugin["faults"][0]
    ended = loom("plugins", "show", "llm_openai")
    assert "sk-secret" not in ended.stdout + ended.stderr and "********" in ended.stdout


def test_show_of_an_unknown_plugin_says_what_was_probably_meant(loom: Loom) -> None:
    ended = loom("plugins", "show", "retry_polices")
    assert (ended.status, ended.stdout) == (2, "")
    assert "hint: did you mean `retry_policies`?" in ended.stderr


def test_config_show_names_the_winner_and_masks_secrets(
    loom: Loom, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".config/loom").mkdir(parents=True)
    file = home / ".config/loom/config.toml"
    file.write_text('db = "user.sqlite"\nmodel = "mock:default"\n[plugins.llm_openai]\napi_key = "sk-1"\n')
    monkeypatch.setenv("LOOM_DB", "env.sqlite")
    document = loom("config", "show", "--origin", "--json", "--model", "local:smollm2").document
    settings = {setting["path"]: (setting["value"], setting["origin"]) for setting in document["settings"]}
    assert settings["db"] == ("env.sqlite", "environment LOOM_DB")
    assert settings["model"] == ("local:smollm2", "flag --model")
    assert settings["disable_plugins"] == ([], "default")
    assert settings["plugins.llm_openai.api_key"] == ("********", f"file {file}")
    human = loom("config", "show")
    assert human.stdout.splitlines() == [
        "db                          env.sqlite",
        "model                       mock:default",
        "plugins.llm_openai.api_key  ********",
    ]


def test_config_show_reports_the_faults_of_every_plugin_at_once(loom: Loom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_PLUGINS__RETRY_POLICIES__MAX_ATEMPTS", "3")
    monkeypatch.setenv("LOOM_PLUGINS__LLM_OLLAMA__NUM_CTX", "many")
    ended = loom("config", "show", "--json")
    assert ended.status == 2
    faults = ended.document["error"]["faults"]
    assert len(faults) == 2
    assert "did you mean `max_attempts`?" in faults[1] and "must be a whole number" in faults[0]


def test_configuring_what_is_not_installed_is_a_warning(loom: Loom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_PLUGINS__LLM_OPNAI__X", "1")
    ended = loom("config", "show")
    assert ended.status == 0
    assert "no such plugin is installed; did you mean `llm_openai`?" in ended.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["plugins", "list"], ["plugins", "show"], ["plugins", "check"], ["config", "show"], ["tools", "list"],
        ["tools", "show"], ["tools", "call"], ["models", "list"], ["models", "test"], ["models", "pull"],
    ],
)  # fmt: skip
def test_help_of_every_command_fits_a_screen_and_has_examples(loom: Loom, args: list[str]) -> None:
    ended = loom(*args, "--help")
    assert ended.status == 0
    lines = ended.stdout.splitlines()
    assert len(lines) <= 30, len(lines)
    assert max(map(len, lines)) <= 100
    assert sum(line.strip().startswith("loom ") for line in lines) == 2
    assert "[env: LOOM_CONFIG]" in ended.stdout and "--json" in ended.stdout
