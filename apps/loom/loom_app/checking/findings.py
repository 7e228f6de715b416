"""What a check found."""

from __future__ import annotations

from typing import Literal

import attrs

Level = Literal["ok", "warning", "failure"]


@attrs.frozen
class Finding:
    """One thing that was looked at, and how it is."""

    level: Level
    what: str


@attrs.frozen(kw_only=True)
class Report:
    """What was found of one plugin."""

    name: str
    distribution: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if nothing failed; warnings are allowed."""
        return all(finding.level != "failure" for finding in self.findings)
