"""JSON text: how data is written, read and hashed. No types here, only what ``json`` itself knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from json import encoder as _json_encoder
from typing import Any

from loom_core.contracts.stores import EncodedState

FIELDS_FROM = 512
"""States whose text is shorter are stored whole, so that splitting them would be wasted."""


def digest(text: str) -> bytes:
    """Return the 16 bytes of BLAKE2b by which a text is known; the text must be valid UTF-8."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def json_text(data: object) -> str:
    """Return compact JSON that is valid UTF-8; lone surrogates make it fall back to ``\\u`` escapes.

    Raises ``ValueError``, ``TypeError`` or ``RecursionError`` for what JSON cannot hold.
    """
    text = "".join(_plain(data, 0))
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _escaped_text(data)
    return text


def whole_state(data: object) -> EncodedState:
    """Encode data in one go; its fields are left out."""
    text = "".join(_plain(data, 0))
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        text = _escaped_text(data)
        raw = text.encode()
    return EncodedState(text, hashlib.blake2b(raw, digest_size=16).digest(), None)


def state_by_fields(data: dict[str, Any]) -> EncodedState:
    """Encode an object field by field, so that the fields' texts are at hand without splitting."""
    write = _plain
    fields = {key: "".join(write(value, 0)) for key, value in data.items()}
    text = "{" + ",".join([f"{quote(key)}:{field}" for key, field in fields.items()]) + "}"
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return whole_state(data)
    kept = fields if len(text) >= FIELDS_FROM else None
    return EncodedState(text, hashlib.blake2b(raw, digest_size=16).digest(), kept)


def parse(text: str) -> Any:
    """Return the data of a JSON text; raises ``ValueError`` or ``RecursionError``. NaN and infinities are refused."""
    return _decoder.decode(text)


def pairs_up(text: str) -> bool:
    """Whether a string holds two surrogates that JSON would join to one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") != text


def _escaped_text(data: object) -> str:
    text = "".join(_escaped(data, 0))
    if parse(text) != data:
        raise ValueError("two lone surrogates in a row come back as one character")
    return text


def _refuse_object(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON data")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _writer(quoting: Callable[[str], str], *, ascii_only: bool) -> Callable[[Any, int], Iterable[str]]:
    # json.JSONEncoder makes a new C encoder for every call, which costs twice what encoding a small state does. No
    # markers: exactness has been checked or is checked next, and a cycle ends in a RecursionError all the same.
    make: Any = getattr(_json_encoder, "c_make_encoder", None)
    if make is not None:
        writer: Callable[[Any, int], Iterable[str]] = make(
            None, _refuse_object, quoting, None, ":", ",", False, False, False
        )
        return writer
    slow = json.JSONEncoder(ensure_ascii=ascii_only, separators=(",", ":"), allow_nan=False, check_circular=False)
    return lambda data, _level: slow.iterencode(data)


quote: Callable[[str], str] = _json_encoder.encode_basestring
_plain = _writer(quote, ascii_only=False)
_escaped = _writer(_json_encoder.encode_basestring_ascii, ascii_only=True)
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
