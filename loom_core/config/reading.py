"""Reading the text of an environment variable as the type of the field it is for."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from loom_core.config.secrets import is_hidden, without_secrets
from loom_core.config.sources import Setting
from loom_core.config.strictness import is_mapping, is_sequence, is_union, words

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


class Unreadable(ValueError):
    """A text that does not read as the type it is for."""

    def __init__(self, path: tuple[str, ...], origin: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.origin = origin
        self.reason = reason


def read_text(setting: Setting, type_: Any) -> object:
    """Return the plain value that an environment variable's text means for a field of ``type_``.

    Lists may be written as JSON or with commas, tables as JSON; an empty text is None where None is allowed. What
    is returned still has to be structured. Raises ``Unreadable``.
    """
    text = str(setting.value)
    try:
        return _read(text, type_)
    except ValueError as error:
        quoted = "" if is_hidden(setting.path[2:], text) else f" ({without_secrets(text)[:40]!r})"
        reason = f"must be {words(type_)}, not this text{quoted}"
        raise Unreadable(setting.path, setting.origin, reason) from error


def _read(text: str, type_: Any) -> object:
    if type_ in _PLAIN:
        return _PLAIN[type_](text)
    if is_union(type_):
        return _read_union(text, get_args(type_))
    if get_origin(type_) is Literal:
        return _chosen(text, {str(arg): arg for arg in get_args(type_)})
    if isinstance(type_, type) and issubclass(type_, Enum):
        return _chosen(text, {str(member.value): member.value for member in type_})
    if is_sequence(type_):
        return _read_list(text, get_args(type_))
    if is_mapping(type_) or hasattr(type_, "__attrs_attrs__"):
        return json.loads(text)
    return _json_or_text(text)


def _read_union(text: str, arms: tuple[Any, ...]) -> object:
    if types.NoneType in arms and text == "":
        return None
    # Text comes last: everything reads as text.
    for arm in sorted((arm for arm in arms if arm is not types.NoneType), key=lambda arm: arm in (str, Path)):
        try:
            return _read(text, arm)
        except ValueError:
            continue
    raise ValueError(text)


def _read_list(text: str, args: tuple[Any, ...]) -> object:
    if text.lstrip().startswith("["):
        return json.loads(text)
    item = args[0] if args else str
    return [_read(part.strip(), item) for part in text.split(",") if part.strip()]


def _read_bool(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(text)


def _chosen(text: str, choices: dict[str, object]) -> object:
    if text not in choices:
        raise ValueError(text)
    return choices[text]


def _json_or_text(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


_PLAIN: dict[Any, Callable[[str], object]] = {bool: _read_bool, int: int, float: float, str: str, Path: str}
