"""A runtime: what plugins offer, bound once, used by name, closed together."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loom_core.config import Config, load_config
from loom_core.contracts.retries import Classification, RetryPolicy
from loom_core.errors import (
    BadInput,
    ConfigError,
    ErrorCategory,
    ModelNotFound,
    PluginError,
    StoreUnusable,
    ToolNotFound,
)
from loom_core.plugins import load_registry
from loom_core.runtime.assembly import Runtime, open_store, split_location
from tests.core.plugins.distributions import HEAD, Site, site

COUNTED = (
    HEAD
    + """
import functools
asked = []
def counted(hook):
    @functools.wraps(hook)
    def call():
        asked.append(hook.__name__)
        return hook()
    return call
"""
)

PLUGIN = """
made = []

class Thing:
    def __init__(self, name, context=None, location="", mode="", fails=False):
        self.name, self.context, self.location, self.mode = name, context, location, mode
        self.fails, self.closed = fails, 0
        made.append(self)
    def protected_files(self):
        return frozenset({(1, len(self.location))})
    async def aclose(self):
        self.closed += 1
        if self.fails:
            raise OSError(f"{self.name} does not close")

@attrs.frozen
class Settings:
    fails: bool = False

@hookimpl
def loom_stores():
    yield StoreEntry(name="files", summary="", schemes=("", "sqlite", "pg"), config=Settings,
        factory=lambda location, mode, context: Thing("store", context, location, mode, context.config.fails))
@hookimpl
def loom_models():
    yield ModelEntry(name="echo", summary="", prefix="echo", config=Settings,
        factory=lambda context: Thing("echo", context, fails=context.config.fails))
@hookimpl
def loom_tools():
    yield ToolEntry(name="look", summary="", factory=lambda context: Thing("look", context))
    yield ToolEntry(name="liar", summary="", factory=lambda context: Thing("truth", context))
    yield ToolEntry(name="bomb", summary="", factory=lambda context: 1 / 0)
"""

RETRIES = """
from loom_core.contracts.retries import Classification, Retries, RetryPolicy
from loom_core.errors import ErrorCategory

def classify(error):
    {body}

@hookimpl
def loom_retries():
    yield RetryEntry(name="{name}", summary="", factory=lambda context: Retries(classify=classify))
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "site") as made:
        yield made


def runtime(here: Site, config: Config | None = None, **options: Any) -> Runtime:
    registry = load_registry(entry_points=here.points())
    return Runtime.open(config or Config(), registry=registry, environ={"HOME": "/h"}, **options)


def made(here: Site) -> list[Any]:
    return sys.modules[here.modules[0]].made  # type: ignore[no-any-return]


def test_opening_a_runtime_makes_nothing(here: Site) -> None:
    here.add("alpha", PLUGIN)
    runtime(here).tools().names()
    assert made(here) == []


def test_a_model_is_prefix_and_name_split_at_the_first_colon_and_its_backend_made_once(here: Site) -> None:
    here.add("alpha", PLUGIN)
    opened = runtime(here)
    backend, model = opened.model("echo:family:7b")
    assert model == "family:7b"
    assert opened.model("echo:other")[0] is backend
    assert len(made(here)) == 1


@pytest.mark.parametrize("name", ["gpt", "", ":x", "echo:"])
def test_a_name_that_is_no_models_name_says_how_they_start(here: Site, name: str) -> None:
    here.add("alpha", PLUGIN)
    with pytest.raises(ModelNotFound) as raised:
        runtime(here).model(name)
    assert raised.value.hint == "models start with echo:…"


def test_tools_are_a_mapping_by_name_of_which_each_is_made_when_it_is_looked_at(here: Site) -> None:
    here.add("alpha", PLUGIN)
    opened = runtime(here)
    tools = opened.tools()
    assert (list(tools), len(tools), "look" in tools, "x" in tools) == (["bomb", "liar", "look"], 3, True, False)
    assert tools["look"] is tools.tool("look") is opened.tool("look")
    assert tools.get("x") is None
    with pytest.raises(ToolNotFound):
        tools.tool("x")


def test_what_a_factory_raises_is_attributed_to_its_plugin(here: Site) -> None:
    here.add("alpha", PLUGIN)
    with pytest.raises(PluginError) as raised:
        runtime(here).tool("bomb")
    assert str(raised.value) == (
        "plugin `alpha` (dist-alpha 1.0) could not make the tool `bomb`: ZeroDivisionError: division by zero"
    )
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_a_tool_under_another_name_than_its_entry_is_a_defect(here: Site) -> None:
    here.add("alpha", PLUGIN)
    with pytest.raises(PluginError, match="offers the tool `liar` and made `truth`"):
        runtime(here).tool("liar")


def test_factories_are_given_configuration_workspace_cache_and_environment(here: Site, tmp_path: Path) -> None:
    here.add("alpha", PLUGIN)
    config = load_config(flags={}, environ={"LOOM_PLUGINS__ALPHA__FAILS": "1"}, user_file=Path("/nowhere"))
    opened = runtime(here, config, workspace=tmp_path / "site" / "..")
    context = opened.backend("echo").context  # type: ignore[attr-defined]
    assert context.config.fails is True
    assert context.workspace == tmp_path.resolve()
    assert context.cache_dir == Path("/h/.cache/loom")
    assert context.environ == {"HOME": "/h"}
    assert opened.tool("look").context.config is None  # type: ignore[attr-defined]


