"""Which names a run may have."""

from __future__ import annotations

from loom_core.errors import BadInput

MAX_CHARS = 200
CHILD_MARK = ":sub:"


def check_run_id(run_id: str) -> str:
    """Return ``run_id`` if a starter may choose it; raise ``BadInput`` if not."""
    if (
        not isinstance(run_id, str)
        or not 1 <= len(run_id) <= MAX_CHARS
        or not run_id.isprintable()
        or run_id != run_id.strip()
    ):
        raise BadInput(
            f"{run_id!r} cannot be a run id", hint=f"use 1 to {MAX_CHARS} printable characters, no space around them"
        )
    if CHILD_MARK in run_id:
        raise BadInput(f"`{run_id}`: `{CHILD_MARK}` in a run id is reserved for children")
    return run_id
