"""Values that are one JSON string or number: numbers, text, times, identifiers, bytes."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from loom_core.values.faults import Mismatch, expected, type_name
from loom_core.values.form import Form, json_name, native_form

NATIVES = (type(None), bool, int, str)


def scalar_form(hint: object) -> Form | None:
    """Return the form of a scalar type, None if the hint is none."""
    if hint in NATIVES:
        return native_form(hint)
    if hint is float:
        return _float_form()
    if hint in _AS_TEXT:
        name, show, parse = _AS_TEXT[hint]
        return _text_form(name, _CONCRETE.get(hint, hint), show, parse)  # type: ignore[arg-type]
    return None


def _float_form() -> Form:
    def write(value: Any) -> Any:
        if type(value) is float or type(value) is int:
            return value
        raise expected("float", value)

    def read(data: Any) -> Any:
        if type(data) is int or (type(data) is float and math.isfinite(data)):
            return data
        raise Mismatch(f"expected float, found {data if type(data) is float else json_name(data)}")

    return Form(
        name="float",
        head="float",
        types=frozenset({float, int}),
        kinds=frozenset({"float", "int"}),
        write=write,
        read=read,
        native=float,
        identity=True,
    )


def _text_form(name: str, kind: type, show: Callable[[Any], str], parse: Callable[[str], Any]) -> Form:
    def write(value: Any) -> str:
        if type(value) is not kind:
            raise expected(name, value)
        try:
            return show(value)
        except (ValueError, ArithmeticError) as refusal:
            raise Mismatch(f"this {name} has no text: {refusal}") from refusal

    def read(data: Any) -> Any:
        if type(data) is not str:
            raise Mismatch(f"expected {name} as str, found {json_name(data)}")
        try:
            return parse(data)
        except (ValueError, ArithmeticError) as refusal:
            raise Mismatch(f"{data!r:.80} is not a {name}") from refusal

    return Form(name=name, head=name, types=frozenset({kind}), kinds=frozenset({"str"}), write=write, read=read)


def _show_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _parse_bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as broken:
        raise ValueError(str(broken)) from broken


def _parse_decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as broken:
        raise ValueError(text) from broken


# Times: ISO 8601, followed by what it cannot say in the suffixes of RFC 9557: the zone's name, and ``[_fold=1]`` where
# offset and zone alone would give the other of two repeated hours.
_TIME = re.compile(r"(?P<plain>[^\[]+)(?:\[(?P<zone>[^\]=]+)\])?(?P<fold>\[_fold=1\])?")


def _show_time(value: Any) -> str:
    suffix = _zone_suffix(value.tzinfo)
    text: str = value.isoformat() + suffix
    return text + "[_fold=1]" if value.fold and not _parse_time(type(value), text).fold else text


def _zone_suffix(zone: dt.tzinfo | None) -> str:
    if zone is None or _is_fixed(zone):
        return ""
    if type(zone) is not ZoneInfo:
        raise Mismatch(
            f"a time zone of {type_name(type(zone))} would not come back as it is",
            hint="use timezone.utc, timezone(timedelta(…)) without a name, or ZoneInfo(key)",
        )
    if zone.key is None:
        raise Mismatch("a time zone without a key cannot be stored", hint="make it with ZoneInfo(key)")
    return f"[{zone.key}]"


def _parse_time(kind: Any, text: str) -> Any:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    value = kind.fromisoformat(found["plain"])
    if found["zone"] is not None:
        value = _in_zone(value, found["zone"])
    return value.replace(fold=1) if found["fold"] else value


def _in_zone(value: Any, key: str) -> Any:
    try:
        zone = ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
        raise Mismatch(f"this machine does not know the time zone `{key}`", hint="pip install tzdata") from unknown
    offset, value = value.utcoffset(), value.replace(tzinfo=zone)
    # Rules of a zone may have changed since: the fields are what was stored, so they win over the offset.
    later = value.replace(fold=1)
    return later if offset is not None and value.utcoffset() != offset == later.utcoffset() else value


def _is_fixed(zone: dt.tzinfo) -> bool:
    # A name of its own shows in the literal form only: offsets with different names are equal.
    return type(zone) is dt.timezone and repr(zone) == repr(dt.timezone(zone.utcoffset(None)))


_DURATION = re.compile(r"(?P<sign>-?)P(?P<days>\d+)DT(?P<seconds>\d+)(?:\.(?P<micros>\d{6}))?S")


def _show_duration(value: dt.timedelta) -> str:
    size = abs(value)
    micros = f".{size.microseconds:06}" if size.microseconds else ""
    return f"{'-' if value.days < 0 else ''}P{size.days}DT{size.seconds}{micros}S"


def _parse_duration(text: str) -> dt.timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(text)
    size = dt.timedelta(int(found["days"]), int(found["seconds"]), int(found["micros"] or 0))
    return -size if found["sign"] else size


_AS_TEXT: dict[object, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    bytes: ("bytes", _show_bytes, _parse_bytes),
    dt.datetime: ("datetime", _show_time, lambda text: _parse_time(dt.datetime, text)),
    dt.date: ("date", dt.date.isoformat, dt.date.fromisoformat),
    dt.time: ("time", _show_time, lambda text: _parse_time(dt.time, text)),
    dt.timedelta: ("timedelta", _show_duration, _parse_duration),
    Decimal: ("Decimal", str, _parse_decimal),
    UUID: ("UUID", str, UUID),
    Path: ("Path", str, Path),
    type(Path()): ("Path", str, Path),
    PurePath: ("PurePath", str, PurePath),
    PurePosixPath: ("PurePosixPath", str, PurePosixPath),
    PureWindowsPath: ("PureWindowsPath", str, PureWindowsPath),
}
_CONCRETE: dict[object, object] = {Path: type(Path()), PurePath: type(PurePath())}
