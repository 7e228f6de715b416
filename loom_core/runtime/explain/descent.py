"""Where a run came from, what code went on with it, and what its history no longer has, in words."""

from __future__ import annotations

from collections.abc import Iterator

from loom_core.contracts.retention import Gap
from loom_core.contracts.stores import AgentRecord, RunRecord
from loom_core.runtime.explain.reading import Material
from loom_core.runtime.explain.text import date_time, number

_MAX_GAPS = 3


def forked_step(record: RunRecord) -> int:
    """Return the step that a run's own steps begin with."""
    return 0 if record.origin is None else record.origin.forked_step or 0


def changed_code(before: AgentRecord, after: AgentRecord) -> str:
    """Say how code differs from the code that owned the run before."""
    found = [
        f"{what} {_shown(old)} → {_shown(new)}"
        for what, old, new in (
            ("agent", before.name, after.name),
            ("version", before.version, after.version),
            ("file", before.reference, after.reference),
        )
        if old != new
    ]
    if before.code_hash != after.code_hash:
        found.append(f"its source is another ({_hash(before.code_hash)} → {_hash(after.code_hash)})")
    if before.schema_hash != after.schema_hash:
        found.append("its state has another shape")
    return ", ".join(found) or "recorded once more"


def descent_lines(record: RunRecord) -> Iterator[str]:
    """Say from which run, and from which file, a run was made."""
    origin = record.origin
    if origin is None:
        return
    if origin.forked_from is not None:
        yield f"forked    from `{origin.forked_from}` at step {number(origin.forked_step or 0)}"
    if origin.imported_from is not None:
        at = "" if origin.imported_at is None else f" {date_time(origin.imported_at)},"
        yield f"imported {at} from {origin.imported_from}; to go on, name its agent yourself"


def gap_lines(material: Material) -> Iterator[str]:
    """Say which steps the history no longer has."""
    told = [g for g in material.gaps if g.every or g.last != forked_step(material.record) - 2]
    if not told:
        return
    words = [_gap(gap) for gap in told[:_MAX_GAPS]]
    more = f", and {number(len(told) - _MAX_GAPS)} more stretches" if len(told) > _MAX_GAPS else ""
    yield f"history   no longer has {', '.join(words)}{more}"


def _gap(gap: Gap) -> str:
    if gap.last < 0:
        return "the first state"
    first = max(gap.first, 0)
    steps = f"step {number(first)}" if first == gap.last else f"steps {number(first)}–{number(gap.last)}"
    return steps + (f" but those after which {number(gap.every)} divides the number of steps" if gap.every else "")


def _shown(value: str | None) -> str:
    return "none" if value is None else value


def _hash(value: str | None) -> str:
    return "not known" if value is None else value[:8]
