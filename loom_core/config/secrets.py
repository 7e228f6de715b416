"""Values that are not for other people's eyes, as they are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "********"

_SECRET = re.compile(r"key|token|secret|password|passwd|credential", re.IGNORECASE)
_COUNT = re.compile(r"tokens$", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^/@\s:]*:)[^/@\s]+(?=@)", re.IGNORECASE)


def is_secret(key: str, value: object = None) -> bool:
    """Return whether a setting's name says that its value is a secret; a number of tokens is none."""
    if _COUNT.search(key) and str(value).replace("_", "").isdigit():
        return False
    return bool(_SECRET.search(key))


def masked(key: str, value: object) -> object:
    """Return a value as it may be shown: secrets and the passwords in URLs masked, inside lists and tables too."""
    if isinstance(value, Mapping):
        return {name: masked(str(name), inner) for name, inner in value.items()}
    if value not in (None, "") and is_secret(key, value):
        return MASK
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(key, inner) for inner in value]
    if isinstance(value, str):
        return _URL_PASSWORD.sub(lambda match: match["before"] + MASK, value)
    return value
