"""Where settings come from: flags, the environment, TOML files; each source yields settings, and the faults in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

import attrs

from loom_core.config.files import Unusable, read_regular
from loom_core.config.variables import PLUGIN_PREFIX, variable_faults

ENVIRONMENT_OF = {
    "db": "LOOM_DB",
    "model": "LOOM_MODEL",
    "prices": "LOOM_PRICES",
    "disable_plugins": "LOOM_DISABLE_PLUGINS",
}
CORE_SETTINGS = tuple(ENVIRONMENT_OF)

SETTINGS_HINT = (
    "settings are db, model, prices, disable_plugins and plugins.NAME.FIELD · once this is corrected, "
    "`loom config show --origin` lists them all"
)
_MISSING_HINT = "name a readable TOML file with --config or LOOM_CONFIG, or leave them out: no file is needed"
_MEND_HINT = 'write it as TOML in UTF-8, for example: db = "runs.sqlite" · then: loom config show --config {}'


@attrs.frozen(kw_only=True)
class Setting:
    """One value as it was given. ``is_text`` values come from the environment and are read by the type they go to."""

    path: tuple[str, ...]
    value: object
    origin: str
    is_text: bool = False


@attrs.frozen
class Source:
    """What one source gave. ``hint`` is what to do about the faults."""

    settings: tuple[Setting, ...] = ()
    faults: tuple[str, ...] = ()
    hint: str | None = None


def from_flags(flags: Mapping[str, object]) -> Source:
    """Return the settings given on the command line; None means that a flag was not given."""
    names = {"disable_plugins": "--disable-plugin"}
    return Source(
        tuple(
            Setting(path=(name,), value=value, origin=f"flag {names.get(name, '--' + name.replace('_', '-'))}")
            for name, value in flags.items()
            if value is not None
        )
    )


def from_environment(environ: Mapping[str, str]) -> Source:
    """Return the settings of ``LOOM_DB`` and its kin, and those of ``LOOM_PLUGINS__NAME__FIELD``.

    Any other variable that looks like one of Loom's is a fault: a misspelt setting must not be silently without effect.
    """
    settings: list[Setting] = []
    faults: list[str] = []
    for name, variable in ENVIRONMENT_OF.items():
        text = environ.get(variable)
        # An empty LOOM_DB is an unset one; an empty list of disabled plugins is a list.
        if text is not None and (text.strip() or name == "disable_plugins"):
            value = _names(text) if name == "disable_plugins" else text
            settings.append(Setting(path=(name,), value=value, origin=f"environment {variable}"))
    for variable in sorted(environ):
        if not variable.startswith(PLUGIN_PREFIX):
            continue
        keys = tuple(key.lower() for key in variable.removeprefix(PLUGIN_PREFIX).split("__"))
        if len(keys) < 2 or not all(keys):
            faults.append(f"environment {variable}: is no setting; write {PLUGIN_PREFIX}NAME__FIELD")
            continue
        origin = f"environment {variable}"
        settings.append(Setting(path=("plugins", *keys), value=environ[variable], origin=origin, is_text=True))
    faults.extend(variable_faults(environ))
    return Source(tuple(settings), tuple(faults), SETTINGS_HINT if faults else None)


def from_file(path: Path, *, must_exist: bool) -> Source:
    """Return the settings of a TOML file. Reads nothing but this file; a user's file need not exist."""
    import tomllib

    origin = f"file {path}"
    try:
        data = tomllib.loads(read_regular(path).decode())
        settings = tuple(_leaves((), data, origin))
    except FileNotFoundError:
        if not must_exist:
            return Source()
        return Source(faults=(f"{origin}: there is no such file",), hint=_MISSING_HINT)
    except (OSError, Unusable) as error:
        reason = error if isinstance(error, Unusable) else f"cannot be read: {error.strerror or error}"
        return Source(faults=(f"{origin}: {reason}",), hint=_MISSING_HINT)
    except UnicodeDecodeError as error:
        return Source(faults=(f"{origin}: is not UTF-8 text (byte {error.start})",), hint=_MEND_HINT.format(path))
    except RecursionError:
        return Source(faults=(f"{origin}: is nested too deeply",), hint=_MEND_HINT.format(path))
    except ValueError as error:
        # Not only ``TOMLDecodeError``: a number of thousands of digits is a plain ``ValueError``.
        return Source(faults=(f"{origin}: is not TOML: {error}",), hint=_MEND_HINT.format(path))
    faults = tuple(_file_faults(data, origin))
    return Source(settings, faults, SETTINGS_HINT if faults else None)


def variable_of(path: tuple[str, ...]) -> str:
    """Return the environment variable of a setting."""
    if path[0] != "plugins":
        return ENVIRONMENT_OF[path[0]]
    return PLUGIN_PREFIX + "__".join(key.upper().replace("-", "_") for key in path[1:])


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _leaves(path: tuple[str, ...], value: object, origin: str) -> Iterator[Setting]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves((*path, key), inner, origin)
        # An empty table is a value too: of a field that is a mapping.
        if value or len(path) < 3:
            return
    yield Setting(path=path, value=value, origin=origin)


def _file_faults(data: Mapping[str, object], origin: str) -> Iterator[str]:
    for key, value in data.items():
        if key == "plugins":
            yield from _plugin_table_faults(value, origin)
        elif key not in CORE_SETTINGS:
            near = get_close_matches(key, (*CORE_SETTINGS, "plugins"), n=1, cutoff=0.65)
            guess = f"did you mean `{near[0]}`?" if near else f"settings there are: {', '.join(CORE_SETTINGS)}, plugins"
            yield f"{key} ({origin}): is unknown; {guess}"


def _plugin_table_faults(plugins: object, origin: str) -> Iterator[str]:
    if not isinstance(plugins, dict):
        yield f"plugins ({origin}): must be a table: write [plugins.NAME]"
        return
    for name, table in plugins.items():
        if not isinstance(table, dict):
            yield f"plugins.{name} ({origin}): must be a table: write [plugins.{name}]"
