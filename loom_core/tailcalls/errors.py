"""The one error of the compiler, and its one warning."""

from __future__ import annotations

from loom_core.errors import BadInput
from loom_core.tailcalls.report import TailCallReport


class TailCallError(BadInput):
    """A recursion that cannot be proved to behave alike as a loop; the function was not changed.

    ``path``, ``line`` and ``column`` (both from 1; None without source) say where, ``reason`` why, ``hint`` what to
    write instead. ``report`` has every other fault too. The hint is also a note, so that a traceback shows it.
    """

    code = "tail_call"

    def __init__(self, report: TailCallReport) -> None:
        fault = report.first_fault()
        super().__init__(fault.text(report.path), hint=fault.instead)
        self.report = report
        self.path = report.path
        self.line = fault.line
        self.column = fault.column
        self.reason = fault.reason
        if fault.instead is not None:
            self.add_note(f"hint: {fault.instead}")


class TailCallWarning(UserWarning):
    """A function that was left as it is, and correct, but does not loop; ``report`` says why."""

    def __init__(self, report: TailCallReport) -> None:
        super().__init__(f"{report.function} does not loop: {report.notes[0]}")
        self.report = report
