"""How plugins are found and loaded: each by itself, each failure attributed, nothing hidden."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loom_core.errors import PluginError
from loom_core.plugins import PluginInfo, Registry, load_registry
from tests.core.plugins.distributions import TOOL, Site, site


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "site") as made:
        yield made


def statuses(registry: Registry) -> dict[str, str]:
    return {info.name: info.status for info in registry.plugins}


def only(registry: Registry) -> PluginInfo:
    (info,) = registry.plugins
    return info


def load(here: Site, **options: object) -> Registry:
    return load_registry(entry_points=here.points(), **options)  # type: ignore[arg-type]


def test_a_plugin_that_offers_something_is_active_and_attributed(here: Site) -> None:
    here.add("alpha", TOOL.format(name="look"), distribution="acme-alpha", version="2.3")
    info = only(load(here))
    assert (info.name, info.status, info.distribution, info.version) == ("alpha", "active", "acme-alpha", "2.3")
    assert [(offer.kind, offer.name, offer.summary, offer.status) for offer in info.offers] == [
        ("tool", "look", "a tool", "ready")
    ]
    assert info.hooks == ("loom_tools",)
    assert info.import_ms is not None and info.import_ms > 0
    assert info.error is None


def test_plugins_are_in_the_order_of_their_names_whatever_the_order_of_folders(here: Site) -> None:
    for name in ("mike", "alpha", "zulu"):
        here.add(name, TOOL.format(name=name))
    registry = load(here)
    assert [info.name for info in registry.plugins] == ["alpha", "mike", "zulu"]
    assert [entry.name for _, entry in registry.tools] == ["alpha", "mike", "zulu"]


def test_a_plugin_without_hooks_is_idle(here: Site) -> None:
    here.add("empty", "")
    assert only(load(here)).status == "idle"


def test_a_disabled_plugin_is_not_even_imported(here: Site) -> None:
    here.add("alpha", "raise AssertionError('imported')")
    info = only(load(here, disabled=["alpha"]))
    assert (info.status, info.import_ms, info.error) == ("disabled", None, None)
    assert not set(here.modules) & set(sys.modules)


def test_disabling_a_plugin_that_does_not_exist_is_a_warning_that_says_what_was_meant(here: Site) -> None:
    here.add("llm_local", TOOL.format(name="x"))
    registry = load(here, disabled=["llm_lokal"])
    assert registry.warnings == ("there is no plugin `llm_lokal` to disable; did you mean `llm_local`?",)
    assert statuses(registry) == {"llm_local": "active"}


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("import sys\nsys.exit(7)", "SystemExit: 7"),
        ("def (", "SyntaxError"),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "E: (its message cannot be shown)"),
        ("@hookimpl\ndef loom_toolz():\n    yield", "a hook is not one of Loom's"),
        ("@hookimpl\ndef loom_tools(surprise):\n    yield", "a hook is not one of Loom's, or takes arguments"),
        ("@hookimpl\nasync def loom_tools():\n    return []", "loom_tools: must not be async"),
        ("@hookimpl\nasync def loom_tools():\n    yield 1", "loom_tools: must not be async"),
        ("@hookimpl(wrapper=True)\ndef loom_tools():\n    return (yield)", "loom_tools: must be a plain function"),
        ("@hookimpl\ndef loom_tools():\n    pass", "must yield (or return a list of) ToolEntry, not nothing (None)"),
        ("@hookimpl\ndef loom_tools():\n    return Entry(name='x', summary='')", "must yield"),
        ("@hookimpl\ndef loom_tools():\n    yield 'read_file'", "yielded a str where ToolEntry is due"),
        ("@hookimpl\ndef loom_tools():\n    yield Entry(name='x', summary='')", "yielded a Entry where ToolEntry"),
        ("@hookimpl\ndef loom_tools():\n    raise KeyError('x')\n    yield", "loom_tools raised KeyError: 'x'"),
        (TOOL.format(name="with blank"), "names must be printable, without colon and blank"),
        (TOOL.format(name=" "), "without a name"),
        (TOOL.format(name="a") + TOOL.format(name="a").split("\n", 3)[3], "offers the tool `a` twice"),
        (
            "@hookimpl\ndef loom_tools():\n    yield ToolEntry(name='x', summary='', factory=id, config=dict)",
            "config must be an attrs class",
        ),
        (
            "@hookimpl\ndef loom_commands():\n    yield CommandEntry(name='x', summary='', target='nocolon')",
            "target must be `module:attribute`",
        ),
        (
            "@hookimpl\ndef loom_stores():\n    yield StoreEntry(name='x', summary='', schemes='pg', factory=id)",
            "schemes must be a tuple",
        ),
    ],
)
def test_a_broken_plugin_is_failed_with_its_cause_and_the_next_step(here: Site, source: str, cause: str) -> None:
    here.add("broken", source)
    here.add("sound", TOOL.format(name="look"))
    registry = load(here)
    assert statuses(registry) == {"broken": "failed", "sound": "active"}
    info = registry.plugin("broken")
    assert cause in (info.error or "")
    assert "\n" not in (info.error or "")
    assert "loom plugins check broken" in (info.hint or "") and "--disable-plugin broken" in (info.hint or "")


def test_one_failing_hook_hides_neither_another_fault_nor_what_else_the_plugin_offers(here: Site) -> None:
    here.add(
        "broken",
        """
        @hookimpl
        def loom_models():
            raise ValueError("first")
            yield
        @hookimpl
        def loom_tools():
            yield ToolEntry(name="look", summary="", factory=id)
        @hookimpl
        def loom_retries():
            raise ValueError("second")
            yield
        """,
    )
    info = only(load(here))
    assert info.error == "loom_models raised ValueError: first; loom_retries raised ValueError: second"
    assert [offer.name for offer in info.offers] == ["look"]


def test_a_keyboard_interrupt_while_a_plugin_loads_is_not_swallowed(here: Site) -> None:
    here.add("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(here)


def test_entries_of_one_plugin_share_one_config_class(here: Site) -> None:
    here.add(
        "mixed",
        """
        @attrs.frozen
        class A: pass
        @attrs.frozen
        class B: pass
        @hookimpl
        def loom_tools():
            yield ToolEntry(name="a", summary="", factory=id, config=A)
            yield ToolEntry(name="b", summary="", factory=id, config=B)
        """,
    )
    assert "different config classes (A, B)" in (only(load(here)).error or "")


def test_the_config_class_of_a_plugin_is_known(here: Site) -> None:
    here.add(
        "one",
        """
        @attrs.frozen
        class Settings: pass
        @hookimpl
        def loom_tools():
            yield ToolEntry(name="a", summary="", factory=id, config=Settings)
            yield ToolEntry(name="b", summary="", factory=id)
        """,
    )
    config = only(load(here)).config
    assert config is not None and config.__name__ == "Settings"


def test_a_missing_extra_is_unavailable_with_the_pip_command_and_imports_nothing(here: Site) -> None:
    here.add(
        "openai_like",
        """
        @hookimpl
        def loom_models():
            yield ModelEntry(name="o", summary="", prefix="o", factory=id, requires=("no_such_lib",), extra="openai")
        """,
        distribution="loom-stack-x",
    )
    info = only(load(here))
    assert (info.status, info.error) == ("unavailable", "`no_such_lib` is not installed")
    assert info.hint == "pip install 'loom-stack-x[openai]'"


def test_looking_for_a_required_submodule_does_not_import_its_parent(here: Site) -> None:
    package = here.folder / "site_parent"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "child.py").write_text("")
    here.add(
        "needs_child",
        """
        @hookimpl
        def loom_tools():
            yield ToolEntry(name="a", summary="", factory=id, requires=("site_parent.child",))
            yield ToolEntry(name="b", summary="", factory=id, requires=("site_parent.other", "site_parent.child.deep"))
        """,
    )
    info = only(load(here))
    assert [(offer.name, offer.status) for offer in info.offers] == [("a", "ready"), ("b", "unavailable")]
    assert info.status == "active"
    assert "`site_parent.other`, `site_parent.child.deep` is not installed" in (info.error or "")


def test_two_distributions_with_one_plugin_name_are_both_named_with_both_ways_out(here: Site) -> None:
    here.add("twin", "raise AssertionError('imported')", distribution="acme-twin", version="1.0")
    here.add("twin", "raise AssertionError('imported')", distribution="zeta-twin", version="2.0")
    registry = load(here)
    assert [info.status for info in registry.plugins] == ["failed", "failed"]
    for info in registry.plugins:
        assert "acme-twin 1.0 and zeta-twin 2.0 both have a plugin named `twin`" in (info.error or "")
        assert "--disable-plugin twin@zeta-twin" in (info.hint or "")
        assert "pip uninstall acme-twin or zeta-twin" in (info.hint or "")


def test_disabling_one_of_two_with_the_same_name_gives_the_other_its_place(here: Site) -> None:
    here.add("twin", TOOL.format(name="from_acme"), distribution="acme-twin")
    here.add("twin", TOOL.format(name="from_zeta"), distribution="zeta-twin")
    registry = load(here, disabled=["twin@zeta-twin"])
    assert [(info.distribution, info.status) for info in registry.plugins] == [
        ("acme-twin", "active"),
        ("zeta-twin", "disabled"),
    ]
    assert registry.tool("from_acme")[0].distribution == "acme-twin"


def test_strict_raises_what_is_broken_with_its_cause(here: Site) -> None:
    here.add("broken", "raise RuntimeError('no')")
    with pytest.raises(PluginError, match=r"plugin `broken` .*RuntimeError: no") as raised:
        load(here, strict=True)
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_strict_does_not_mind_a_missing_extra(here: Site) -> None:
    here.add(
        "lean",
        "@hookimpl\ndef loom_tools():\n    yield ToolEntry(name='a', summary='', factory=id, requires=('no_such',))",
    )
    assert statuses(load(here, strict=True)) == {"lean": "unavailable"}


def test_damaged_metadata_of_one_distribution_hides_no_plugin_of_another(here: Site) -> None:
    here.add("sound", TOOL.format(name="look"))
    here.add_metadata("damaged", "1.0", b"[loom]\n\xff\xfe = x\n")
    registry = load_registry()
    assert registry.plugin("sound").status == "active"
    assert any("damaged-1.0.dist-info cannot be read" in warning for warning in registry.warnings)


def test_metadata_without_name_and_version_still_loads(here: Site) -> None:
    here.add("nameless", TOOL.format(name="look"))
    for file in here.folder.glob("*.dist-info/METADATA"):
        file.unlink()
    info = load(here).plugin("nameless")
    assert (info.status, info.distribution) == ("active", "unknown")


def test_the_plugins_of_this_distribution_are_found_like_any_other(here: Site) -> None:
    here.add("third_party", TOOL.format(name="theirs"))
    names = {info.name for info in load_registry().plugins}
    assert {"third_party", "store_sqlite", "llm_mock", "retry_policies"} <= names
