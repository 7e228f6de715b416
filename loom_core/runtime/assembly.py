"""Everything a run needs from plugins, bound once: stores, models, tools, retry policies.

No plugin hook is called after this, and each object is made when it is first asked for and then kept, so that a
broken plugin costs only those who use it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeVar

import attrs

from loom_core.config import Config, cache_dir, load_config
from loom_core.contracts.models import ModelBackend
from loom_core.contracts.retries import Classification, Classifier, Retries, RetryPolicy
from loom_core.contracts.stores import Store
from loom_core.contracts.tools import Tool
from loom_core.errors import BadInput, LoomError, ModelNotFound, PluginError, StoreUnusable
from loom_core.hookspecs import Entry, PluginContext
from loom_core.plugins import PluginInfo, Registry, load_registry
from loom_core.runtime.failures import classify

StoreMode = Literal["read", "write", "create"]
T = TypeVar("T")

DEFAULT_DB = "runs.sqlite"

_SCHEME = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_log = logging.getLogger("loom.plugins")


@attrs.frozen
class _Kept:
    """What has been made so far; the only part of a runtime that changes."""

    stores: list[Store] = attrs.field(factory=list)
    backends: dict[str, ModelBackend] = attrs.field(factory=dict)
    tools: dict[str, Tool] = attrs.field(factory=dict)
    retries: dict[str, Retries] = attrs.field(factory=dict)
    contexts: dict[str, PluginContext] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True, eq=False)
class Runtime:
    """The capabilities of the installed plugins under one configuration; made by ``open``, closed by ``aclose``.

    What a factory raises reaches the caller as it is if it is a ``LoomError``, else as ``PluginError`` with the
    plugin's name. A runtime belongs to one event loop.
    """

    config: Config
    registry: Registry
    workspace: Path | None
    environ: Mapping[str, str]
    _kept: _Kept = attrs.field(factory=_Kept, init=False, repr=False)

    @classmethod
    def open(
        cls,
        config: Config,
        *,
        registry: Registry | None = None,
        workspace: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Runtime:
        """Return a runtime; opens no store, connects to nothing. ``environ`` defaults to the process's own."""
        if registry is None:
            registry = load_registry(disabled=config.disable_plugins, strict=config.strict_plugins)
        return cls(
            config=config,
            registry=registry,
            workspace=workspace.resolve() if workspace else None,
            environ=os.environ if environ is None else environ,
        )

    def open_store(self, db: str | None, mode: StoreMode) -> Store:
        """Open a database by path or URL; None is the configured one, then ``runs.sqlite``.

        ``read`` creates and writes nothing, ``write`` needs it to exist. The runtime keeps track of it until
        ``aclose``, and keeps tools away from its files.
        """
        scheme, location = split_location(db or self.config.db or DEFAULT_DB)
        info, entry = self.registry.store(scheme)
        context = self._context(info, entry)
        store = _made(info, f"the store `{entry.name}`", lambda: entry.factory(location, mode, context))
        self._kept.stores.append(store)
        return store

    def model(self, name: str) -> tuple[ModelBackend, str]:
        """Return the backend of ``PREFIX:MODEL`` and the model's name within it. Raises ``ModelNotFound``."""
        prefix, colon, model = name.partition(":")
        if not colon or not prefix or not model:
            prefixes = ", ".join(f"{entry.prefix}:…" for _, entry in self.registry.models)
            hint = f"models start with {prefixes}" if prefixes else "no plugin that offers models can be used"
            raise ModelNotFound(f"`{name}` is not a model's name: write PREFIX:MODEL", hint=hint)
        return self.backend(prefix), model

    def backend(self, prefix: str) -> ModelBackend:
        """Return the model backend of a prefix, made once."""
        backend = self._kept.backends.get(prefix)
        if backend is None:
            info, entry = self.registry.model(prefix)
            context = self._context(info, entry)
            backend = _made(info, f"the model backend `{prefix}:`", lambda: entry.factory(context))
            self._kept.backends[prefix] = backend
        return backend

    def tool(self, name: str) -> Tool:
        """Return the tool of a name, made once. Raises ``ToolNotFound``."""
        tool = self._kept.tools.get(name)
        if tool is None:
            info, entry = self.registry.tool(name)
            context = self._context(info, entry)
            tool = _made(info, f"the tool `{name}`", lambda: entry.factory(context))
            if tool.name != name:
                raise PluginError(f"plugin {info.origin} offers the tool `{name}` and made `{tool.name}`")
            self._kept.tools[name] = tool
        return tool

    def tools(self) -> RuntimeTools:
        """Return every tool of the active plugins by its name; each is made when it is looked at."""
        return RuntimeTools(self)

    def retry_policy(self, name: str = "default") -> RetryPolicy:
        """Return the retry policy of a name; ``default`` is ``RetryPolicy()`` where no plugin offers one."""
        try:
            policy = self.retries(name).policy
        except BadInput:
            if name != "default":
                raise
            return RetryPolicy()
        if policy is None:
            raise BadInput(f"`{name}` is a classifier of errors, not a retry policy")
        return policy

    @property
    def classify(self) -> Callable[[BaseException], Classification]:
        """What says what an exception is: its own word, the first classifier that knows it, the standard ones.

        A property, so that a classifier that cannot be made is an error when a runner is given it, not when
        something has failed. Classifiers are asked in the order of plugin names.
        """
        made = [(info, self.retries(entry.name).classify) for info, entry in self.registry.retries]
        chain = tuple(_guarded(info, classifier) for info, classifier in made if classifier is not None)
        return lambda error: classify(error, chain)

    def protected_files(self) -> frozenset[tuple[int, int]]:
        """Return (device, inode) of every file that nobody but an open store may open in this process."""
        return frozenset().union(*(store.protected_files() for store in self._kept.stores))

    async def aclose(self) -> None:
        """Close every backend and every store that was opened here, each once, even if one of them fails to close."""
        closing: list[ModelBackend | Store] = [*self._kept.backends.values(), *self._kept.stores]
        self._kept.backends.clear()
        self._kept.stores.clear()
        failures: list[Exception] = []
        for resource in closing:
            try:
                await resource.aclose()
            except Exception as error:  # noqa: BLE001 - the others must be closed too; raised below
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup("several resources failed to close", failures)

    def retries(self, name: str) -> Retries:
        """Return what the retry entry of a name makes: a policy, a classifier, or both. Made once."""
        made = self._kept.retries.get(name)
        if made is None:
            info, entry = self.registry.retry(name)
            context = self._context(info, entry)
            made = _made(info, f"the retry policy `{name}`", lambda: entry.factory(context))
            self._kept.retries[name] = made
        return made

    def _context(self, info: PluginInfo, entry: Entry) -> PluginContext:
        key = info.name if entry.config else ""
        context = self._kept.contexts.get(key)
        if context is None:
            context = PluginContext(
                config=self.config.plugin(info.name, entry.config) if entry.config else None,
                workspace=self.workspace,
                cache_dir=cache_dir(self.environ),
                environ=self.environ,
                protected_files=self.protected_files,
            )
            self._kept.contexts[key] = context
        return context


