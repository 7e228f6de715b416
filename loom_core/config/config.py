"""The configuration of one invocation: who said what, and who won."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import attrs

from loom_core.config.paths import user_config_file
from loom_core.config.sources import SETTINGS_HINT, Setting, from_environment, from_file, from_flags
from loom_core.config.variables import is_strict
from loom_core.errors import ConfigError

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class ConfigItem:
    """One setting that is in force. ``path`` is dotted; ``shown`` is the value with secrets masked."""

    path: str
    value: object
    shown: object
    origin: str
    secret: bool


@attrs.frozen(kw_only=True)
class Config:
    """What is in force; made by ``load_config``, or by ``read_config`` with the faults there are.

    ``settings`` holds one setting for each path, the winner's. Core settings are checked when the configuration is
    loaded, a plugin's when ``plugin`` is asked for them.
    """

    settings: tuple[Setting, ...] = ()
    strict_plugins: bool = False
    faults: tuple[str, ...] = ()
    hint: str | None = None

    @property
    def db(self) -> str | None:
        """The database to use when none is named: a path or a URL."""
        value = self._core("db")
        return None if value is None else str(value)

    @property
    def model(self) -> str | None:
        """The model to use when none is named, as ``PREFIX:MODEL``."""
        value = self._core("model")
        return None if value is None else str(value)

    @property
    def prices(self) -> str | None:
        """A file of prices of models that is asked before the one that Loom has: a path."""
        value = self._core("prices")
        return None if value is None else str(value)

    @property
    def disable_plugins(self) -> tuple[str, ...]:
        """Plugins that are not to be loaded."""
        value = self._core("disable_plugins")
        return tuple(map(str, value)) if isinstance(value, list | tuple) else ()

    def items(self) -> tuple[ConfigItem, ...]:
        """Return every setting in force with its origin, in the order of the paths."""
        return tuple(_item(setting) for setting in sorted(self.settings, key=lambda setting: setting.path))

    def plugin(self, name: str, cls: type[T]) -> T:
        """Return the table ``[plugins.NAME]`` as an instance of ``cls``, an attrs class.

        Values from the environment are read by the type of their field. Raises ``ConfigError`` with every fault
        there is: unknown keys, wrong types, values that a validator refuses.
        """
        from loom_core.config.structuring import structure

        return structure(name, self.table(name), cls)

    def table(self, name: str) -> tuple[Setting, ...]:
        """Return the settings of one plugin as they were given. ``-`` and ``_`` in its name are the same."""
        wanted = _normal(name)
        return tuple(s for s in self.settings if s.path[0] == "plugins" and _normal(s.path[1]) == wanted)

    def unknown_plugins(self, installed: Iterable[str]) -> tuple[str, ...]:
        """Return a sentence for each plugin that is configured but not installed."""
        known = {_normal(name): name for name in installed}
        sentences = {}
        for setting in self.settings:
            name = setting.path[1] if setting.path[0] == "plugins" else None
            if name is not None and _normal(name) not in known:
                near = get_close_matches(_normal(name), known, n=1, cutoff=0.65)
                guess = f"; did you mean `{known[near[0]]}`?" if near else ""
                sentences[name] = f"plugins.{name} ({setting.origin}): no such plugin is installed{guess}"
        return tuple(sentences.values())

    def _core(self, name: str) -> object:
        return next((setting.value for setting in self.settings if setting.path == (name,)), None)


def load_config(
    *,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config_file: Path | None = None,
    user_file: Path | None = None,
) -> Config:
    """Put the configuration together as ``read_config`` does; raises ``ConfigError`` with every fault found."""
    config = read_config(flags=flags, environ=environ, config_file=config_file, user_file=user_file)
    if config.faults:
        raise ConfigError(config.faults, hint=config.hint)
    return config


def read_config(
    *,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config_file: Path | None = None,
    user_file: Path | None = None,
) -> Config:
    """Put the configuration together, whatever is wrong with it.

    The order is flag, environment, ``config_file``, the user's file.

    Each setting is taken from the first source that has it; a list is replaced, never added to. ``flags`` are core
    settings by name, None where not given. ``config_file`` defaults to ``LOOM_CONFIG`` and must exist if it is named;
    ``user_file`` defaults to ``loom/config.toml`` under ``XDG_CONFIG_HOME`` or ``~/.config`` and need not exist. No
    other file is read: a workspace's own is not trusted. ``faults`` has what is wrong, but for plugins' tables; such a
    configuration is there to be reported together with those, not to be worked with.
    """
    named = config_file or (Path(environ["LOOM_CONFIG"]) if environ.get("LOOM_CONFIG") else None)
    sources = [from_flags(flags), from_environment(environ)]
    if named is not None:
        sources.append(from_file(named, must_exist=True))
    sources.append(from_file(user_file or user_config_file(environ), must_exist=False))
    faults = [fault for source in sources for fault in source.faults]
    hints = [source.hint for source in sources if source.hint]
    won = _winners(setting for source in sources for setting in source.settings)
    wrong = [fault for setting in won for fault in _core_faults(setting)]
    if wrong:
        hints.append(SETTINGS_HINT)
    return Config(
        settings=won,
        strict_plugins=is_strict(environ),
        faults=(*faults, *wrong),
        hint=" · ".join(dict.fromkeys(hints)) or None,
    )


def _winners(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """Return the first setting of each path; one that lies inside or above a winner's value of another source loses."""
    won: dict[tuple[str, ...], Setting] = {}
    for setting in settings:
        key = tuple(_normal(part) for part in setting.path)
        if not any(key[: len(other)] == other or other[: len(key)] == key for other in won):
            won[key] = setting
    return tuple(won.values())


def _core_faults(setting: Setting) -> Sequence[str]:
    if len(setting.path) > 1 and setting.path[0] == "plugins":
        return ()
    name, value = setting.path[0], setting.value
    if name == "disable_plugins":
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return ()
        return (f"{name} ({setting.origin}): must be a list of names",)
    if name in ("db", "model", "prices") and (len(setting.path) > 1 or not isinstance(value, str) or not value.strip()):
        return (f"{name} ({setting.origin}): must be a text that is not empty",)
    return ()


def _item(setting: Setting) -> ConfigItem:
    # Imported here: the patterns that it compiles cost every start two milliseconds.
    from loom_core.config.secrets import is_hidden, masked_at

    keys = setting.path[2:] if setting.path[0] == "plugins" else setting.path
    return ConfigItem(
        path=".".join(setting.path),
        value=setting.value,
        shown=masked_at(keys, setting.value),
        origin=setting.origin,
        secret=is_hidden(keys, setting.value),
    )


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")
