"""Whether an exception leaves it open if an effect happened."""

from __future__ import annotations

import errno
import subprocess

_LOST = (TimeoutError, ConnectionError, EOFError, InterruptedError, subprocess.TimeoutExpired)
_LOST_ERRNOS = frozenset(
    getattr(errno, name)
    for name in ("EHOSTUNREACH", "EHOSTDOWN", "ENETUNREACH", "ENETDOWN", "ENETRESET", "ETIMEDOUT", "ECONNABORTED")
    if hasattr(errno, name)
)
# The transport errors of requests, urllib3, httpx and aiohttp, by name: importing them to ask would be absurd.
_LOST_NAMES = frozenset(
    {
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectTimeout",
        "HTTPError",
        "IncompleteRead",
        "NetworkError",
        "ProtocolError",
        "ReadError",
        "ReadTimeout",
        "RemoteProtocolError",
        "Timeout",
        "TimeoutException",
        "TransportError",
        "WriteError",
    }
)


def is_lost_connection(error: BaseException) -> bool:
    """Return True for a time-out or a lost connection, in whatever library's words, and whatever it is wrapped in.

    Too many are taken for lost rather than too few: the price of the first is a question to a person, of the second
    an effect that happens twice.
    """
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if _is_lost(one):
            return True
        waiting += [one.__cause__, getattr(one, "reason", None)]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return False


def _is_lost(error: BaseException) -> bool:
    if isinstance(error, _LOST):
        return True
    if isinstance(error, OSError) and error.errno in _LOST_ERRNOS:
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    # urllib's HTTPError has a status, and so is an answer; in requests and httpx that name is a base of the lost ones.
    return bool(names & _LOST_NAMES) and not isinstance(getattr(error, "code", None), int) and not _has_answer(error)


def _has_answer(error: BaseException) -> bool:
    return getattr(error, "response", None) is not None
