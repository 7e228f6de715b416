"""From settings to a plugin's config class: strict, typed, every fault at once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom_core.config import Config, load_config
from loom_core.errors import ConfigError


class Level(Enum):
    LOW = "low"
    HIGH = "high"


@attrs.frozen(kw_only=True)
class Server:
    name: str
    port: int = 80


@attrs.frozen(kw_only=True)
class Settings:
    flag: bool = False
    count: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    rate: float = 1.0
    name: str = "n"
    folder: Path = Path()
    maybe: int | None = None
    mixed: int | str = 0
    either: str | list[str] = ""
    mode: Literal["a", "b"] = "a"
    level: Level = Level.LOW
    names: tuple[str, ...] = ()
    numbers: list[int] = attrs.Factory(list)
    unique: frozenset[str] = frozenset()
    pair: tuple[int, str] = (0, "")
    limits: dict[str, int] = attrs.Factory(dict)
    servers: tuple[Server, ...] = ()
    api_key: str = ""
    max_tokens: int = attrs.field(default=10, validator=attrs.validators.ge(1))


def settings(tmp_path: Path, toml: str = "", **variables: str) -> Settings:
    file = tmp_path / "c.toml"
    file.write_text(f"[plugins.x]\n{toml}")
    environ = {f"LOOM_PLUGINS__X__{name.upper()}": value for name, value in variables.items()}
    return load_config(flags={}, environ=environ, user_file=file).plugin("x", Settings)


def faults(tmp_path: Path, toml: str = "", **variables: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        settings(tmp_path, toml, **variables)
    assert "loom plugins show x" in str(raised.value.hint)
    return [
        fault.replace(f"file {tmp_path}/c.toml", "FILE").replace("environment LOOM_", "$")
        for fault in raised.value.faults
    ]


def test_nothing_configured_is_the_defaults() -> None:
    assert Config().plugin("x", Settings) == Settings()


def test_toml_values_of_every_type_arrive_as_they_are(tmp_path: Path) -> None:
    made = settings(
        tmp_path,
        """
        flag = true
        count = 5
        rate = 2
        name = "é"
        folder = "/tmp"
        maybe = 4
        mixed = "t"
        either = ["a"]
        mode = "b"
        level = "high"
        names = ["a", "b"]
        numbers = [1, 2]
        unique = ["u"]
        pair = [1, "x"]
        limits = { a = 1 }
        servers = [{ name = "s" }, { name = "t", port = 8080 }]
        """,
    )
    assert made == Settings(
        flag=True,
        count=5,
        rate=2.0,
        name="é",
        folder=Path("/tmp"),
        maybe=4,
        mixed="t",
        either=["a"],
        mode="b",
        level=Level.HIGH,
        names=("a", "b"),
        numbers=[1, 2],
        unique=frozenset({"u"}),
        pair=(1, "x"),
        limits={"a": 1},
        servers=(Server(name="s"), Server(name="t", port=8080)),
    )
    assert type(made.rate) is float


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("flag", "Yes", True),
        ("flag", "0", False),
        ("count", "7", 7),
        ("rate", "1e3", 1000.0),
        ("name", "true", "true"),
        ("name", "", ""),
        ("folder", "/tmp/a b", Path("/tmp/a b")),
        ("maybe", "", None),
        ("maybe", "4", 4),
        ("mixed", "4", 4),
        ("mixed", "four", "four"),
        ("mode", "b", "b"),
        ("level", "high", Level.HIGH),
        ("names", "a, b", ("a", "b")),
        ("names", '["a,b", "c"]', ("a,b", "c")),
        ("names", "", ()),
        ("numbers", "1,2", [1, 2]),
        ("unique", "a,a", frozenset({"a"})),
        ("limits", '{"a": 1}', {"a": 1}),
        ("servers", '[{"name": "s"}]', (Server(name="s"),)),
    ],
)
def test_the_environments_text_is_read_by_the_type_of_its_field(
    tmp_path: Path, field: str, text: str, value: object
) -> None:
    assert getattr(settings(tmp_path, **{field: text}), field) == value


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("flag", "maybe", "true or false"),
        ("count", "1.5", "a whole number"),
        ("rate", "fast", "a number"),
        ("maybe", "x", "a whole number"),
        ("mode", "c", "one of 'a', 'b'"),
        ("level", "LOW", "one of 'low', 'high'"),
        ("numbers", "1,x", "a list"),
        ("limits", "a=1", "a table"),
    ],
)
def test_a_text_that_does_not_read_as_its_type_names_variable_and_type(
    tmp_path: Path, field: str, text: str, expected: str
) -> None:
    variable = f"$PLUGINS__X__{field.upper()}"
    assert faults(tmp_path, **{field: text}) == [
        f"plugins.x.{field} ({variable}): must be {expected}, not this text ({text!r})"
    ]


def test_all_faults_are_reported_at_once_each_with_its_path_and_origin(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
        coumt = 3
        zzz = 1
        flag = 1
        rate = true
        name = 5
        numbers = [1, "two", 3.0]
        limits = { a = "x", b = 1 }
        servers = [{ name = "s", prt = 1 }, { port = "http" }, 7]
        pair = [1]
        max_tokens = 0
        """,
        count="0",
    )
    assert sorted(found) == sorted(
        [
            "plugins.x.coumt (FILE): is unknown; did you mean `count`?",
            f"plugins.x.zzz (FILE): is unknown; keys there are: {', '.join(f.name for f in attrs.fields(Settings))}",
            "plugins.x.count ($PLUGINS__X__COUNT): 'count' must be >= 1: 0",
            "plugins.x.flag (FILE): must be true or false, not a whole number (1)",
            "plugins.x.rate (FILE): must be a number, not a truth value",
            "plugins.x.name (FILE): must be a text, not a whole number (5)",
            "plugins.x.numbers.1 (FILE): must be a whole number, not a text ('two')",
            "plugins.x.numbers.2 (FILE): must be a whole number, not a number (3.0)",
            "plugins.x.limits.a (FILE): must be a whole number, not a text ('x')",
            "plugins.x.servers.0.prt (FILE): is unknown",
            "plugins.x.servers.1.name (FILE): is missing",
            "plugins.x.servers.1.port (FILE): must be a whole number, not a text ('http')",
            "plugins.x.servers.2 (FILE): must be a table, not a whole number (7)",
            "plugins.x.pair (FILE): must be a list of 2 items, not a list",
            "plugins.x.max_tokens (FILE): 'max_tokens' must be >= 1: 0",
        ]
    )


