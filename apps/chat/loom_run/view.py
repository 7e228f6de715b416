"""What a person sees of a turn while it happens: the answer on stdout, tools on stderr."""

from __future__ import annotations

from loom_cli.output import Output
from loom_cli.text import cut

from loom_core.contracts.models import Finish, RefusalDelta, TextDelta, ThinkingDelta
from loom_core.contracts.stores import CallRecord
from loom_core.runtime.services import Observation

_ARGUMENT_COLUMNS = 80


class TurnView:
    """An observer that prints. Prints nothing with ``--json``, whose document comes at the end.

    Text is shown as it arrives on a terminal only. Into a pipe or a file goes the answer: neither what an attempt said
    before it was cut off, nor what the model said between tools.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._live = output.columns is not None and not output.as_json
        self._line_open = False
        self._printed: list[str] = []

    def __call__(self, seen: Observation) -> None:
        """Print one observation."""
        if seen.kind == "model_event":
            self._model_event(seen.data)
        elif isinstance(seen.data, CallRecord) and seen.data.kind == "tool":
            self._tool(seen.kind, seen.data)
        elif isinstance(seen.data, CallRecord) and seen.kind == "call_started":
            # A new request: what an earlier, cut stream printed is not its answer.
            self.end_line()
            self._printed.clear()

    def end_line(self) -> None:
        """End a line that is still open."""
        if self._line_open:
            self._output.stream("\n")
        self._line_open = False

    def answer(self, text: str) -> None:
        """Print an answer, unless it has been printed as it arrived."""
        if self._output.as_json:
            return
        if "".join(self._printed) != text:
            self.end_line()
            self._show(text)
        self.end_line()

    def _model_event(self, event: object) -> None:
        if isinstance(event, (TextDelta, RefusalDelta)):
            if self._live:
                self._printed.append(event.text)
                self._show(event.text)
        elif isinstance(event, ThinkingDelta) and event.text.strip():
            self._output.detail(f"thinking: {event.text.strip()}")
        elif isinstance(event, Finish):
            self.end_line()

    def _show(self, text: str) -> None:
        self._output.stream(text)
        self._line_open = not text.endswith("\n")

    def _tool(self, kind: str, call: CallRecord) -> None:
        self.end_line()
        if kind == "call_started":
            self._output.note(f"· {call.name} {cut(call.arguments, _ARGUMENT_COLUMNS)}")
        elif kind == "call_replayed":
            self._output.note(f"· {call.name} {cut(call.arguments, _ARGUMENT_COLUMNS)} (recorded, not repeated)")
        elif kind == "call_ended":
            self._output.detail(f"  {_end_of(call)}")


def _end_of(call: CallRecord) -> str:
    if call.error is not None:
        return f"{call.status}: {call.error.type}: {call.error.message}"
    return f"{call.status}, {len(call.result or '')} characters"
