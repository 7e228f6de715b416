"""Putting tool calls together from the pieces of a stream, liberally: servers differ in what they leave out."""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from loom_core.contracts.models import ModelRequest, ToolCall, unused_call_id


@attrs.define
class Draft:
    """A call of which more pieces may come."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def whole(self) -> bool:
        """Whether the arguments are a complete JSON object, after which nothing more can belong to them."""
        if not self.arguments.rstrip().endswith("}"):
            return False
        try:
            return isinstance(json.loads(self.arguments), dict)
        except (ValueError, RecursionError):
            return False


@attrs.define
class CallDrafts:
    """The calls of one answer, keyed by their index as far as it can be trusted.

    A new id with a name at a used index is another call (Ollama's ``/v1`` numbers every call 0); so is, without
    any id, another name, or the same with arguments after complete ones. What repeats a complete call is dropped.
    """

    drafts: list[Draft] = attrs.field(factory=list)
    _by_index: dict[int, Draft] = attrs.field(factory=dict)

    def add(self, piece: Mapping[str, object]) -> None:
        """Take one element of a delta's ``tool_calls``."""
        function = piece.get("function")
        if not isinstance(function, Mapping):
            function = {}
        call_id, name = _text(piece.get("id")), _text(function.get("name"))
        arguments = _arguments_text(function.get("arguments"))
        index = piece.get("index")
        draft = self._draft_for(index if isinstance(index, int) else None, call_id, name, arguments)
        draft.id = draft.id or call_id
        draft.name = draft.name or name
        if arguments.lstrip().startswith("{") and draft.whole():
            return  # the whole call once more, as some servers send with their last chunk
        draft.arguments += arguments

    def calls(self, request: ModelRequest) -> tuple[ToolCall, ...]:
        """Return the calls in the order in which they began, each with an id that is unique in the conversation."""
        used = {call.id for message in request.messages for call in message.tool_calls}
        made: list[ToolCall] = []
        for draft in self.drafts:
            call_id = draft.id if draft.id and draft.id not in used else unused_call_id(request, used)
            used.add(call_id)
            made.append(ToolCall(id=call_id, name=draft.name, arguments=draft.arguments.strip() or "{}"))
        return tuple(made)

    def _draft_for(self, index: int | None, call_id: str, name: str, arguments: str) -> Draft:
        draft = self._by_index.get(index) if index is not None else self._without_index(call_id)
        if draft is None or _begins_another(draft, call_id, name, arguments):
            draft = Draft()
            self.drafts.append(draft)
        if index is not None:
            self._by_index[index] = draft
        return draft

    def _without_index(self, call_id: str) -> Draft | None:
        if call_id:
            return next((draft for draft in self.drafts if draft.id == call_id), None)
        return self.drafts[-1] if self.drafts else None


def _begins_another(draft: Draft, call_id: str, name: str, arguments: str) -> bool:
    if not name:
        return False
    if call_id and draft.id:
        return call_id != draft.id
    if call_id or not draft.name:
        return False
    return name != draft.name or (bool(arguments.strip()) and draft.whole())


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _arguments_text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value)  # an object where the protocol has its text