def test_a_text_is_not_taken_for_a_list_of_its_letters(tmp_path: Path) -> None:
    assert faults(tmp_path, 'names = "abc"') == ["plugins.x.names (FILE): must be a list, not a text ('abc')"]


def test_no_message_quotes_a_secret(tmp_path: Path) -> None:
    assert faults(tmp_path, "api_key = 12345") == ["plugins.x.api_key (FILE): must be a text, not a whole number"]


def test_a_single_variable_overrides_one_key_of_a_table(tmp_path: Path) -> None:
    made = settings(tmp_path, "[plugins.x.limits]\na = 1\nb = 2\n", limits__b="3")
    assert made.limits == {"a": 1, "b": 3}


def test_a_fault_in_a_table_put_together_from_two_sources_names_the_right_one(tmp_path: Path) -> None:
    assert faults(tmp_path, "[plugins.x.limits]\na = 1\n", limits__b="x") == [
        "plugins.x.limits.b ($PLUGINS__X__LIMITS__B): must be a whole number, not a text ('x')"
    ]


def test_a_field_without_default_that_nobody_sets_says_how_to_set_it() -> None:
    @attrs.frozen
    class Needy:
        token: str

    with pytest.raises(ConfigError) as raised:
        Config().plugin("my-plugin", Needy)
    assert raised.value.faults == (
        "plugins.my-plugin.token: is missing; set it in [plugins.my-plugin] or as LOOM_PLUGINS__MY_PLUGIN__TOKEN",
    )


def test_what_only_the_whole_class_refuses_is_reported_with_the_plugin() -> None:
    @attrs.frozen
    class Odd:
        def __attrs_post_init__(self) -> None:
            raise ValueError("low is above high")

    with pytest.raises(ConfigError, match=r"plugins\.x \(defaults\): low is above high"):
        Config().plugin("x", Odd)


def test_dashes_and_underscores_in_a_plugins_name_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[plugins.my-plugin]\nname = 's'")
    config = load_config(flags={}, environ={"LOOM_PLUGINS__MY_PLUGIN__PORT": "1"}, user_file=file)
    assert config.plugin("my_plugin", Server) == Server(name="s", port=1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.sampled_from([field.name for field in attrs.fields(Settings)]), JSON)
def test_any_value_is_either_structured_or_a_fault_with_its_path(name: str, value: Any) -> None:
    from loom_core.config.sources import Setting
    from loom_core.config.structuring import structure

    setting = Setting(path=("plugins", "x", name), value=value, origin="here")
    try:
        structure("x", [setting], Settings)
    except ConfigError as error:
        assert all(fault.startswith(f"plugins.x.{name}") for fault in error.faults)


@given(st.sampled_from([field.name for field in attrs.fields(Settings)]), st.text())
def test_any_text_is_either_read_or_a_fault_with_its_path(name: str, text: str) -> None:
    from loom_core.config.sources import Setting
    from loom_core.config.structuring import structure

    setting = Setting(path=("plugins", "x", name), value=text, origin="here", is_text=True)
    try:
        structure("x", [setting], Settings)
    except ConfigError as error:
        assert all(fault.startswith(f"plugins.x.{name}") for fault in error.faults)
