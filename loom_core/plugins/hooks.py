"""Asking a plugin what it offers: one hook implementation at a time, each answer checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import attrs
import pluggy

from loom_core.hookspecs import CommandEntry, Entry, LoomSpec, ModelEntry, RetryEntry, StoreEntry, ToolEntry

E = TypeVar("E", bound=Entry)


@attrs.frozen
class Kind:
    """One kind of capability: the hook that yields it, its record, and the names by which an entry is found."""

    noun: str
    hook: str
    record: type[Entry]
    keys: Callable[[Entry], tuple[str, ...]]
    shown: str = "{}"


def _by_name(entry: Entry) -> tuple[str, ...]:
    return (entry.name,)


def _by_scheme(entry: Entry) -> tuple[str, ...]:
    assert isinstance(entry, StoreEntry)
    return entry.schemes


def _by_prefix(entry: Entry) -> tuple[str, ...]:
    assert isinstance(entry, ModelEntry)
    return (entry.prefix,)


KINDS = (
    Kind("store", "loom_stores", StoreEntry, _by_scheme, "{}://"),
    Kind("model", "loom_models", ModelEntry, _by_prefix, "{}:"),
    Kind("tool", "loom_tools", ToolEntry, _by_name),
    Kind("retry", "loom_retries", RetryEntry, _by_name),
    Kind("command", "loom_commands", CommandEntry, _by_name),
)


@attrs.frozen
class Gathered:
    """What one plugin answered: its entries with their kinds, the hooks it implements, and every fault found."""

    entries: tuple[tuple[Kind, Entry], ...]
    hooks: tuple[str, ...]
    faults: tuple[str, ...]
    causes: tuple[BaseException, ...] = ()


def gather(plugin: object, name: str) -> Gathered:
    """Register a plugin and ask each of its hooks. Never raises what the plugin raises: that becomes a fault.

    The manager is the plugin's own, so that a registration that fails half-way leaves nothing behind, and no plugin
    can see or wrap another.
    """
    manager = pluggy.PluginManager("loom")
    manager.add_hookspecs(LoomSpec)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except Exception as error:  # noqa: BLE001 - the border between Loom and a plugin
        return Gathered((), (), (_registration_fault(error),), (error,))
    entries: list[tuple[Kind, Entry]] = []
    hooks: list[str] = []
    faults: list[str] = []
    causes: list[BaseException] = []
    for kind in KINDS:
        caller: pluggy.HookCaller = getattr(manager.hook, kind.hook)
        for implementation in caller.get_hookimpls():
            hooks.append(kind.hook)
            try:
                entries.extend((kind, entry) for entry in _answers(implementation, kind))
            except _Fault as fault:
                faults.append(f"{kind.hook}: {fault}")
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the border between Loom and a plugin
                faults.append(f"{kind.hook} raised {described(error)}")
                causes.append(error)
    faults.extend(_inner_faults(entries))
    return Gathered(tuple(entries), tuple(hooks), tuple(faults), tuple(causes))


def described(error: BaseException) -> str:
    """Return ``Type: message`` on one line, short enough for a list."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a plugin's __str__ may raise anything, and the plugin must still be reported
        text = "(its message cannot be shown)"
    text = text if len(text) <= 300 else text[:299] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _Fault(Exception):
    """An answer of a hook that cannot be used."""


def _answers(implementation: pluggy.HookImpl, kind: Kind) -> Iterator[Entry]:
    if implementation.wrapper or implementation.hookwrapper:
        raise _Fault("must be a plain function: there is nothing to wrap, each plugin is asked by itself")
    answer = implementation.function()
    if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise _Fault("must not be async: hooks are asked once, before any event loop runs")
    if isinstance(answer, Entry) or not isinstance(answer, Iterable):
        raise _Fault(f"must yield (or return a list of) {kind.record.__name__}, not {_named(answer)}")
    for entry in answer:
        if not isinstance(entry, kind.record):
            raise _Fault(f"yielded {_named(entry)} where {kind.record.__name__} is due")
        fault = _entry_fault(entry, kind)
        if fault:
            raise _Fault(fault)
        yield entry


def _named(value: object) -> str:
    return "nothing (None)" if value is None else f"a {type(value).__name__}"


def _entry_fault(entry: Entry, kind: Kind) -> str | None:
    if not isinstance(entry.name, str) or not entry.name.strip():
        return f"yielded a {kind.record.__name__} without a name"
    if entry.config is not None and not attrs.has(entry.config):
        return f"`{entry.name}`: config must be an attrs class, not {entry.config!r}"
    keys = kind.keys(entry)
    if isinstance(keys, str) or not keys:
        return f"`{entry.name}`: schemes must be a tuple of at least one scheme"
    if any(not _can_be_typed(key, may_be_empty=isinstance(entry, StoreEntry)) for key in keys):
        return f"`{entry.name}`: {keys!r} cannot be typed: names must be printable, without colon and blank"
    if isinstance(entry, CommandEntry) and entry.target.count(":") != 1:
        return f"`{entry.name}`: target must be `module:attribute`, not {entry.target!r}"
    return None


def _can_be_typed(key: object, *, may_be_empty: bool) -> bool:
    if not isinstance(key, str) or not (key or may_be_empty):
        return False
    return key.isprintable() and not any(char in ": " for char in key)


def _inner_faults(kinded: list[tuple[Kind, Entry]]) -> Iterator[str]:
    configs = {entry.config for _, entry in kinded if entry.config is not None}
    if len(configs) > 1:
        names = ", ".join(sorted(config.__name__ for config in configs))
        yield f"its entries have different config classes ({names}); entries of one plugin share one"
    seen: set[tuple[str, str]] = set()
    for kind, entry in kinded:
        for key in kind.keys(entry):
            if (kind.noun, key) in seen:
                yield f"offers the {kind.noun} `{kind.shown.format(key)}` twice"
            seen.add((kind.noun, key))


def _registration_fault(error: Exception) -> str:
    if isinstance(error, pluggy.PluginValidationError):
        # pluggy's message is several lines, with the module's whole representation.
        return "a hook is not one of Loom's, or takes arguments: " + described(error).split(": ", 1)[-1]
    return described(error)
