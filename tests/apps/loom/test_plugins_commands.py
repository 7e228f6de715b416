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
    if "--json" in args:
        noisy = "plugin `broken` (dist-broken 1.0) printed something while it was loaded: noise"
        assert ended.document["warnings"] == ([noisy] if "noise" in source else [])
    else:
        assert "noise" not in ended.stdout


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


def test_what_a_plugin_prints_is_said_to_be_its_own_and_never_part_of_the_result(here: Site, loom: Loom) -> None:
    here.add("chatty", "print('at', 'import')\n@hookimpl\ndef loom_tools():\n    print('in a hook')\n    return []\n")
    ended = loom("tools", "list", "--json")
    assert ended.document["tools"]
    assert ended.stderr.count("warning:") == 1
    said = "warning: plugin `chatty` (dist-chatty 1.0) printed something while it was loaded: at import in a hook"
    assert said in ended.stderr


def test_a_plugin_that_keeps_standard_output_later_writes_to_standard_error(here: Site, loom: Loom) -> None:
    source = "import sys\nkept = sys.stdout\n" + TOOL.format(name="late").replace(
        "factory=lambda context: None", "factory=lambda context: kept.write('late words') and None"
    )
    here.add("keeper", source)
    ended = loom("tools", "list", "--json")
    assert ended.document and "late words" in ended.stderr


def test_a_failed_plugin_is_named_once_where_it_takes_something_away(here: Site, loom: Loom) -> None:
    here.add("broken", "raise RuntimeError('boom')")
    ended = loom("tools", "list")
    assert ended.status == 0
    message = "warning: plugin `broken` (dist-broken 1.0) is not used: it does not import: RuntimeError: boom"
    assert ended.stderr.count(message) == 1 and "--disable-plugin broken" in ended.stderr
    assert "broken" not in loom("--help").stderr
    assert "broken" not in loom("tools", "list", "--disable-plugin", "broken").stderr


def test_two_plugins_of_one_name_are_one_warning_with_both_ways_out(
    here: Site, loom: Loom, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.add("twin", "", distribution="acme-twin")
    here.add("twin", "", distribution="zeta-twin")
    sentence = "acme-twin 1.0 and zeta-twin 1.0 both have a plugin named `twin`; neither is loaded"
    ways_out = "disable one: --disable-plugin twin@acme-twin or --disable-plugin twin@zeta-twin"
    listed = loom("plugins", "list")
    assert (listed.stderr.count(sentence), listed.stderr.count(ways_out)) == (1, 1)
    for name in ("twin@acme-twin", "twin@zeta-twin"):
        assert sentence not in loom("plugins", "list", "--disable-plugin", name).stderr
    monkeypatch.setenv("LOOM_STRICT_PLUGINS", "1")
    strict = loom("plugins", "list")
    assert strict.status == 3 and (strict.stderr.count(sentence), strict.stderr.count(ways_out)) == (1, 1)


def test_check_of_a_file_names_it_in_one_pair_of_parentheses(loom: Loom, tmp_path: Path) -> None:
    file = tmp_path / "raises.py"
    file.write_text("raise RuntimeError('no')")
    ended = loom("plugins", "check", str(file))
    assert ended.status == 1
    assert ended.stdout.splitlines()[0] == f"raises (from {file})"


def test_a_name_that_resembles_nothing_is_no_suggestion(loom: Loom) -> None:
    ended = loom("models", "test", "nope:x")
    assert ended.status == 2 and "did you mean" not in ended.stderr
    assert "did you mean `openai`?" in loom("models", "test", "opnai:x").stderr


def test_faults_of_the_core_and_of_plugin_tables_are_reported_together(
    loom: Loom, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".config/loom").mkdir(parents=True)
    (home / ".config/loom/config.toml").write_text("db = 3\n[plugins.retry_policies]\nmax_atempts = 1\n")
    monkeypatch.setenv("LOOM_MODLE", "x")
    monkeypatch.setenv("LOOM_PLUGINS__LLM_OLLAMA__NUM_CTX", "many")
    for args in (["config", "show"], ["tools", "list"], ["models", "list"]):
        ended = loom(*args, "--json")
        assert ended.status == 2
        faults = ended.document["error"]["faults"]
        assert [fault.split(" ")[0] for fault in sorted(faults)] == [
            "db", "environment", "plugins.llm_ollama.num_ctx", "plugins.retry_policies.max_atempts",
        ]  # fmt: skip
        assert "docs/" not in ended.document["error"]["hint"]


def test_no_value_of_a_plugin_that_is_not_installed_is_shown(loom: Loom, home: Path) -> None:
    (home / ".config/loom").mkdir(parents=True)
    (home / ".config/loom/config.toml").write_text('[plugins.gone]\nphrase = "open sesame"\nlist = ["hush"]\n')
    for args in (["config", "show"], ["config", "show", "--origin"], ["config", "show", "--json"]):
        ended = loom(*args)
        assert ended.status == 0
        assert "plugins.gone.phrase" in ended.stdout and "********" in ended.stdout
        assert "sesame" not in ended.stdout + ended.stderr and "hush" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("content", [None, b"\xff", b"db = "])
def test_a_configuration_file_that_cannot_be_used_is_told_with_what_to_do(
    loom: Loom, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "c.toml"
    if content is not None:
        file.write_bytes(content)
    ended = loom("config", "show", "--config", str(file))
    assert ended.status == 2
    assert ("leave them out" if content is None else f"loom config show --config {file}") in ended.stderr
    assert "docs/" not in ended.stderr
