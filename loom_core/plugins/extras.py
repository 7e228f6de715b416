"""Extras: whether what an entry needs is installed, found out without importing it."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec

from loom_core.hookspecs import Entry


def missing_modules(entry: Entry) -> tuple[str, ...]:
    """Return the modules of ``entry.requires`` that cannot be imported; imports none of them."""
    return tuple(name for name in entry.requires if not _is_importable(name))


def install_hint(entry: Entry, distribution: str, missing: tuple[str, ...]) -> str:
    """Return the command that installs what is missing."""
    if entry.extra:
        return f"pip install '{distribution}[{entry.extra}]'"
    return f"install what provides {', '.join(f'`{name}`' for name in missing)}"


def _is_importable(name: str) -> bool:
    top, *rest = name.split(".")
    try:
        spec = sys.modules[name].__spec__ if name in sys.modules else find_spec(top)
        # ``find_spec("a.b")`` would import ``a``; so submodules are looked up in the folders of their parents.
        for part in rest if name not in sys.modules else ():
            if spec is None or spec.submodule_search_locations is None:
                return False
            spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None or name in sys.modules
