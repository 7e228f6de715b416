"""From settings to an instance of a plugin's config class, strictly, with every fault at once.

Only this module imports cattrs, and it is imported only when a plugin's configuration is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import attrs
from cattrs.errors import BaseValidationError, ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from loom_core.config.reading import Unreadable, read_text
from loom_core.config.secrets import is_hidden, redacted, secrets_in
from loom_core.config.sources import Setting, variable_of
from loom_core.config.strictness import Mismatch, strict_converter
from loom_core.errors import ConfigError, PluginError

T = TypeVar("T")


def structure(plugin: str, settings: Sequence[Setting], cls: type[T]) -> T:
    """Return an instance of ``cls`` from the settings of a plugin; raises ``ConfigError`` with every fault."""
    try:
        attrs.resolve_types(cls)  # type: ignore[type-var]
    except NameError as error:
        raise PluginError(f"plugin `{plugin}`: a type of its config class is not importable: {error}") from error
    fields = {field.alias or field.name: field for field in attrs.fields(cls) if field.init}  # type: ignore[arg-type]
    given, unknown = _by_field(settings, fields)
    faults = [_unknown_key(setting, fields) for setting in unknown]
    values: dict[str, object] = {}
    for name, field in fields.items():
        own = given.get(name, ())
        if own:
            faults.extend(_field_faults(plugin, field, own, values, name))
        elif field.default is attrs.NOTHING:
            path = ("plugins", plugin, name)
            faults.append(f"{'.'.join(path)}: is missing; set it in [plugins.{plugin}] or as {variable_of(path)}")
    if not faults:
        try:
            return cls(**values)
        except (ValueError, TypeError) as error:
            origins = ", ".join(dict.fromkeys(setting.origin for setting in settings))
            faults.append(f"plugins.{plugin} ({origins or 'defaults'}): {error}")
    # A validator of the plugin's own may quote whatever it was given.
    secrets = [pair for setting in settings for pair in secrets_in(setting.path[2:], setting.value)]
    shown = tuple(redacted(fault, secrets) for fault in faults)
    raise ConfigError(shown, hint=f"the settings there are: loom plugins show {plugin}")


def _by_field(settings: Iterable[Setting], fields: Mapping[str, Any]) -> tuple[dict[str, list[Setting]], list[Setting]]:
    by_lower = {name.lower(): name for name in fields}
    given: dict[str, list[Setting]] = {}
    unknown: list[Setting] = []
    for setting in settings:
        key = setting.path[2]
        name = key if key in fields else by_lower.get(key) if setting.is_text else None
        if name is None:
            unknown.append(setting)
        else:
            given.setdefault(name, []).append(setting)
    return given, unknown


def _field_faults(
    plugin: str, field: Any, settings: Sequence[Setting], values: dict[str, object], name: str
) -> list[str]:
    """Structure one field into ``values``; return its faults."""
    path = ("plugins", plugin, name)
    try:
        raw = _assembled(settings, field.type)
    except Unreadable as error:
        return [f"{'.'.join(error.path)} ({error.origin}): {error.reason}"]
    try:
        value: object = strict_converter().structure(raw, field.type if field.type is not None else Any)
    except (BaseValidationError, Mismatch) as error:
        return [f"{'.'.join(at)} ({_origin(settings, at)}): {reason}" for at, reason in _reasons(error, path)]
    refusal = _refusal(field, value)
    if refusal:
        shown = "is refused (the value is not shown)" if is_hidden(path[2:], value) else refusal
        return [f"{'.'.join(path)} ({settings[0].origin}): {shown}"]
    values[name] = value
    return []


def _assembled(settings: Sequence[Setting], type_: Any) -> object:
    """Return the raw value of one field: a single setting's, or a table put together from several."""
    result: dict[str, object] = {}
    for setting in settings:
        inner = setting.path[3:]
        # Inside a table the field's own type is unknown here; what the environment gives there is read as JSON.
        value = read_text(setting, type_ if not inner else Any) if setting.is_text else setting.value
        if not inner:
            return value
        table = result
        for key in inner[:-1]:
            table = table.setdefault(key, {})  # type: ignore[assignment]
        table[inner[-1]] = value
    return result


def _refusal(field: Any, value: object) -> str | None:
    """Return what the field's validator says. Asked here, because attrs stops at the first field that is refused."""
    if field.validator is None:
        return None
    try:
        field.validator(None, field, value)
    except (ValueError, TypeError) as error:
        return str(error.args[0]) if error.args else str(error)
    return None


def _reasons(error: Exception, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield where and why for each leaf of a cattrs error."""
    if isinstance(error, IterableValidationError):
        noted, others = error.group_exceptions()
        for inner, note in noted:
            yield from _reasons(inner, (*path, str(note.index)))
    elif isinstance(error, ClassValidationError):
        fields, others = error.group_exceptions()
        for inner, attribute in fields:
            yield from _reasons(inner, (*path, attribute.name))
    else:
        others = [error]
    for other in others:
        if isinstance(other, ForbiddenExtraKeysError):
            yield from (((*path, key), "is unknown") for key in sorted(other.extra_fields))
        elif isinstance(other, KeyError):
            # cattrs notes the field that is missing, so the path ends with it.
            yield path, "is missing"
        elif isinstance(other, Mismatch):
            yield path, other.without_value if is_hidden(path[2:], other.value) else str(other)
        elif is_hidden(path[2:]):
            yield path, "is refused (the value is not shown)"
        else:
            yield path, str(other)


def _origin(settings: Sequence[Setting], path: tuple[str, ...]) -> str:
    """Return the origin of the setting that lies nearest to a path."""
    return max(settings, key=lambda setting: _common(setting.path[3:], path[3:])).origin


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _unknown_key(setting: Setting, fields: Mapping[str, Any]) -> str:
    near = get_close_matches(setting.path[2], fields, n=1, cutoff=0.65)
    names = f"keys there are: {', '.join(fields)}" if fields else "this plugin has nothing to configure"
    rest = f"did you mean `{near[0]}`?" if near else names
    return f"{'.'.join(setting.path[:3])} ({setting.origin}): is unknown; {rest}"
