"""Values that are not for other people's eyes, as they are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

MASK = "********"

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])|[\W_]+")
_WORDS = {"auth", "oauth", "authorization", "authentication", "bearer", "cookies", "credentials", "creds", "dsn", "jwt"}
_WORDS |= {"passphrase", "passwords", "private", "pwd", "pass", "pw", "sig", "signature"}
# As the end of a word too, because of `apikey` and `authtoken`; `keyboard` and `tokenizer` are none.
_ENDS = ("key", "token", "secret", "secrets", "password", "passwd", "cookie", "credential", "credentials")
_COUNTED = ("tokens", "keys")

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<rest>\S+)", re.IGNORECASE)
_PAIR = re.compile(r"(?P<name>[\w.%-]+)(?P<is>=)(?P<value>[^&;#\s'\"]+)")
_BEARER = re.compile(r"(?P<before>\b(?:(?i:bearer)|Basic)\s+)[^\s'\"]+")
_SHORTEST = 4


def is_secret(key: str, value: object = None) -> bool:
    """Return whether a setting's name says that its value is a secret.

    Names are looked at word by word. A number of tokens or keys is none, nor is a truth value.
    """
    if isinstance(value, bool):
        return False
    words = [word.lower() for word in _WORD.split(key) if word]
    if any(word in _WORDS or word.endswith(_ENDS) for word in words):
        return True
    if not words or not words[-1].endswith(_COUNTED) or words == ["keys"]:
        return False
    return not str(value).replace("_", "").isdigit()


def is_hidden(path: Iterable[str], value: object = None) -> bool:
    """Return whether a value must not be shown because of the name of its setting or of a table around it."""
    return any(is_secret(key, value) for key in path)


def masked(key: str, value: object) -> object:
    """Return a value as it may be shown: secrets, also those in URLs, are masked, inside lists and tables too."""
    return masked_at((key,), value)


def masked_at(path: tuple[str, ...], value: object) -> object:
    """Return the value of a setting at a path, of which every name may say that it is a secret, as it may be shown."""
    if isinstance(value, Mapping):
        return {name: masked_at((*path, str(name)), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        if value and is_hidden(path, value):
            return MASK
        return [masked_at(path, inner) for inner in value]
    if value not in (None, "") and is_hidden(path, value):
        return MASK
    return without_secrets(value) if isinstance(value, str) else value


def without_secrets(text: str) -> str:
    """Return a text without what it gives away by itself: who logs in to a URL, ``token=…``, ``Bearer …``."""
    # A text that is a URL is one to its end: a password may have blanks.
    whole = re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE)
    if whole:
        text = whole[0] + _anonymous(text[whole.end() :])
    else:
        text = _URL.sub(lambda match: match["scheme"] + _anonymous(match["rest"]), text)
    text = _PAIR.sub(lambda match: match[0] if not is_secret(match["name"], match["value"]) else _hide(match), text)
    return _BEARER.sub(lambda match: match["before"] + MASK, text)


def secrets_in(path: tuple[str, ...], value: object) -> Iterator[tuple[str, str]]:
    """Yield each text in the value of a setting that must not be shown, with what is shown instead."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from secrets_in((*path, str(name)), inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from secrets_in(path, inner)
    elif value is not None and not isinstance(value, bool):
        text = str(value)
        shown = str(masked_at(path, value))
        # What is shorter would blot out half of a sentence, and is no secret.
        if shown != text and len(text) >= _SHORTEST:
            yield text, shown


def redacted(fault: str, secrets: Iterable[tuple[str, str]]) -> str:
    """Return a fault in which none of the secrets is left, as it is or as Python writes it."""
    where, end, message = fault.partition("): ")
    if not end:
        where, message = "", fault
    for text, shown in sorted(secrets, key=lambda pair: -len(pair[0])):
        message = message.replace(text, shown).replace(repr(text)[1:-1], shown)
    return where + end + without_secrets(message)


def _anonymous(rest: str) -> str:
    """Return a URL behind its ``//`` without who logs in."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    host, colon, port = authority.rpartition(":")
    if "@" in authority:
        at = authority.rindex("@")
    elif colon and host and not port.isdigit() and not port.startswith("]") and "@" in rest and "[" not in host:
        # What stands behind the colon is no port, so it is a password with a slash in it.
        at = rest.rindex("@")
    else:
        return rest
    return MASK + rest[at:]


def _hide(match: re.Match[str]) -> str:
    return match["name"] + match["is"] + MASK
