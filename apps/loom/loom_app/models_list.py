"""`loom models list`."""

from __future__ import annotations

import asyncio

import click
from loom_cli import Invocation, common_options, examples, pass_invocation
from loom_cli.text import size

from loom_core.errors import LoomError, PluginError
from loom_core.runtime.assembly import Runtime


@click.command("list", epilog=examples("loom models list", "loom models list --json"))
@common_options
@pass_invocation
def list_command(invocation: Invocation) -> None:
    """List the models of every backend; a backend that cannot be reached is a row that says so."""
    out = invocation.output
    rows = asyncio.run(_rows(invocation))
    if out.as_json:
        out.document("loom.models.list/1", {"models": rows})
        return
    out.table(["MODEL", "STATE", "SIZE", "SUMMARY"], [_cells(row) for row in rows], right=["SIZE"])


async def _rows(invocation: Invocation) -> list[dict[str, object]]:
    runtime = invocation.runtime()
    try:
        prefixes = [entry.prefix for _, entry in invocation.registry.models]
        answered = await asyncio.gather(*(_of_backend(runtime, prefix) for prefix in prefixes))
    finally:
        await runtime.aclose()
    rows = [row for rows in answered for row in rows]
    for info in invocation.registry.plugins:
        for offer in info.offers:
            if offer.kind == "model" and (offer.status != "ready" or info.status == "failed"):
                rows.append(
                    _row(f"{offer.keys[0]}:", "unavailable", error=_with_hint(offer.problem or info.error, offer.hint))
                )
    return sorted(rows, key=lambda row: str(row["model"]))


async def _of_backend(runtime: Runtime, prefix: str) -> list[dict[str, object]]:
    try:
        models = await runtime.backend(prefix).models()
    except PluginError as error:
        return [_row(f"{prefix}:", "failed", error=_with_hint(str(error), error.hint))]
    except LoomError as error:
        return [_row(f"{prefix}:", "unreachable", error=_with_hint(str(error), error.hint))]
    except Exception as error:  # noqa: BLE001 - one backend's defect is its own row, and hides no other
        return [_row(f"{prefix}:", "failed", error=f"plugin defect: {type(error).__name__}: {error}")]
    return [
        _row(
            f"{prefix}:{model.name}",
            "ready" if model.ready else "not pulled",
            summary=model.summary,
            size_bytes=model.size_bytes,
        )
        for model in models
    ]


def _row(
    model: str, state: str, *, summary: str = "", size_bytes: int | None = None, error: str | None = None
) -> dict[str, object]:
    return {"model": model, "state": state, "size_bytes": size_bytes, "summary": summary, "error": error}


def _cells(row: dict[str, object]) -> list[str]:
    size_bytes = row["size_bytes"]
    shown = size(size_bytes) if isinstance(size_bytes, int) else "–"
    return [str(row["model"]), str(row["state"]), shown, str(row["error"] or row["summary"])]


def _with_hint(text: str | None, hint: str | None) -> str:
    return f"{text or 'cannot be used'} ({hint})" if hint else text or "cannot be used"