@attrs.frozen
class RuntimeTools(Mapping[str, Tool]):
    """The tools of a runtime by name. Knowing the names makes none of them."""

    _runtime: Runtime

    def __getitem__(self, name: str) -> Tool:
        if name not in self:
            raise KeyError(name)
        return self._runtime.tool(name)

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def names(self) -> tuple[str, ...]:
        """Return the names, sorted."""
        return tuple(sorted(entry.name for _, entry in self._runtime.registry.tools))

    def tool(self, name: str) -> Tool:
        """Return a tool; raises ``ToolNotFound``, with the names there are."""
        return self._runtime.tool(name)


def open_store(db: str | None = None, mode: StoreMode = "create", *, environ: Mapping[str, str] | None = None) -> Store:
    """Open a database with the installed plugins and the user's configuration; the caller closes it."""
    own = os.environ if environ is None else environ
    return Runtime.open(load_config(flags={}, environ=own), environ=own).open_store(db, mode)


def split_location(db: str) -> tuple[str, str]:
    """Return scheme and location: a path for ``""`` and ``sqlite``, the whole URL for others.

    ``sqlite:///runs.sqlite`` is a relative path and ``sqlite:////var/runs.sqlite`` an absolute one, as SQLAlchemy
    and what follows it read them.
    """
    match = _SCHEME.fullmatch(db)
    if match is None:
        return "", db
    scheme = match["scheme"].lower()
    if scheme != "sqlite":
        return scheme, db
    path = match["rest"].removeprefix("/")
    if not match["rest"].startswith("/") or not path:
        raise StoreUnusable(f"`{db}` names no file", hint="write sqlite:///PATH, with four slashes if PATH is absolute")
    return scheme, path


def _made(info: PluginInfo, what: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except LoomError:
        raise
    except Exception as error:
        raise PluginError(
            f"plugin {info.origin} could not make {what}: {type(error).__name__}: {error}",
            hint=f"see why: loom plugins check {info.name}",
        ) from error


def _guarded(info: PluginInfo, classifier: Classifier) -> Classifier:
    def classify_or_pass(error: BaseException) -> Classification | None:
        try:
            return classifier(error)
        except Exception:  # noqa: BLE001 - the border between Loom and a plugin
            # Something has failed already, and a classifier's defect must not take its place.
            _log.exception("the classifier of plugin %s failed on %s", info.origin, type(error).__name__)
            return None

    return classify_or_pass
