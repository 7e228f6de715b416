"""`loom models pull SOURCE`."""

from __future__ import annotations

import asyncio
import re

import click
from loom_cli import Invocation, common_options, examples, pass_invocation
from loom_cli.text import size

from loom_app.progress import ProgressLine
from loom_core.contracts.models import ModelInfo
from loom_core.errors import BadInput

_DEFAULT_PREFIX = "local"


@click.command(
    "pull",
    epilog=examples("loom models pull smollm2", "loom models pull local:/data/model.gguf"),
)
@click.argument("source")
@common_options
@pass_invocation
def pull_command(invocation: Invocation, source: str) -> None:
    """Fetch the weights of a model: a name from the catalogue, a path or a URL.

    SOURCE may start with the prefix of a backend; without one it is `local:`. A pull that was interrupted goes on
    where it stopped.
    """
    prefix, name = _split(source, {entry.prefix for _, entry in invocation.registry.models})
    out = invocation.output
    info = asyncio.run(_pulled(invocation, prefix, name))
    model = f"{prefix}:{info.name}"
    if out.as_json:
        facts = {"name": model, "summary": info.summary, "ready": info.ready, "size_bytes": info.size_bytes}
        out.document("loom.models.pull/1", {"model": facts})
        return
    out.line(f"{model} is here" + (f" ({size(info.size_bytes)})" if info.size_bytes else ""))
    out.hint(f"try it: loom models test {model}")


def _split(source: str, prefixes: set[str]) -> tuple[str, str]:
    """Return prefix and source; the scheme of a URL is no prefix unless a backend has it."""
    match = re.match(r"(?P<prefix>[A-Za-z0-9_-]+):(?!//)(?P<name>.+)", source)
    if match and (match["prefix"] in prefixes or "/" not in match["prefix"]):
        return match["prefix"], match["name"]
    return _DEFAULT_PREFIX, source


async def _pulled(invocation: Invocation, prefix: str, name: str) -> ModelInfo:
    runtime = invocation.runtime()
    try:
        backend = runtime.backend(prefix)
        pull = getattr(backend, "pull", None)
        if pull is None:
            raise BadInput(
                f"the backend `{prefix}:` fetches no weights: its models come from elsewhere",
                hint="see what it has: loom models list",
            )
        with ProgressLine(invocation.output) as progress:
            info: ModelInfo = await pull(name, progress)
    finally:
        await runtime.aclose()
    return info