def test_a_wrong_configuration_of_a_plugin_costs_only_those_who_use_it(here: Site) -> None:
    here.add("alpha", PLUGIN)
    config = load_config(flags={}, environ={"LOOM_PLUGINS__ALPHA__FALIS": "1"}, user_file=Path("/nowhere"))
    opened = runtime(here, config)
    assert opened.tool("look").name == "look"
    with pytest.raises(ConfigError, match="did you mean `fails`"):
        opened.backend("echo")


def test_tools_are_told_of_the_files_of_every_open_store_even_of_later_ones(here: Site) -> None:
    here.add("alpha", PLUGIN)
    opened = runtime(here)
    protected = opened.tool("look").context.protected_files  # type: ignore[attr-defined]
    assert protected() == frozenset()
    opened.open_store("ab", "create")
    opened.open_store("abc", "read")
    assert protected() == frozenset({(1, 2), (1, 3)})


@pytest.mark.parametrize(
    ("db", "scheme", "location"),
    [
        ("runs.sqlite", "", "runs.sqlite"),
        ("/var/a b.sqlite", "", "/var/a b.sqlite"),
        (":memory:", "", ":memory:"),
        ("sqlite:///runs.sqlite", "sqlite", "runs.sqlite"),
        ("SQLite:////var/runs.sqlite", "sqlite", "/var/runs.sqlite"),
        ("pg://u:p@h/db?x=1", "pg", "pg://u:p@h/db?x=1"),
    ],
)
def test_a_database_is_a_path_or_a_url_whose_scheme_finds_the_store(db: str, scheme: str, location: str) -> None:
    assert split_location(db) == (scheme, location)


@pytest.mark.parametrize("db", ["sqlite://", "sqlite:///", "sqlite://host/runs.sqlite"])
def test_a_sqlite_url_that_names_no_file_says_how_to_write_one(db: str) -> None:
    with pytest.raises(StoreUnusable) as raised:
        split_location(db)
    assert "sqlite:///PATH" in str(raised.value.hint)


def test_without_a_name_the_configured_database_is_opened_then_runs_sqlite(here: Site) -> None:
    here.add("alpha", PLUGIN)
    config = load_config(flags={"db": "mine"}, environ={}, user_file=Path("/nowhere"))
    assert runtime(here, config).open_store(None, "read").location == "mine"
    assert runtime(here).open_store(None, "read").location == "runs.sqlite"


def test_closing_closes_everything_once_even_if_something_fails(here: Site) -> None:
    here.add("alpha", PLUGIN)
    config = load_config(flags={}, environ={"LOOM_PLUGINS__ALPHA__FAILS": "1"}, user_file=Path("/nowhere"))
    opened = runtime(here, config)
    opened.backend("echo")
    opened.open_store("a", "create")

    async def close() -> None:
        with pytest.raises(ExceptionGroup) as raised:
            await opened.aclose()
        assert [str(error) for error in raised.value.exceptions] == ["echo does not close", "store does not close"]
        await opened.aclose()

    asyncio.run(close())
    assert [thing.closed for thing in made(here)] == [1, 1]


def test_classifiers_are_asked_in_the_order_of_plugin_names_and_the_first_that_knows_wins(here: Site) -> None:
    permission = "return Classification(category=ErrorCategory.PERMISSION)"
    here.add("aaa", RETRIES.format(name="silent", body="return None"))
    here.add("bbb", RETRIES.format(name="broken", body="raise RuntimeError"))
    here.add("ccc", RETRIES.format(name="knows", body=permission))
    here.add("ddd", RETRIES.format(name="late", body="return Classification(category=ErrorCategory.BUSINESS)"))
    assert runtime(here).classify(ValueError()) == Classification(category=ErrorCategory.PERMISSION)


def test_a_classifier_is_no_policy_and_default_is_there_without_any_plugin(here: Site) -> None:
    here.add("aaa", RETRIES.format(name="silent", body="return None"))
    opened = runtime(here)
    assert opened.retry_policy() == RetryPolicy()
    with pytest.raises(BadInput, match="is a classifier of errors"):
        opened.retry_policy("silent")
    with pytest.raises(BadInput, match="no retry policy `x`"):
        opened.retry_policy("x")


def test_the_real_plugins_open_a_real_store_by_url(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}

    async def roundtrip() -> None:
        store = open_store(f"sqlite:///{tmp_path}/runs.sqlite", environ=environ)
        assert (tmp_path / "runs.sqlite").is_file()
        await store.aclose()

    asyncio.run(roundtrip())


def test_no_hook_is_called_once_the_registry_is_built(here: Site) -> None:
    here.add("alpha", PLUGIN.replace("@hookimpl", "@counted\n@hookimpl"), head=COUNTED)
    opened = runtime(here)
    asked = sys.modules[here.modules[0]].asked
    assert sorted(asked) == ["loom_models", "loom_stores", "loom_tools"]
    opened.model("echo:x")
    opened.tool("look")
    opened.open_store("a", "read")
    opened.classify(ValueError())
    assert len(asked) == 3
