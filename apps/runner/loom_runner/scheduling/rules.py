"""Rules: ``cron EXPRESSION`` and ``every SECONDS``, and the times that they plan."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from loom_core.errors import BadInput

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "": 1}
_MAX_EVERY_S = 366 * 86_400
_CRON_HINT = "five fields: minute hour day month weekday, such as '0 3 * * 1-5'"


class Rule(Protocol):
    """Plans times, Unix seconds."""

    def after(self, at: float) -> float | None:
        """Return the first time after ``at``, None if there is none."""
        ...

    def until(self, at: float) -> Iterator[float]:
        """Yield the times up to and including ``at``, the newest first."""
        ...


@attrs.frozen
class Every:
    """Every so many seconds from ``anchor`` on."""

    seconds: float
    anchor: float

    def after(self, at: float) -> float | None:
        """Return the first time after ``at``."""
        return self.anchor + max(1, math.floor((at - self.anchor) / self.seconds) + 1) * self.seconds

    def until(self, at: float) -> Iterator[float]:
        """Yield the times up to ``at``, the newest first."""
        for number in range(math.floor((at - self.anchor) / self.seconds), 0, -1):
            yield self.anchor + number * self.seconds


@attrs.frozen
class Cron:
    """A cron expression in a time zone, read as Debian's cron reads it.

    Where clocks are put forward, a job at an hour that is left out runs right after it; where they are put back, it
    runs once.
    """

    expression: str
    zone: ZoneInfo

    def after(self, at: float) -> float | None:
        """Return the first time after ``at``."""
        from cronsim import CronSim

        found = next(CronSim(self.expression, dt.datetime.fromtimestamp(at, self.zone)), None)
        return None if found is None else found.timestamp()

    def until(self, at: float) -> Iterator[float]:
        """Yield the times up to ``at``, the newest first."""
        from cronsim import CronSim

        # It yields what lies before the second that it is given.
        beyond = dt.datetime.fromtimestamp(math.floor(at) + 1, self.zone)
        for planned in CronSim(self.expression, beyond, reverse=True):
            yield planned.timestamp()


def rule_of(text: str, zone: str, anchor: float) -> Rule:
    """Return the rule that a text stands for; raises ``BadInput``."""
    kind, _, rest = text.partition(" ")
    if kind == "every":
        return Every(float(rest), float(math.floor(anchor)))
    return Cron(checked_cron(rest, zone), zone_of(zone))


def checked_cron(expression: str, zone: str) -> str:
    """Return a cron expression that plans something; raises ``BadInput``."""
    from cronsim import CronSim, CronSimError

    if len(expression.split()) != 5:
        raise BadInput(f"`{expression}` is no cron expression", hint=_CRON_HINT)
    try:
        rule = CronSim(expression, dt.datetime.now(zone_of(zone)))
    except CronSimError as error:
        raise BadInput(f"`{expression}` is no cron expression: {error}", hint=_CRON_HINT) from error
    if not [*islice(rule, 1)]:
        raise BadInput(f"`{expression}` never comes", hint=_CRON_HINT)
    return " ".join(expression.split())


def checked_every(text: str) -> float:
    """Return the seconds of ``90``, ``15m``, ``2h``, ``1d``; raises ``BadInput``."""
    match = re.fullmatch(r"(\d+)([smhd]?)", text.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 1 <= seconds <= _MAX_EVERY_S:
        raise BadInput(f"`{text}` is no interval", hint="from 1s to 366d, such as 90s, 15m, 2h, 1d")
    return float(seconds)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone; raises ``BadInput``."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(
            f"there is no time zone `{name}` on this machine", hint="such as UTC or Europe/Berlin; pip install tzdata"
        ) from error
