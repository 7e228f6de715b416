"""The contract with plugins: entry records and hook specifications.

A plugin is a module ``loom_<name>.plugin`` named in the entry-point group ``loom``. It imports only ``loom_core`` and
the
standard library; whatever is heavy is imported by the factory when the capability is first used. Its hooks are
synchronous, take no arguments, run once when the registry is built, and yield the frozen records below. Objects made
by the factories do the work (``loom_core.contracts``), so no hook is ever called while a run is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pluggy

if TYPE_CHECKING:
    from loom_core.contracts.models import ModelBackend
    from loom_core.contracts.retries import Retries
    from loom_core.contracts.stores import Store
    from loom_core.contracts.tools import Tool

ENTRY_POINT_GROUP = "loom"

hookspec = pluggy.HookspecMarker("loom")
hookimpl = pluggy.HookimplMarker("loom")


def _no_protected_files() -> frozenset[tuple[int, int]]:
    return frozenset()


@attrs.frozen(kw_only=True)
class PluginContext:
    """What a factory is given.

    ``config`` is an instance of the entry's config class (None without one). ``workspace`` is the folder an agent may
    look at, already resolved; None outside an agent. ``cache_dir`` is the user's cache folder for Loom, which may not
    exist yet. ``environ`` is the environment to use instead of ``os.environ``. ``protected_files`` returns (device,
    inode) of files that
    must not be opened in this process (an open run database: see ``Store.protected_files``).
    """

    config: Any = None
    workspace: Path | None = None
    cache_dir: Path
    environ: Mapping[str, str]
    protected_files: Callable[[], frozenset[tuple[int, int]]] = _no_protected_files


@attrs.frozen(kw_only=True)
class Entry:
    """What every entry has.

    ``name`` is what users type, unique among entries of its kind; ``summary`` is one line. ``config`` is
    an attrs class whose
    fields become the table ``[plugins.<plugin>]`` (None: nothing to configure); entries of one plugin share it.
    ``requires`` names the modules
    that must be importable before the factory can work, and ``extra`` the extra of ``loom-stack`` (or of the plugin's
    own distribution) that installs them.
    """

    name: str
    summary: str
    config: type | None = None
    requires: tuple[str, ...] = ()
    extra: str | None = None


@attrs.frozen(kw_only=True)
class StoreEntry(Entry):
    """A kind of database, made by ``factory(location, mode, context)``.

    ``location`` is a path for the schemes ``""`` and ``sqlite``, a URL for others.

    ``mode`` is ``read`` (creates and writes nothing), ``write`` (the database must exist) or ``create``. Raises
    ``StoreUnusable``.
    """

    schemes: tuple[str, ...]
    factory: Callable[[str, str, PluginContext], Store]


@attrs.frozen(kw_only=True)
class ModelEntry(Entry):
    """A model backend, reached as ``PREFIX:MODEL``."""

    prefix: str
    factory: Callable[[PluginContext], ModelBackend]


@attrs.frozen(kw_only=True)
class ToolEntry(Entry):
    """A tool; ``name`` must be the tool's own name."""

    factory: Callable[[PluginContext], Tool]


@attrs.frozen(kw_only=True)
class RetryEntry(Entry):
    """A retry policy, a classifier of exceptions, or both."""

    factory: Callable[[PluginContext], Retries]


@attrs.frozen(kw_only=True)
class CommandEntry(Entry):
    """A click command under ``loom``; ``target`` is ``module:attribute``, imported only when the command is run."""

    target: str


class LoomSpec:
    """The hooks. Every one is called once per registry, for each plugin by itself, in the order of plugin names."""

    @hookspec
    def loom_stores(self) -> Iterable[StoreEntry]:  # type: ignore[empty-body]
        """Yield the databases this plugin can open. Two plugins with the same scheme are a name clash."""

    @hookspec
    def loom_models(self) -> Iterable[ModelEntry]:  # type: ignore[empty-body]
        """Yield the model backends of this plugin. Two plugins with the same prefix are a name clash."""

    @hookspec
    def loom_tools(self) -> Iterable[ToolEntry]:  # type: ignore[empty-body]
        """Yield the tools of this plugin. Two plugins with the same tool name are a name clash."""

    @hookspec
    def loom_retries(self) -> Iterable[RetryEntry]:  # type: ignore[empty-body]
        """Yield retry policies and classifiers; the first classifier that knows wins, in the order of plugin names."""

    @hookspec
    def loom_commands(self) -> Iterable[CommandEntry]:  # type: ignore[empty-body]
        """Yield commands of ``loom``. A command that Loom has itself cannot be replaced."""
