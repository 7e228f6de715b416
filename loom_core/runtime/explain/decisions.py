"""Calls in doubt that were decided, and the claims that were made for that only."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from loom_core.contracts.stores import ClaimRecord
from loom_core.runtime.explain.events import CallDecided
from loom_core.runtime.explain.failure import failure_of
from loom_core.runtime.explain.reading import Material
from loom_core.runtime.explain.text import whole_or_none

# Between the claim for a decision and the decision itself lies one write, which may wait for the database's lock.
_DECISION_S = 60.0


def decisions_of(material: Material) -> Iterator[CallDecided]:
    """Tell of each call that was decided, when it was."""
    claims = claims_for_decisions(material)
    for call in material.calls:
        if call.decided_by is None:
            continue
        if call.status == "done":
            decision = f"it happened, result {whole_or_none(call.result)}"
        elif call.not_started:
            decision = "it did not happen and may be made again"
        else:
            decision = f"it failed: {failure_of(call.error) or 'no error was given'}"
        at = call.started_at if call.ended_at is None else call.ended_at
        claim = claims.get(call.call_id)
        yield CallDecided(
            at=at,
            call_id=call.call_id,
            name=call.name,
            by=call.decided_by,
            decision=decision,
            claimed_by=None if claim is None else str(claim.owner),
        )


def claims_for_decisions(material: Material) -> dict[str, ClaimRecord]:
    """Return, by call, the claims that were made for nothing but a person's decision.

    They took the run from nobody (what was found running is told), and no step was committed under them.
    """
    claims = sorted(material.claims, key=lambda c: c.epoch)
    following = {c.epoch: n.step_index for c, n in pairwise(claims)}
    found: dict[str, ClaimRecord] = {}
    for call in material.calls:
        if call.decided_by in (None, "reconcile") or call.ended_at is None:
            continue
        before = [c for c in claims if 0 <= call.ended_at - c.at <= _DECISION_S and c.epoch > call.epoch]
        if not before or before[-1].found == "running":
            continue
        claim = before[-1]
        if following.get(claim.epoch, material.record.step_index) == claim.step_index:
            found[call.call_id] = claim
    return found
