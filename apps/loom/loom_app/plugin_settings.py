"""The settings of a plugin, those that were given and those that have their defaults."""

from __future__ import annotations

import attrs

from loom_core.config import Config, ConfigItem
from loom_core.plugins import PluginInfo


@attrs.frozen(kw_only=True)
class PluginSetting:
    """One setting as it is shown."""

    path: str
    type: str
    shown: object
    origin: str

    @property
    def text(self) -> str:
        """The value in a table's cell."""
        if isinstance(self.shown, list | tuple | set | frozenset):
            return ", ".join(map(str, self.shown)) or "–"
        return "–" if self.shown is None or self.shown == "" else str(self.shown)

    def facts(self) -> dict[str, object]:
        """Return the setting as JSON data."""
        return {"path": self.path, "type": self.type, "value": _plain(self.shown), "origin": self.origin}


def plugin_settings(info: PluginInfo, config: Config) -> tuple[PluginSetting, ...]:
    """Return every setting of a plugin: the given ones first come first, then the defaults of the others."""
    given = {item.path: item for item in config.items()}
    prefix = f"plugins.{info.name}."
    settings: list[PluginSetting] = []
    for field in attrs.fields(info.config) if info.config else ():
        path = prefix + (field.alias or field.name)
        own = [item for key, item in given.items() if _normal(key) == _normal(path) or _is_inside(key, path)]
        settings.extend(_given(item, field) for item in own)
        if not own:
            settings.append(_default(path, field))
    return tuple(settings)


def _plain(value: object) -> object:
    """Return a value as JSON data; what JSON does not know is shown as text."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, str | int | float | None) else str(value)


def _given(item: ConfigItem, field: attrs.Attribute[object]) -> PluginSetting:
    return PluginSetting(path=item.path, type=_type_name(field), shown=item.shown, origin=item.origin)


def _default(path: str, field: attrs.Attribute[object]) -> PluginSetting:
    # What a plugin has as default is no secret: it is in its code.
    value: object = field.default
    factory = getattr(value, "factory", None)
    if callable(factory):
        value = "(made when needed)" if getattr(value, "takes_self", False) else factory()
    shown = "(must be set)" if value is attrs.NOTHING else value
    return PluginSetting(path=path, type=_type_name(field), shown=shown, origin="default")


def _type_name(field: attrs.Attribute[object]) -> str:
    return field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))


def _is_inside(key: str, path: str) -> bool:
    return _normal(key).startswith(_normal(path) + ".")


def _normal(path: str) -> str:
    return path.lower().replace("-", "_")
