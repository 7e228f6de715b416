"""Finding the plugins that are installed, whatever state the metadata of other distributions is in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, distributions, entry_points

import attrs

from loom_core.hookspecs import ENTRY_POINT_GROUP
from loom_core.plugins.hooks import described
from loom_core.plugins.info import UNKNOWN


@attrs.frozen(order=True)
class Found:
    """An entry point and the distribution it comes from; ordered by name, then distribution."""

    name: str
    distribution: str
    version: str
    point: EntryPoint = attrs.field(order=False)

    def is_one_of(self, names: Collection[str]) -> bool:
        """Return whether ``names`` has this plugin, as ``NAME`` or as ``NAME@DISTRIBUTION``."""
        return self.name in names or f"{self.name}@{self.distribution}" in names


def found(points: Collection[EntryPoint]) -> tuple[Found, ...]:
    """Return entry points with their origins, in the order of their names."""
    # Reading a distribution's metadata costs a millisecond, and several plugins may come with one.
    origins: dict[int, tuple[str, str]] = {}
    plugins = []
    for point in points:
        if id(point.dist) not in origins:
            origins[id(point.dist)] = _origin(point)
        plugins.append(Found(point.name, *origins[id(point.dist)], point))
    return tuple(sorted(plugins))


def installed(warnings: list[str]) -> Collection[EntryPoint]:
    """Return the entry points of every installed distribution; what cannot be read is added to ``warnings``."""
    try:
        return entry_points(group=ENTRY_POINT_GROUP)
    except Exception:  # noqa: BLE001 - one distribution's damaged metadata must not hide every plugin
        return _one_by_one(warnings)


def unknown_names(names: Collection[str], plugins: Iterable[Found]) -> tuple[str, ...]:
    """Return a sentence for each name that means no plugin."""
    known = {name for plugin in plugins for name in (plugin.name, f"{plugin.name}@{plugin.distribution}")}
    sentences = []
    for name in sorted(set(names) - known):
        near = get_close_matches(name, sorted(known), n=1, cutoff=0.65)
        guess = f"; did you mean `{near[0]}`?" if near else ""
        sentences.append(f"there is no plugin `{name}` to disable{guess}")
    return tuple(sentences)


def _one_by_one(warnings: list[str]) -> Collection[EntryPoint]:
    seen: set[str] = set()
    points: list[EntryPoint] = []
    for distribution in distributions():
        try:
            name = distribution.metadata["Name"]
            own = list(distribution.entry_points.select(group=ENTRY_POINT_GROUP))
        except Exception as error:  # noqa: BLE001 - as above
            where = getattr(distribution, "_path", "a distribution")
            warnings.append(f"the metadata in {where} cannot be read, nor its plugins ({described(error)})")
            continue
        # The first on the path shadows others of its name, as everywhere in Python.
        if name not in seen:
            seen.add(name)
            points.extend(own)
    return points


def _origin(point: EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        return UNKNOWN, UNKNOWN
    try:
        metadata = point.dist.metadata
        # The metadata type of Python 3.11 promises no ``get``.
        name, version = (metadata[key] if key in metadata else UNKNOWN for key in ("Name", "Version"))  # noqa: SIM401
    except Exception:  # noqa: BLE001 - damaged metadata makes a plugin nameless, not unusable
        return UNKNOWN, UNKNOWN
    return name, version
