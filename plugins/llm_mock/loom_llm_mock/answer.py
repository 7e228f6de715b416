"""The answer of the mock, whether a script or the built-in rules made it."""

from __future__ import annotations

import attrs

from loom_core.contracts.models import FinishReason, Usage
from loom_core.errors import ErrorCategory


@attrs.frozen(kw_only=True)
class Answer:
    """What one request is answered with, in the order in which it is streamed.

    ``tool_calls`` are pairs of a name and the arguments' text. ``finish`` None is derived from the rest. ``error`` is
    raised after the text; ``cut`` ends the stream without a finish; ``delay_s`` is waited before the first event.
    """

    delay_s: float = 0.0
    thinking: str = ""
    text: str = ""
    refusal: str = ""
    tool_calls: tuple[tuple[str, str], ...] = ()
    usage: Usage | None = None
    finish: FinishReason | None = None
    error: tuple[ErrorCategory, str] | None = None
    cut: bool = False

    def finish_reason(self) -> FinishReason:
        """Return the scripted reason, or the one that fits the content."""
        if self.finish is not None:
            return self.finish
        if self.tool_calls:
            return "tool_calls"
        return "refusal" if self.refusal else "stop"

    def characters(self) -> int:
        """Return the length of everything the model would have been billed for."""
        calls = sum(len(name) + len(arguments) for name, arguments in self.tool_calls)
        return len(self.thinking) + len(self.text) + len(self.refusal) + calls
