"""The built-in rules of ``mock:default``: orders become tool calls, results are summed up, the rest is echoed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

import attrs

from loom_core.contracts.models import Message, ModelRequest, ToolSpec
from loom_llm_mock.answer import Answer
from loom_llm_mock.sample import sample

ECHO_CHARACTERS = 200
SUMMARY_CHARACTERS = 160
MOST_CALLS = 8

_PATH = r"[\"'`]?(?P<what>[\w~][\w./~-]*[\w/]|\w|\.{1,2}(?:/[\w./-]*)?|/[\w./-]+)[\"'`]?"


@attrs.frozen
class Order:
    """A phrase of the user's that asks for ``tool``; ``parameters`` are the argument names it may go to, best first."""

    phrase: re.Pattern[str]
    tool: str
    parameters: tuple[str, ...] = ()


def _phrase(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


ORDERS = (
    Order(_phrase(rf"\bread\s+(?:the\s+)?(?:file\s+)?{_PATH}"), "read_file", ("path", "file", "relative_path")),
    Order(_phrase(r"\blist\s+(?:all\s+|the\s+)*files\b"), "list_files"),
    Order(
        _phrase(
            r"\bsearch\s+(?:the\s+docs\s+)?(?:for\s+)?[\"'`]?(?P<what>[^\n\"'`]+?)[\"'`.?!]*(?=$|\n|[\"'`]|\s+and\s+)"
        ),
        "search_docs",
        ("query", "words", "pattern"),
    ),
    Order(_phrase(r"\brun\s+(?:all\s+|the\s+)*tests\b"), "run_tests"),
)

_CALL = _phrase(r"\bcall\s+(?P<tool>[\w-]{1,64})(?=\s|$|[.?!:])[\s.:]*")


def answer(request: ModelRequest) -> Answer:
    """Answer from the request alone, so that a restarted process says the same."""
    last = request.messages[-1] if request.messages else Message(role="user")
    if last.role == "user" and (calls := _orders(last.content, {tool.name: tool for tool in request.tools})):
        return Answer(tool_calls=calls)
    if request.schema is not None:
        return Answer(text=json.dumps(sample(request.schema)))
    if last.role == "tool":
        return Answer(text=_summary(request.messages))
    return Answer(
        text=f"You said: {_cut(last.content, ECHO_CHARACTERS)}" if last.content.strip() else "You said nothing."
    )


def _orders(text: str, tools: Mapping[str, ToolSpec]) -> tuple[tuple[str, str], ...]:
    found = [*_named_calls(text, tools)]
    for order in ORDERS:
        if order.tool in tools:
            arguments = _arguments(order, tools[order.tool])
            found += [(match.start(), order.tool, arguments(match)) for match in order.phrase.finditer(text)]
    found.sort(key=lambda call: call[0])
    return tuple((name, json.dumps(arguments)) for _, name, arguments in found[:MOST_CALLS])


def _named_calls(text: str, tools: Mapping[str, ToolSpec]) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Find ``call NAME`` and ``call NAME {"argument": …}`` for tools that are offered."""
    for match in _CALL.finditer(text):
        if match["tool"] in tools:
            yield match.start(), match["tool"], _object_at(text, match.end())


def _object_at(text: str, start: int) -> dict[str, object]:
    if not text.startswith("{", start):
        return {}
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _arguments(order: Order, tool: ToolSpec) -> Callable[[re.Match[str]], dict[str, object]]:
    properties = tool.parameters.get("properties")
    known = [*properties] if isinstance(properties, Mapping) else []
    parameter = next((name for name in order.parameters if name in known), (known or [None])[0])
    if not order.parameters or parameter is None:
        return lambda _: {}
    return lambda match: {parameter: match["what"].strip()}


def _summary(messages: tuple[Message, ...]) -> str:
    results: list[str] = []
    for message in reversed(messages):
        if message.role != "tool":
            break
        line = next((line.strip() for line in message.content.splitlines() if line.strip()), "(empty)")
        results.append(f"{message.name or 'the tool'} returned: {_cut(line, SUMMARY_CHARACTERS)}")
    return "\n".join(reversed(results))


def _cut(text: str, most: int) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= most else one_line[: most - 1].rstrip() + "…"
