"""A fake Ollama server; ``OLLAMA_MODELS`` are its models, most of them faulty."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

from tests.engines.fake_wires import STATUS_FAULTS, FakeServer, Json, Reply, Seen, calls_wanted, tool, words


@contextlib.contextmanager
def ollama_server() -> Iterator[FakeServer]:
    """Serve Ollama's ``/api/chat`` and ``/api/tags``."""
    with FakeServer(_ollama) as server:
        yield server


def _ollama(reply: Reply, seen: Seen) -> None:
    if seen.path == "/api/tags":
        details = {"parameter_size": "1B", "quantization_level": "Q4"}
        return reply.whole(200, {"models": [{"name": "good:latest", "size": 5, "details": details}]})
    model = str(seen.body.get("model"))
    if model in STATUS_FAULTS:
        status, message = STATUS_FAULTS[model]
        return reply.whole(status, {"error": message}, **({"Retry_After": "7"} if status in (429, 503) else {}))
    if model == "echo-key":
        return reply.whole(401, {"error": f"bad key {seen.headers.get('authorization')}"})
    if model == "html":
        return reply.whole(404, "404 page not found", "text/plain")
    behave = OLLAMA_MODELS.get(model.removesuffix(":latest"))
    if behave is None:
        return reply.whole(404, {"error": f"model '{model}' not found"})
    return behave(Lines(reply), seen.body)


class Lines:
    """Writes lines of JSON."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def raw(self, text: str) -> None:
        self.reply.part(text, "application/x-ndjson")

    def line(self, done: bool = False, **message: object) -> None:
        made = {"model": "m", "message": {"role": "assistant", "content": "", **message}, "done": done}
        self.raw(json.dumps(made, ensure_ascii=False) + "\n")

    def end(self, reason: str = "stop", *, usage: bool = True) -> None:
        counts = {"prompt_eval_count": 11, "eval_count": 5} if usage else {}
        last = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": reason, **counts}
        self.raw(json.dumps(last) + "\n")
        self.reply.end()


def _call(name: object, arguments: object, call_id: str | None = None) -> Json:
    return {"function": {"name": name, "arguments": arguments}, **({"id": call_id} if call_id else {})}


def _ollama_good(lines: Lines, body: Json) -> None:
    if calls_wanted(body):
        lines.line(tool_calls=[_call(tool(body), {"a": 1}, "call_12345678")])
        return lines.end()
    for word in words():
        lines.line(content=word)
    return lines.end()


def _ollama_endless(lines: Lines, body: Json) -> None:
    while lines.reply.pause():
        lines.line(content="on and on ")


def _ollama_says(reason: str = "stop", *, usage: bool = True, **message: object) -> Callable[[Lines, Json], None]:
    def behave(lines: Lines, body: Json) -> None:
        lines.line(**(message or {"content": "so far"}))
        lines.end(reason, usage=usage)

    return behave


def _ollama_breaks(how: Callable[[Lines], None]) -> Callable[[Lines, Json], None]:
    def behave(lines: Lines, body: Json) -> None:
        lines.line(content="so far")
        how(lines)

    return behave


def _split_bytes(lines: Lines, body: Json) -> None:
    """Send a line in pieces that are cut anywhere but inside a character, two lines in one chunk, and blank lines."""
    text = json.dumps({"message": {"content": "in pieces"}, "done": False})
    lines.raw(text[:20])
    lines.raw(text[20:] + "\n\r\n\n" + text + "\n")
    lines.end()


OLLAMA_MODELS: dict[str, Callable[[Lines, Json], None]] = {
    "good": _ollama_good,
    "endless": _ollama_endless,
    "two-calls": _ollama_says(tool_calls=[_call("add", {"a": 1}, "x"), _call("add", {"a": 1}, "y")]),
    "no-id": _ollama_says(tool_calls=[_call("add", {"a": 1}), _call("add", {"a": 1})]),
    "same-id": _ollama_says(tool_calls=[_call("add", {"a": 1}, "x"), _call("add", {"a": 2}, "x")]),
    "arguments-text": _ollama_says(tool_calls=[_call("add", '{"a": 1}', "x")]),
    "no-arguments": _ollama_says(tool_calls=[_call("add", None, "x")]),
    "nameless": _ollama_says(tool_calls=[_call(None, {}, "x")]),
    "cut-arguments": _ollama_says("length", tool_calls=[_call("add", {"a": 1}, "x")]),
    "length": _ollama_says("length"),
    "loaded": _ollama_says("load"),
    "no-usage": _ollama_says(usage=False),
    "thinking": _ollama_says(thinking="hm", content="yes"),
    "pieces": _split_bytes,
    "no-finish": _ollama_breaks(lambda lines: lines.reply.end()),
    "hang-up": _ollama_breaks(lambda lines: lines.reply.hang_up()),
    "stall": _ollama_breaks(lambda lines: lines.reply.stall()),
    "slow": lambda lines, body: lines.reply.stall(),
    "slow-body": lambda lines, body: (lines.raw("\n"), lines.reply.stall())[0],
    "bad-json": _ollama_breaks(lambda lines: (lines.raw('{"message": \n'), lines.reply.end())[0]),
    "not-an-object": _ollama_breaks(lambda lines: (lines.raw("[1]\n"), lines.reply.end())[0]),
    "error-line": _ollama_breaks(lambda lines: (lines.raw('{"error": "engine died"}\n'), lines.reply.end())[0]),
    "memory": _ollama_breaks(
        lambda lines: (lines.raw('{"error": "model requires more system memory (9 GiB)"}\n'), lines.reply.end())[0]
    ),
}
