"""The top-level fields of a JSON object's text, as exact slices."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from json import encoder as _json_encoder

quote: Callable[[str], str] = _json_encoder.encode_basestring
"""A string as JSON, characters beyond ASCII as they are."""

_decoder = json.JSONDecoder()


def split(text: str) -> dict[str, str] | None:
    """Return the fields of a compact JSON object; None for anything else, and for what would not join to the text."""
    if not text.startswith("{") or len(text) < 3:
        return None
    fields: dict[str, str] = {}
    at = 1
    try:
        while True:
            key, colon = _decoder.raw_decode(text, at)
            _value, end = _decoder.raw_decode(text, colon + 1)
            fields[key] = text[colon + 1 : end]
            if text[end] != ",":
                break
            at = end + 1
    except (ValueError, IndexError, TypeError, RecursionError):
        return None
    if not all(type(key) is str for key in fields):
        return None
    # Escaped keys, keys that are there twice, blanks and trailing text all show here.
    return fields if join(fields) == text else None


def join(fields: Mapping[str, str]) -> str:
    """Return the object's text."""
    return "{" + ",".join([f"{quote(key)}:{field}" for key, field in fields.items()]) + "}"
