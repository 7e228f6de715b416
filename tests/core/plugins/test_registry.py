"""Finding what plugins offer by its name, and what is said when it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from loom_core.errors import BadInput, ModelNotFound, PluginError, PluginUnavailable, StoreUnusable, ToolNotFound
from loom_core.plugins import Registry, load_registry
from tests.core.plugins.distributions import TOOL, Site, site

ALL = """
@hookimpl
def loom_stores():
    yield StoreEntry(name="files", summary="", schemes=("", "files"), factory=id)
@hookimpl
def loom_models():
    yield ModelEntry(name="echo backend", summary="", prefix="echo", factory=id)
@hookimpl
def loom_tools():
    yield ToolEntry(name="read_file", summary="", factory=id)
@hookimpl
def loom_retries():
    yield RetryEntry(name="default", summary="", factory=id)
@hookimpl
def loom_commands():
    yield CommandEntry(name="greet", summary="", target="a:b")
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "site") as made:
        yield made


def load(here: Site, *disabled: str) -> Registry:
    return load_registry(entry_points=here.points(), disabled=disabled)


def test_every_kind_is_found_by_the_name_that_users_type(here: Site) -> None:
    here.add("alpha", ALL)
    registry = load(here)
    assert registry.store("")[1].name == registry.store("files")[1].name == "files"
    assert registry.model("echo")[1].prefix == "echo"
    assert registry.tool("read_file")[0].name == "alpha"
    assert registry.retry("default")[1].name == "default"
    assert registry.command("greet")[1].target == "a:b"


def test_what_nobody_offers_is_the_users_mistake_and_says_what_there_is(here: Site) -> None:
    here.add("alpha", ALL)
    registry = load(here)
    with pytest.raises(StoreUnusable, match="no plugin opens `postgres://") as store:
        registry.store("postgres")
    with pytest.raises(ModelNotFound, match="no model backend `ecko:`") as model:
        registry.model("ecko")
    with pytest.raises(ToolNotFound, match="no tool `read_fil`") as tool:
        registry.tool("read_fil")
    with pytest.raises(BadInput, match="no retry policy `x`"):
        registry.retry("x")
    with pytest.raises(BadInput, match="no plugin offers a command `x`"):
        registry.command("x")
    with pytest.raises(BadInput, match="no plugin `alfa`") as plugin:
        registry.plugin("alfa")
    assert store.value.hint == "schemes there are: files"
    assert model.value.hint == "did you mean `echo`? · prefixes there are: echo"
    assert tool.value.hint == "did you mean `read_file`? · tools there are: read_file"
    assert plugin.value.hint == "did you mean `alpha`?"
    assert {error.value.exit_status for error in (store, model, tool, plugin)} == {2}


def test_a_name_that_two_plugins_offer_is_an_error_that_names_both_and_both_ways_out(here: Site) -> None:
    here.add("alpha", TOOL.format(name="look") + "    yield ToolEntry(name='own', summary='', factory=id)\n")
    here.add("beta", TOOL.format(name="look"), version="9")
    registry = load(here)
    with pytest.raises(PluginError) as raised:
        registry.tool("look")
    assert str(raised.value) == ("the tool `look` is offered by `alpha` (dist-alpha 1.0) and `beta` (dist-beta 9)")
    assert "--disable-plugin beta" in str(raised.value.hint)
    assert "LOOM_DISABLE_PLUGINS" in str(raised.value.hint)
    assert "pip uninstall dist-alpha or dist-beta" in str(raised.value.hint)
    assert [(info.name, info.status) for info in registry.plugins] == [("alpha", "active"), ("beta", "failed")]
    assert registry.tool("own")[0].name == "alpha"
    assert [entry.name for _, entry in registry.tools] == ["own"]


def test_a_clash_is_gone_when_one_of_the_two_is_disabled(here: Site) -> None:
    here.add("alpha", TOOL.format(name="look"))
    here.add("beta", TOOL.format(name="look"))
    assert load(here, "beta").tool("look")[0].name == "alpha"
    assert load(here, "alpha").tool("look")[0].name == "beta"


def test_two_model_backends_clash_by_prefix_not_by_their_own_names(here: Site) -> None:
    entry = "@hookimpl\ndef loom_models():\n    yield ModelEntry(name='{}', summary='', prefix='llm', factory=id)"
    here.add("alpha", entry.format("one"))
    here.add("beta", entry.format("two"))
    with pytest.raises(PluginError, match=r"the model `llm:` is offered by `alpha` .* and `beta`"):
        load(here).model("llm")


def test_a_broken_plugin_does_not_clash_with_a_sound_one(here: Site) -> None:
    here.add("alpha", TOOL.format(name="look") + "@hookimpl\ndef loom_models():\n    raise OSError\n    yield")
    here.add("beta", TOOL.format(name="look"))
    assert load(here).tool("look")[0].name == "beta"


def test_using_what_a_broken_plugin_offers_names_plugin_distribution_version_and_cause(here: Site) -> None:
    here.add("alpha", TOOL.format(name="look") + "@hookimpl\ndef loom_models():\n    raise OSError('disk')\n    yield")
    with pytest.raises(PluginError) as raised:
        load(here).tool("look")
    assert str(raised.value) == ("plugin `alpha` (dist-alpha 1.0) cannot be used: loom_models raised OSError: disk")
    assert raised.value.exit_status == 3


def test_a_plugin_that_never_answered_is_recognised_by_its_name(here: Site) -> None:
    here.add("llm_cloud", "raise OSError('disk')")
    with pytest.raises(PluginError, match=r"plugin `llm_cloud` .* cannot be used: .*OSError: disk"):
        load(here).model("cloud")


def test_a_name_that_nobody_offers_points_at_plugins_that_are_not_loaded(here: Site) -> None:
    here.add("mystery", "raise OSError('disk')")
    with pytest.raises(ToolNotFound) as raised:
        load(here).tool("look")
    assert raised.value.hint == "not loaded: mystery (see: loom plugins list)"


def test_what_a_disabled_plugin_would_offer_says_that_it_is_disabled(here: Site) -> None:
    here.add("llm_cloud", ALL)
    with pytest.raises(ModelNotFound) as raised:
        load(here, "llm_cloud").model("cloud")
    assert "plugin `llm_cloud` is disabled" in str(raised.value.hint)


def test_a_missing_extra_is_the_users_to_install(here: Site) -> None:
    here.add(
        "cloud",
        """
        @hookimpl
        def loom_models():
            yield ModelEntry(name="c", summary="", prefix="c", factory=id, requires=("no_such_lib",), extra="cloud")
        """,
    )
    with pytest.raises(PluginUnavailable) as raised:
        load(here).model("c")
    assert (
        str(raised.value)
        == "model `c` of plugin `cloud` (dist-cloud 1.0) cannot be used: `no_such_lib` is not installed"
    )
    assert raised.value.hint == "pip install 'dist-cloud[cloud]'"
    assert raised.value.exit_status == 2


def test_a_registry_cannot_be_changed(here: Site) -> None:
    registry = load(here)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        registry.plugins = ()  # type: ignore[misc]
