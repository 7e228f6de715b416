"""Bringing states forward: what was stored by an older version of an agent becomes what the newer one reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from loom_core.errors import AgentLoadError, ValueNotDecodable

_VERSION = attrs.validators.and_(attrs.validators.instance_of(str), attrs.validators.min_len(1))


@attrs.frozen
class Upgrade:
    """One step of the way from old states to new ones.

    ``upgrade`` takes the stored state of an agent of ``from_version`` as JSON data and returns that of ``to_version``.
    It must be pure: it runs whenever such a state is read, and the result is stored only when a step is committed.

        Agent(name="orders", version="2", upgrades=(Upgrade("1", "2", add_currency),), …)
    """

    from_version: str = attrs.field(validator=_VERSION)
    to_version: str = attrs.field(validator=_VERSION)
    upgrade: Callable[[Any], Any] = attrs.field(validator=attrs.validators.is_callable())


def check_upgrades(agent: str, version: str, upgrades: Iterable[Upgrade]) -> None:
    """Raise ``AgentLoadError`` unless each upgrade is the only one from its version and leads to ``version``."""
    steps: dict[str, Upgrade] = {}
    for each in upgrades:
        if not isinstance(each, Upgrade):
            raise AgentLoadError(
                f"an upgrade of agent `{agent}` is a {type(each).__name__}, not an Upgrade",
                hint='write upgrades=(Upgrade("1", "2", function),)',
            )
        if each.from_version in steps:
            raise AgentLoadError(f"agent `{agent}` has two upgrades from version {each.from_version}")
        steps[each.from_version] = each
    for start in steps:
        at, seen = start, {start}
        while at in steps:
            at = steps[at].to_version
            if at in seen:
                raise AgentLoadError(f"the upgrades of agent `{agent}` go round in a circle at version {at}")
            seen.add(at)
        if at != version:
            raise AgentLoadError(
                f"the upgrades of agent `{agent}` lead from version {start} to {at}, and it is version {version}",
                hint="add the upgrades that are missing, or correct Agent(version=…)",
            )


def upgraded(upgrades: Iterable[Upgrade], version: str, text: str) -> str:
    """Return a stored state, written by ``version``, as the newest version has it.

    It is unchanged if no upgrade starts at that version. Raises ``ValueNotDecodable`` if an upgrade fails or returns
    what JSON cannot hold.
    """
    from loom_core.values import encode_json

    steps = {each.from_version: each for each in upgrades}
    if version not in steps:
        return text
    data = json.loads(text)
    while version in steps:
        step = steps[version]
        try:
            data = json.loads(encode_json(step.upgrade(data), "state"))
        except Exception as error:  # the border between Loom and the user's function
            raise ValueNotDecodable(
                "state",
                f"its upgrade from version {step.from_version} to {step.to_version} failed:"
                f" {type(error).__name__}: {error}",
                hint="mend the upgrade; the run is as it was",
            ) from error
        version = step.to_version
    return encode_json(data, "state")
