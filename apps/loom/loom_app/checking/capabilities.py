"""Whether what a plugin offers can be made, with its default configuration, and has the shape it must have."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import get_args

import attrs
import click

from loom_app.checking.findings import Finding
from loom_app.main import OWN_COMMANDS
from loom_core.config import Config
from loom_core.contracts.retries import Retries
from loom_core.contracts.stores import Effect
from loom_core.contracts.tools import Tool
from loom_core.errors import LoomError, PluginError
from loom_core.hookspecs import CommandEntry
from loom_core.plugins import Offer, PluginInfo, Registry
from loom_core.runtime.assembly import Runtime
from loom_core.tools import ToolDefinitionError

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_SUMMARY = 100


def capabilities(info: PluginInfo, registry: Registry, scratch: Path) -> Iterator[Finding]:
    """Yield what is found of a plugin's configuration and of each thing it offers."""
    config_findings = tuple(_config(info))
    yield from config_findings
    for offer in info.offers:
        yield from _wording(offer)
        if offer.status == "unavailable":
            yield Finding("warning", f"{_named(offer)} was not tried: {offer.problem}; {offer.hint}")
        elif all(finding.level != "failure" for finding in config_findings):
            yield from _made(offer, registry, scratch)


def _config(info: PluginInfo) -> Iterator[Finding]:
    if info.config is None:
        return
    fields = [field for field in attrs.fields(info.config) if field.init]
    without = [field.name for field in fields if field.default is attrs.NOTHING]
    if without:
        yield Finding("failure", f"{info.config.__name__}: {', '.join(without)} must have a default")
        return
    try:
        Config().plugin(info.name, info.config)
    except (LoomError, TypeError, ValueError) as error:
        yield Finding("failure", f"{info.config.__name__} with its defaults: {error}")
        return
    names = ", ".join(field.alias or field.name for field in fields) or "nothing"
    yield Finding("ok", f"configuration [plugins.{info.name}]: {names}")


def _wording(offer: Offer) -> Iterator[Finding]:
    if not offer.summary.strip() or "\n" in offer.summary or len(offer.summary) > _LONGEST_SUMMARY:
        yield Finding("warning", f"{_named(offer)}: its summary should be one line of 1–{_LONGEST_SUMMARY} characters")
    if offer.kind == "tool" and not _TOOL_NAME.fullmatch(offer.name):
        yield Finding("failure", f"{_named(offer)}: a tool's name is 1–64 characters of A–Z a–z 0–9 _ -")
    if offer.kind == "command" and offer.name in OWN_COMMANDS:
        yield Finding("failure", f"{_named(offer)} cannot be reached: loom has a command of that name")


def _made(offer: Offer, registry: Registry, scratch: Path) -> Iterator[Finding]:
    home = scratch / "home"
    workspace = scratch / "workspace"
    workspace.mkdir(exist_ok=True)
    runtime = Runtime.open(
        Config(), registry=registry, workspace=workspace, environ={"HOME": str(home), "PATH": "/usr/bin:/bin"}
    )
    try:
        yield from _MAKERS[offer.kind](offer, runtime, scratch)
    except (PluginError, ToolDefinitionError) as error:
        yield Finding("failure", str(error))
    except LoomError as error:
        yield Finding("warning", f"{_named(offer)} cannot be made without configuration: {error}")


def _store(offer: Offer, runtime: Runtime, scratch: Path) -> Iterator[Finding]:
    if not {"", "sqlite"} & set(offer.keys):
        yield Finding("ok", f"{_named(offer)}: not opened, that would need a server")
        return
    prefix = "" if "" in offer.keys else "sqlite:///"

    async def opened() -> list[str]:
        store = runtime.open_store(f"{prefix}{scratch / 'check.sqlite'}", "create")
        lacking = _lacking(store, ("location", "create_run", "claim", "get_run", "list_runs", "verify", "aclose"))
        if not lacking:
            await runtime.aclose()
        return lacking

    yield _shape(offer, asyncio.run(opened()))


def _model(offer: Offer, runtime: Runtime, _scratch: Path) -> Iterator[Finding]:
    async def made() -> list[str]:
        lacking = _lacking(runtime.backend(offer.keys[0]), ("stream", "models", "aclose"))
        if not lacking:
            await runtime.aclose()
        return lacking

    yield _shape(offer, asyncio.run(made()))


def _tool(offer: Offer, runtime: Runtime, _scratch: Path) -> Iterator[Finding]:
    tool = runtime.tool(offer.name)
    needed = ("name", "description", "parameters", "effect", "timeout_s", "reconcile", "blocking", "bind", "call")
    lacking = _lacking(tool, (*needed, "encode_arguments", "encode_result", "decode_result"))
    yield _shape(offer, lacking)
    if not lacking:
        yield from _tool_faults(offer, tool)


def _tool_faults(offer: Offer, tool: Tool) -> Iterator[Finding]:
    if tool.effect not in get_args(Effect):
        yield Finding("failure", f"{_named(offer)}: effect {tool.effect!r} is none of {', '.join(get_args(Effect))}")
    if tool.parameters.get("type") != "object":
        yield Finding("failure", f"{_named(offer)}: its parameters must be a JSON Schema of type object")
    if not tool.description.strip():
        yield Finding("warning", f"{_named(offer)}: has no description for the model")


def _retry(offer: Offer, runtime: Runtime, _scratch: Path) -> Iterator[Finding]:
    made = runtime.retries(offer.name)
    if not isinstance(made, Retries) or (made.policy is None and made.classify is None):
        yield Finding("failure", f"{_named(offer)}: made neither a policy nor a classifier")
    else:
        yield _shape(offer, [])


def _command(offer: Offer, runtime: Runtime, _scratch: Path) -> Iterator[Finding]:
    _, entry = runtime.registry.command(offer.name)
    assert isinstance(entry, CommandEntry)
    module, _, attribute = entry.target.partition(":")
    try:
        command = getattr(import_module(module), attribute)
    except Exception as error:  # noqa: BLE001 - the border between Loom and a plugin
        yield Finding("failure", f"{_named(offer)}: `{entry.target}` does not import: {type(error).__name__}: {error}")
        return
    is_command = isinstance(command, click.Command)
    yield _shape(offer, [] if is_command else [f"a click command at `{entry.target}`"])


_MAKERS = {"store": _store, "model": _model, "tool": _tool, "retry": _retry, "command": _command}


def _shape(offer: Offer, lacking: list[str]) -> Finding:
    if lacking:
        return Finding("failure", f"{_named(offer)}: lacks {', '.join(lacking)}")
    return Finding("ok", f"{_named(offer)}: made")


def _lacking(thing: object, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not hasattr(thing, name)]


def _named(offer: Offer) -> str:
    return f"{offer.kind} `{offer.name}`"
