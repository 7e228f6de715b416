"""Small real distributions in a temporary folder: a dist-info with entry points, and the modules they name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent

HEAD = """
import attrs
from loom_core.hookspecs import CommandEntry, Entry, ModelEntry, RetryEntry, StoreEntry, ToolEntry, hookimpl
"""

TOOL = """
@hookimpl
def loom_tools():
    yield ToolEntry(name="{name}", summary="a tool", factory=lambda context: None)
"""


class Site:
    """A folder on ``sys.path`` to which distributions are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def add(
        self, plugin: str, source: str, *, distribution: str | None = None, version: str = "1.0", head: str = HEAD
    ) -> None:
        """Install a plugin named ``plugin`` whose module is ``source``, as a distribution of its own."""
        name = distribution or f"dist-{plugin.replace('_', '-')}"
        module = f"site_{plugin}_{name.replace('-', '_')}"
        self.modules.append(module)
        (self.folder / f"{module}.py").write_text(head + dedent(source))
        self.add_metadata(name, version, f"[loom]\n{plugin} = {module}\n")

    def add_metadata(self, name: str, version: str, entry_points: str | bytes) -> None:
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        text = entry_points if isinstance(entry_points, bytes) else entry_points.encode()
        (info / "entry_points.txt").write_bytes(text)
        importlib.invalidate_caches()

    def points(self) -> list[EntryPoint]:
        """Return the entry points of this folder's distributions only, in an arbitrary order."""
        found = [
            point
            for distribution in distributions(path=[str(self.folder)])
            for point in distribution.entry_points.select(group="loom")
        ]
        return sorted(found, key=lambda point: point.value, reverse=True)


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    folder.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    made = Site(folder)
    try:
        yield made
    finally:
        sys.path.remove(str(folder))
        for module in [name for name in sys.modules if name.split(".")[0] in made.modules]:
            del sys.modules[module]
        importlib.invalidate_caches()
