"""A fake server of Chat Completions; ``OPENAI_MODELS`` are its models, most of them faulty."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

from tests.engines.fake_wires import STATUS_FAULTS, FakeServer, Json, Reply, Seen, calls_wanted, tool, words


@contextlib.contextmanager
def openai_server() -> Iterator[FakeServer]:
    """Serve Chat Completions; the URL ends in ``/v1``."""
    with FakeServer(_openai, "/v1") as server:
        yield server


def _openai(reply: Reply, seen: Seen) -> None:
    if seen.method == "GET":
        return reply.whole(200, {"object": "list", "data": [{"id": "good"}, {"id": "endless"}]})
    model = str(seen.body.get("model"))
    if model in STATUS_FAULTS:
        status, message = STATUS_FAULTS[model]
        headers = {"Retry_After": "7"} if status in (429, 503) else {}
        return reply.whole(status, {"error": {"message": message, "type": "error", "code": None}}, **headers)
    if model == "echo-key":
        return reply.whole(401, {"error": {"message": f"Incorrect key: {seen.headers.get('authorization')}"}})
    if model == "quota":
        return reply.whole(429, {"error": {"message": "pay first", "code": "insufficient_quota"}})
    if model == "html":
        return reply.whole(200, "<html>hello</html>", "text/html")
    behave = OPENAI_MODELS.get(model)
    if behave is None:
        return reply.whole(
            404, {"error": {"message": f"The model `{model}` does not exist", "code": "model_not_found"}}
        )
    return behave(Sse(reply), seen.body)


class Sse:
    """Writes server-sent events."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def raw(self, text: str) -> None:
        self.reply.part(text, "text/event-stream")

    def chunk(self, delta: Json | None = None, finish: str | None = None, **more: object) -> None:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        made = {"object": "chat.completion.chunk", "choices": choices, **more}
        self.raw(f"data: {json.dumps(made, ensure_ascii=False)}\n\n")

    def call(
        self, name: str | None, arguments: object, *, index: int | None = 0, id: str | None = None, **delta: object
    ) -> None:
        function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
        piece = {"function": function, **({} if index is None else {"index": index}), **({"id": id} if id else {})}
        self.chunk({"tool_calls": [piece], **delta})

    def end(self, *, usage: bool = True) -> None:
        if usage:
            details = {
                "prompt_tokens_details": {"cached_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 2},
            }
            self.chunk(usage={"prompt_tokens": 11, "completion_tokens": 5, **details}, timings={"predicted_ms": 1})
        self.raw("data: [DONE]\n\n")
        self.reply.end()


def _good(sse: Sse, body: Json) -> None:
    sse.chunk({"role": "assistant", "content": None})
    if calls_wanted(body):
        sse.call(tool(body), "", id="call_one")
        for piece in ('{"a":', " 1}"):
            sse.call(None, piece)
        sse.chunk({}, "tool_calls")
        return sse.end()
    for word in words():
        sse.raw(": keep-alive\n\n")
        sse.chunk({"content": word})
    sse.chunk({}, "stop")
    return sse.end()


def _endless(sse: Sse, body: Json) -> None:
    while sse.reply.pause():
        sse.chunk({"content": "on and on "})


def _index0(sse: Sse, body: Json) -> None:
    sse.call("add", '{"a": 1}', id="call_a")
    sse.call("add", '{"a": 2}', id="call_b")
    sse.chunk({}, "stop")
    sse.end()


def _two_calls(sse: Sse, body: Json) -> None:
    sse.call("add", "", id="x", index=0)
    sse.call("read", "", id="y", index=1)
    for index, piece in ((1, '{"p":'), (0, '{"a":'), (1, ' "q"}'), (0, " 1}")):
        sse.call(None, piece, index=index)
    sse.chunk({}, "tool_calls")
    sse.end()


def _no_id(sse: Sse, body: Json) -> None:
    sse.call("add", '{"a": 1}')
    sse.call("add", '{"a": 1}')
    sse.call("read", "", index=None)
    sse.chunk({}, "tool_calls")
    sse.end()


def _arguments_object(sse: Sse, body: Json) -> None:
    sse.call("add", {"a": 1}, id="x")
    sse.chunk({}, "tool_calls")
    sse.end()


def _repeated(sse: Sse, body: Json) -> None:
    for _ in range(2):
        sse.call("add", '{"a": 1}', id="x")
    sse.chunk({}, "tool_calls")
    sse.chunk(
        {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "add", "arguments": '{"a": 1}'}}]}, "tool_calls"
    )
    sse.end()


def _cut_arguments(sse: Sse, body: Json) -> None:
    sse.call("read", '{"p": "whole"}', id="x", index=0)
    sse.call("add", '{"a": ', id="y", index=1)
    sse.chunk({}, "length")
    sse.end()


def _nameless(sse: Sse, body: Json) -> None:
    sse.call(None, '{"a": 1}', id="x")
    sse.chunk({}, "tool_calls")
    sse.end()


def _said(finish: str | None, *, usage: bool = True, **delta: object) -> Callable[[Sse, Json], None]:
    def behave(sse: Sse, body: Json) -> None:
        sse.chunk({"content": "so "} if not delta else {})
        sse.chunk(delta or {"content": "far"}, finish)
        sse.end(usage=usage)

    return behave


def _broken(how: Callable[[Sse], None], *, finish: str | None = None) -> Callable[[Sse, Json], None]:
    def behave(sse: Sse, body: Json) -> None:
        sse.chunk({"content": "so far"}, finish)
        how(sse)

    return behave


def _error_event(error: object) -> Callable[[Sse], None]:
    return lambda sse: (sse.raw(f"data: {json.dumps({'error': error})}\n\n"), sse.end(usage=False))[0]


OPENAI_MODELS: dict[str, Callable[[Sse, Json], None]] = {
    "good": _good,
    "endless": _endless,
    "index0": _index0,
    "two-calls": _two_calls,
    "no-id": _no_id,
    "arguments-object": _arguments_object,
    "repeated": _repeated,
    "cut-arguments": _cut_arguments,
    "nameless": _nameless,
    "no-usage": _said("stop", usage=False),
    "no-finish": _said(None),
    "length": _said("length"),
    "filtered": _said("content_filter"),
    "refusal": _said("stop", refusal="I will not."),
    "thinking": _said("stop", content="yes", reasoning_content="hm", reasoning="hm"),
    "odd-finish": _said("eos_token"),
    "error-finish": _said("error"),
    "hang-up": _broken(lambda sse: sse.reply.hang_up()),
    "hang-up-after-finish": _broken(lambda sse: sse.reply.hang_up(), finish="stop"),
    "stall": _broken(lambda sse: sse.reply.stall()),
    "slow": lambda sse, body: sse.reply.stall(),
    "slow-body": lambda sse, body: (sse.raw(": working\n\n"), sse.reply.stall())[0],
    "bad-json": _broken(lambda sse: (sse.raw('data: {"choices": [\n\n'), sse.end())[0]),
    "not-an-object": _broken(lambda sse: (sse.raw("data: [1]\n\n"), sse.end())[0]),
    "error-event": _broken(_error_event({"message": "engine died", "type": "server_error"})),
    "error-event-400": _broken(_error_event({"code": 400, "message": "maximum context length", "type": "x"})),
    "error-event-text": _broken(_error_event("just words")),
}
